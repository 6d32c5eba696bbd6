"""What the pages of agreement are asked for."""

import uuid
from datetime import date

from app.agree.queries import Filter
from app.errors import Invalid
from app.tables.agree import EVERY_VERSION


def read_filter(version: str = "", since: str = "", until: str = "") -> Filter:
    """The filter of a page's address; an empty value leaves that part out. Raises Invalid."""
    return Filter(_version(version), _day(since, "since"), _day(until, "until"))


def _version(text: str) -> uuid.UUID:
    if not text:
        return EVERY_VERSION
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Invalid("There is no such guideline version.", field="version") from None


def _day(text: str, field: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid("Write a day as year-month-day, such as 2026-03-31.", field=field) from None
