"""Counts of people by what they said about themselves, with small cells hidden. Pure.

No cell below `FEWEST` is shown, and none can be computed from what is: where the rest of the total
would tell too much about a hidden cell, further cells are hidden (complementary suppression). The
reader is taken to know this rule, and which cells fell under it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FEWEST = 10
# How many values a hidden cell must leave possible.
FEWEST_POSSIBLE = 3


@dataclass(frozen=True)
class Cells:
    """`shown` by choice, the largest first; `n_hidden` people in cells that are not.

    `total` and `n_hidden` are None where even they would tell too much.
    """

    shown: dict[str, int]
    n_hidden: int | None
    total: int | None


NOTHING = Cells({}, None, None)


def suppress(counts: Mapping[str, int], fewest: int = FEWEST) -> Cells:
    """Cells of a question with one choice a person; `counts` names every choice, zeros included.

    A choice that nobody made is a small cell like any other: that everyone made the others would
    be known of each of them.
    """
    total = sum(counts.values())
    if total < fewest:
        return NOTHING
    shown = sorted((one for one in counts if counts[one] >= fewest), key=lambda one: -counts[one])
    small = [counts[one] for one in counts if counts[one] < fewest]
    held: list[int] = []
    while small and not _is_safe(small, held, counts[shown[-1]] if shown else None, fewest):
        if not shown:
            return NOTHING
        held.append(counts[shown.pop()])
    return Cells({one: counts[one] for one in shown}, sum(small) + sum(held), total)


def _is_safe(small: list[int], held: list[int], next_shown: int | None, fewest: int) -> bool:
    """Whether the sum of the hidden cells leaves each small one open, and is itself not small.

    The reader knows the sum, that each small cell is below `fewest`, and that each held one is
    not, and not above the least that is shown.
    """
    rest = sum(small) + sum(held)
    most = rest if next_shown is None else next_shown
    least_possible = max(0, rest - (fewest - 1) * (len(small) - 1) - most * len(held))
    most_possible = min(fewest - 1, rest - fewest * len(held))
    return rest >= fewest and most_possible - least_possible + 1 >= FEWEST_POSSIBLE


def suppress_many(counts: Mapping[str, int], total: int, fewest: int = FEWEST) -> Cells:
    """Cells of a question with several choices a person, of whom `total` answered it.

    Hidden too is a cell that would show those who are not in it: fewer than `fewest`.
    """
    if total < fewest:
        return NOTHING
    kept = {one: n for one, n in counts.items() if n >= fewest and total - n >= fewest}
    return Cells(dict(sorted(kept.items(), key=lambda one: -one[1])), None, total)
