"""Answers to a project's flags: what may be said, and what must be."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from app.errors import Invalid
from app.tables.collect import FlagAnswer, Pair
from app.tables.projects import Flag, FlagKind, FlagScope

SideName = Literal["A", "B"]
SIDES: tuple[SideName, ...] = ("A", "B")

# What each kind of flag may be answered with; None is "not applicable".
VALUES: dict[FlagKind, tuple[int | None, ...]] = {
    FlagKind.YES_NO: (1, 0),
    FlagKind.YES_NO_NA: (1, 0, None),
    FlagKind.RATING_7: (1, 2, 3, 4, 5, 6, 7),
}


@dataclass(frozen=True)
class FlagIn:
    """One answered flag. `side` is canonical, and None for a flag about prompt or comparison."""

    flag_id: uuid.UUID
    side: SideName | None
    value: int | None


Answers = dict[tuple[uuid.UUID, SideName | None], int | None]


# Part of the statement that writes an answer.
ADD = """
insert into flag_answer (comparison_id, flag_id, completion_id, value)
select :comparison, g.flag_id,
    case g.side when 'A' then p.completion_a_id when 'B' then p.completion_b_id end, g.value
from unnest(
    cast(:flags_ids as uuid[]), cast(:flags_sides as text[]), cast(:flags_values as int[])
) as g (flag_id, side, value), pair p
where p.id = :pair
"""
_ADD = text(ADD)


def values_of(answers: Answers) -> dict[str, list[Any]]:
    """The checked answers as the values of `ADD`."""
    return {
        "flags_ids": [flag_id for flag_id, _ in answers],
        "flags_sides": [side for _, side in answers],
        "flags_values": list(answers.values()),
    }


def check_flags(flags: Mapping[uuid.UUID, Flag], given: Sequence[FlagIn]) -> Answers:
    """The answers by flag and side; `flags` are all of the project's, archived ones too.

    A flag that was archived while its page lay open is still accepted. Raises Invalid, in words,
    with the flag's label.
    """
    answers: Answers = {}
    for one in given:
        flag = flags.get(one.flag_id)
        if flag is None:
            raise Invalid("This project has no such flag. Reload the page.", field="flags")
        _check_value(flag, one)
        if answers.setdefault((flag.id, one.side), one.value) != one.value:
            raise Invalid(f"“{flag.label}” was answered twice.", field="flags")
    for flag in flags.values():
        _check_asked(flag, flags, answers)
    return answers


def check_some_flags(flags: Mapping[uuid.UUID, Flag], given: Sequence[FlagIn]) -> Answers:
    """As `check_flags`, with none required and none conditional. Raises Invalid."""
    for one in given:
        if one.flag_id not in flags:
            raise Invalid("This project has no such flag. Reload the page.", field="flags")
        _check_value(flags[one.flag_id], one)
    return {(one.flag_id, one.side): one.value for one in given}


def _check_value(flag: Flag, one: FlagIn) -> None:
    is_sided = flag.scope is FlagScope.COMPLETION
    if is_sided != (one.side is not None) or one.side not in ("A", "B", None):
        about = "one of the two answers" if is_sided else f"the {flag.scope.value}"
        raise Invalid(f"“{flag.label}” is asked about {about}.", field="flags")
    if one.value is not None and type(one.value) is not int:
        raise Invalid(f"“{flag.label}” takes a whole number.", field="flags")
    if one.value not in VALUES[flag.kind]:
        raise Invalid(f"“{flag.label}” cannot be answered with {one.value}.", field="flags")


def _check_asked(flag: Flag, flags: Mapping[uuid.UUID, Flag], answers: Answers) -> None:
    """Required flags have answers where they are asked, and no flag has one where it is not."""
    for side in SIDES if flag.scope is FlagScope.COMPLETION else (None,):
        is_asked = _is_asked(flag, side, flags, answers)
        is_answered = (flag.id, side) in answers
        if is_answered and not is_asked:
            condition = flags[flag.condition_flag_id] if flag.condition_flag_id else flag
            raise Invalid(
                f"“{flag.label}” is asked only where “{condition.label}” is answered yes.",
                field="flags",
            )
        if flag.is_required and is_asked and not is_answered and not flag.is_archived:
            where = " for both answers" if side else ""
            raise Invalid(f"Please answer “{flag.label}”{where}.", field="flags")


def _is_asked(
    flag: Flag, side: SideName | None, flags: Mapping[uuid.UUID, Flag], answers: Answers
) -> bool:
    condition = flags.get(flag.condition_flag_id) if flag.condition_flag_id else None
    if condition is None:
        return True
    about = side if condition.scope is FlagScope.COMPLETION else None
    return answers.get((condition.id, about)) == 1 and _is_asked(condition, about, flags, answers)


def with_archived(flags: Mapping[uuid.UUID, Flag], new: Answers, old: Answers) -> Answers:
    """The new answers, and the old ones to flags that are archived: no page asks those again.

    An archived flag that waits for another one keeps its answer only while that one is still yes.
    """
    kept = {key: value for key, value in old.items() if flags[key[0]].is_archived}
    merged = {**kept, **new}
    return {
        (flag_id, side): value
        for (flag_id, side), value in merged.items()
        if _is_asked(flags[flag_id], side, flags, merged)
    }


def write_flags(
    session: Session, comparison_id: uuid.UUID, pair_id: uuid.UUID, answers: Answers
) -> None:
    """Make `answers` all that this comparison says about flags."""
    session.execute(delete(FlagAnswer).where(FlagAnswer.comparison_id == comparison_id))
    if answers:
        where = {"comparison": comparison_id, "pair": pair_id}
        session.execute(_ADD, {**where, **values_of(answers)})


def read_flags(session: Session, comparison_id: uuid.UUID, pair_id: uuid.UUID) -> Answers:
    pair = session.get_one(Pair, pair_id)
    sides: dict[uuid.UUID | None, SideName | None] = {
        pair.completion_a_id: "A",
        pair.completion_b_id: "B",
        None: None,
    }
    rows = session.scalars(select(FlagAnswer).where(FlagAnswer.comparison_id == comparison_id))
    return {(row.flag_id, sides[row.completion_id]): row.value for row in rows}
