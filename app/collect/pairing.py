"""Which completions meet, which is A, which is shown left, and by what chance a pair is asked.

Pure functions of hashes and chances: no SQL, no HTTP.
"""

import random
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations

Couple = tuple[int, int]

ALL_MEET_UP_TO = 4
PAIRS_EACH = 3

LOWEST, HIGHEST = 1, 8
LEAST_UNIFORM = 0.25
ROUNDING = 1e-6  # as the column constraint has it


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


def is_flipped(annotator_id: uuid.UUID, pair_id: uuid.UUID, seed: int) -> bool:
    """Whether this annotator sees B on the left: a coin that falls the same way on each look.

    The claim throws the same coin in SQL; a test holds the two together.
    """
    coin = seed.to_bytes(8, "big") + annotator_id.bytes + pair_id.bytes
    return bool(sha256(coin).digest()[0] & 1)


def is_rating(value: object) -> bool:
    """Whether `value` is one of the eight ratings; True and 4.0 are not."""
    return type(value) is int and LOWEST <= value <= HIGHEST


def canonical(rating_shown: int, is_flipped: bool) -> int:
    """The rating in the frame of A and B, of one given to left (1) against right (8).

    Raises ValueError unless it is a whole number from 1 to 8.
    """
    if not is_rating(rating_shown):
        raise ValueError(f"a rating is a whole number from 1 to 8, not {rating_shown!r}")
    return LOWEST + HIGHEST - rating_shown if is_flipped else rating_shown


def shown(rating: int, is_flipped: bool) -> int:
    """The rating as the annotator saw it: `canonical` is its own inverse."""
    return canonical(rating, is_flipped)


@dataclass(frozen=True)
class Mixture:
    """The shares of the queue, each a chance from 0 to 1; what they leave goes by priority.

    Raises ValueError where they leave less than nothing, or the uniform part, on which honest
    estimates rest, is less than a quarter.
    """

    uniform: float = LEAST_UNIFORM
    overlap: float = 0.0
    gold: float = 0.0
    retest: float = 0.0
    audit: float = 0.0

    def __post_init__(self) -> None:
        for sentence in self.problems(vars(self)).values():
            raise ValueError(sentence)

    @staticmethod
    def problems(shares: Mapping[str, float]) -> dict[str, str]:
        """A sentence for each share that cannot be, by its name; "" is about their sum."""
        found = {
            name: "Choose a share from 0 to 100%."
            for name, share in shares.items()
            if not 0 <= share <= 1
        }
        if "uniform" not in found and shares["uniform"] < LEAST_UNIFORM:
            found["uniform"] = (
                f"At least {LEAST_UNIFORM:.0%} are drawn at random: test sets and agreement "
                "rest on them."
            )
        if not found and (total := sum(shares.values())) > 1 + ROUNDING:
            found[""] = f"The shares add up to {total * 100:.4g}%; 100% is all there is."
        return found

    @property
    def priority(self) -> float:
        others = self.uniform + self.overlap + self.gold + self.retest + self.audit
        return max(0.0, 1.0 - others)

    @property
    def ordinary(self) -> float:
        """The chance of an ordinary pair: one that somebody began, or else a fresh one."""
        return self.priority + self.uniform + self.overlap


@dataclass(frozen=True)
class Drawn:
    """A part of the mixture, by the names of app.tables.collect.Draw, and the chance it had."""

    name: str
    probability: float


def draw_special(chance: float, mixture: Mixture) -> Drawn | None:
    """Which of gold, retest and audit `chance`, uniform on [0, 1), falls on.

    None is an ordinary pair. The probability is the share itself: the chance of this part whenever
    it has something to give.
    """
    return _fall(
        chance,
        [("gold", mixture.gold), ("retest", mixture.retest), ("audit", mixture.audit)],
    )


def draw_fresh(chance: float, mixture: Mixture) -> Drawn:
    """Which part chooses the fresh pair, where an ordinary one is to be begun.

    The probability is among these three parts alone. They draw from the same pairs, so that none
    of them is ever empty while another is not, and the probability needs no correction.
    """
    parts = [
        ("uniform", mixture.uniform),
        ("overlap", mixture.overlap),
        ("priority", mixture.priority),
    ]
    of_ordinary = [(name, share / mixture.ordinary) for name, share in parts if share > 0]
    # Rounding may leave a hair's breadth above the last part.
    return _fall(chance, of_ordinary) or Drawn(*of_ordinary[-1])


def _fall(chance: float, parts: Iterable[tuple[str, float]]) -> Drawn | None:
    reached = 0.0
    for name, share in parts:
        reached += share
        if chance < reached:
            return Drawn(name, share)
    return None


def _ordered(one: int, other: int) -> Couple:
    return (one, other) if one < other else (other, one)
