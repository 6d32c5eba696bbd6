"""Which completions of a prompt meet, and which of two is A. Pure functions of hashes."""

import random
from hashlib import sha256
from itertools import combinations

Couple = tuple[int, int]

ALL_MEET_UP_TO = 4
PAIRS_EACH = 3


def couples_of(n: int, seed: bytes) -> list[Couple]:
    """Which of `n` completions meet, as index pairs with the lower index first.

    Up to four all meet. Of more, each meets two others along a random circle, so that every two
    are linked by a chain of comparisons and a Bradley-Terry fit is determined (Ford 1957), and
    most meet a third.
    """
    if n <= ALL_MEET_UP_TO:
        return list(combinations(range(n), 2))
    stream = random.Random(seed)  # noqa: S311 (no secret)
    order = stream.sample(range(n), n)
    couples = {_ordered(order[i], order[i - 1]) for i in range(n)}
    free = stream.sample(range(n), n)
    while len(free) > 1:
        first = free.pop()
        partner = next((other for other in free if _ordered(first, other) not in couples), None)
        if partner is not None:
            free.remove(partner)
            couples.add(_ordered(first, partner))
    return sorted(couples)


def partners_for_one(n: int, seed: bytes) -> list[int]:
    """Which of `n` completions that are there already a new one, come alone, is to meet."""
    return sorted(random.Random(seed).sample(range(n), min(n, PAIRS_EACH)))  # noqa: S311


def comes_first(prompt_hash: bytes, one: bytes, other: bytes) -> bool:
    """Whether the completion with hash `one` is A: a coin seeded by the texts alone.

    Neither the order of import nor the source decides, so that the canonical order betrays
    nobody; and the same two texts always fall the same way, whoever names them first.
    """
    low, high = sorted((one, other))
    is_low_first = bool(sha256(prompt_hash + low + high).digest()[0] & 1)
    return is_low_first == (one == low)


def _ordered(one: int, other: int) -> Couple:
    return (one, other) if one < other else (other, one)
