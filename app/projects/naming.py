"""Names for addresses: a slug from whatever people call a thing."""

import re
import unicodedata
from collections.abc import Container

RESERVED_SLUGS = frozenset({"new"})


def slugify(name: str, *, separator: str = "-", longest: int = 48) -> str:
    """Lower-case ASCII letters and digits of `name`, joined; empty where it has none."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    return separator.join(words)[:longest].strip(separator)


def first_free(slug: str, taken: Container[str], *, separator: str = "-") -> str:
    """`slug`, or `slug` with the smallest number from 2 on that nobody has."""
    if slug not in taken:
        return slug
    number = 2
    while f"{slug}{separator}{number}" in taken:
        number += 1
    return f"{slug}{separator}{number}"
