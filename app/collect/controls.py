"""Active time by control: what the page sends, what is believed, and how it is kept.

The page counts in small ticks and gives each to one control: the one under the pointer, or the
one that the keyboard used last. A tick is given once, so the parts sum to at most the whole.
"""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.collect.flagging import SideName
from app.errors import Invalid
from app.tables.collect import Comparison
from app.tables.work import Control, PromptControl

MOST_CONTROLS = 200
# Each part is sent in hundredths; so is the whole.
ROUNDING = 0.01

# Part of the statement that writes an answer. A flag that has left the project since its page was
# opened loses its time, not the answer.
ADD = """
insert into control_time (comparison_id, control, side, flag_id, seconds)
select :comparison, t.control, t.side, t.flag_id, t.seconds
from unnest(
    cast(:times_controls as text[]), cast(:times_sides as text[]), cast(:times_flags as uuid[]),
    cast(:times_seconds as double precision[])
) as t (control, side, flag_id, seconds)
where t.flag_id is null
    or exists (select from flag f where f.id = t.flag_id and f.project_id = :project)
"""

_ADD_TO = text(
    ADD
    + """
on conflict (comparison_id, control, side, flag_id)
    do update set seconds = control_time.seconds + excluded.seconds
"""
)


@dataclass(frozen=True)
class TimeIn:
    """Active seconds on one control; `side` is canonical."""

    control: Control
    side: SideName | None
    flag_id: uuid.UUID | None
    seconds: float

    @property
    def part(self) -> tuple[object, ...]:
        return self.control, self.side, self.flag_id


@dataclass(frozen=True)
class PromptTimeIn:
    """Active seconds on one control of a page that asks about a whole prompt."""

    control: PromptControl
    completion_id: uuid.UUID | None
    seconds: float

    @property
    def part(self) -> tuple[object, ...]:
        return self.control, self.completion_id


One = TypeVar("One", TimeIn, PromptTimeIn)


def check_times(times: Sequence[One], *, claimed: float | None, seconds: float) -> Sequence[One]:
    """The parts of `claimed` active seconds, scaled to the `seconds` that are believed.

    Raises Invalid where a part is negative or no number, comes twice, or where the parts sum to
    more than the whole and its rounding.
    """
    if claimed is None:
        return ()
    if len(times) > MOST_CONTROLS or len({one.part for one in times}) < len(times):
        raise Invalid("The time of a control was sent twice.", field="times")
    if not all(math.isfinite(one.seconds) and one.seconds >= 0 for one in times):
        raise Invalid("The time of a control is a number of seconds from 0.", field="times")
    total = sum(one.seconds for one in times)
    if total > claimed + ROUNDING * (len(times) + 1):
        raise Invalid("The times of the controls are more than the whole time.", field="times")
    share = min(1.0, seconds / total) if total else 1.0
    return [replace(one, seconds=one.seconds * share) for one in times if one.seconds]


def add_time(
    session: Session, comparison: Comparison, seconds: float, times: Sequence[TimeIn]
) -> None:
    """Add what a change took, and its checked parts, to what the answer took before; flushes."""
    comparison.seconds += seconds
    session.flush()
    if times:
        values = {"comparison": comparison.id, "project": comparison.project_id}
        session.execute(_ADD_TO, {**values, **values_of(times)})


def values_of(times: Sequence[TimeIn]) -> dict[str, list[Any]]:
    """The checked times as the values of `ADD`."""
    return {
        "times_controls": [one.control.value for one in times],
        "times_sides": [one.side for one in times],
        "times_flags": [one.flag_id for one in times],
        "times_seconds": [one.seconds for one in times],
    }
