"""What people said of each completion by itself: flags and attributes, and pairs that follow."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.errors import Invalid
from worker.errors import TrainerError

if TYPE_CHECKING:
    from worker.reward.data import Preference

Marks = tuple[tuple[str, float], ...]  # by name


def read_marks(row: dict[str, Any], number: int) -> tuple[Marks, Marks]:
    """The values that a line gives to the chosen and the rejected completion, by flag.

    From `flags` with a side and `chosen_side`, as preference sets hold them, and from
    `chosen_attributes` and `rejected_attributes`, objects of numbers. Raises Invalid.
    """
    chosen, rejected = (
        _attributes(row.get(f"{side}_attributes"), side, number) for side in ("chosen", "rejected")
    )
    chosen_side = row.get("chosen_side")
    for flag in row.get("flags") or ():
        if isinstance(flag, dict) and flag.get("side") in ("A", "B") and chosen_side in ("A", "B"):
            value = flag.get("value")
            if isinstance(value, bool | int | float):
                of = chosen if flag["side"] == chosen_side else rejected
                of[str(flag["key"])] = float(value)
    return tuple(sorted(chosen.items())), tuple(sorted(rejected.items()))


def _attributes(given: Any, side: str, number: int) -> dict[str, float]:
    field = f"{side}_attributes"
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in given.values()
    ):
        message = f"Line {number}: “{field}” must be an object of numbers."
        raise Invalid(message, field=field, line=number)
    return {str(name): float(value) for name, value in given.items()}


def rows_by_flag(rows: Sequence["Preference"], flag: str) -> list["Preference"]:
    """Comparisons by what a flag says of the two completions, whichever was preferred.

    `flag` is a flag's key: the completion with the lower value is the chosen one, as safety asks
    of “harmful”; with a + before it, the one with the higher value. Left out: pairs of which the
    flag says the same, and completions of which it says nothing.
    """
    sign = 1.0 if flag.startswith("+") else -1.0
    key, found = flag.removeprefix("+"), []
    for row in rows:
        one, other = (dict(marks).get(key) for marks in row.marks)
        if one is None or other is None or one == other:
            continue
        sides = (row.chosen, row.rejected)
        if sign * (one - other) < 0:
            sides = (row.rejected, row.chosen)
        marks = row.marks if sides[0] is row.chosen else row.marks[::-1]
        found.append(
            replace(
                row, chosen=sides[0], rejected=sides[1], marks=marks, strength=1.0, is_tie=False
            )
        )
    return found


def need_flag(rows: Sequence["Preference"], flag: str) -> list["Preference"]:
    """`rows_by_flag`. Raises TrainerError where the flag tells no two completions apart."""
    found = rows_by_flag(rows, flag)
    if not found:
        raise TrainerError(
            f"The flag “{flag.removeprefix('+')}” tells the completions of no pair apart. Choose "
            "another flag, or gather more answers."
        )
    return found
