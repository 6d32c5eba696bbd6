"""Whether an answer that claims more holds more often. Pure.

Strength on the 1-8 scale, and how sure someone says they are, are claims about how likely others
are to see it the same way. Set against what most others chose, as in a reliability diagram
(DeGroot and Fienberg 1983): each claim with the share that others bore out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.agree.exact import Floats, wilson

STRENGTHS = {
    1: "close (4, 5)",
    2: "better (3, 6)",
    3: "clear (2, 7)",
    4: "far better (1, 8)",
}
SURENESS = {1: "1, a guess", 2: "2", 3: "3", 4: "4", 5: "5, certain"}


@dataclass(frozen=True)
class Claim:
    """Answers of one claim: the share that most others bore out, with Wilson's 95% interval."""

    name: str
    share: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Firmness:
    """Mean strength, 1 (close) to 4 (far better), of `own` answers and of the `others` to the same
    `n` pairs; `low` to `high` is the 95% interval of own less others, None for a single pair."""

    own: float
    others: float
    low: float | None
    high: float | None
    n: int


def firmness(own: Floats, others: Floats) -> Firmness | None:
    """From strengths [n] of one's own answers and the mean ones of the others; None for no pair.

    The interval is the normal one of a mean of paired differences.
    """
    n = len(own)
    if n == 0:
        return None
    low = high = None
    if n > 1:
        apart = own - others
        middle, half = float(apart.mean()), 1.96 * float(apart.std(ddof=1)) / n**0.5
        low, high = middle - half, middle + half
    return Firmness(float(own.mean()), float(others.mean()), low, high, n)


def borne_out(
    claims: Sequence[int | None], agreed: Floats, names: Mapping[int, str]
) -> list[Claim]:
    """By claim, the least first: `claims` [n] and whether others agreed [n], NaN if undecided.

    Answers without a claim are left out; empty where no answer is left.
    """
    rows: dict[int, list[float]] = {level: [] for level in names}
    for level, same in zip(claims, agreed, strict=True):
        if level in rows and not np.isnan(same):
            rows[level].append(float(same))
    if not any(rows.values()):
        return []
    return [_claim(names[level], rows[level]) for level in sorted(rows)]


def _claim(name: str, agreed: list[float]) -> Claim:
    n, k = len(agreed), int(sum(agreed))
    if n == 0:
        return Claim(name, None, None, None, 0)
    return Claim(name, k / n, *wilson(k, n), n)
