"""Active time by control of rankings, ratings and demonstrations: read, kept, and added up."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.collect.controls import PromptTimeIn
from app.errors import Invalid
from app.tables.base import utc_now
from app.tables.kinds import PromptAssignment
from app.tables.work import PromptControl, PromptControlTime


def times_in(sent: str) -> list[PromptTimeIn]:
    """The times of "prompt:3.2,completion.<id>:10.5,rating.<id>:2,rating:1,text:4,comment:2".

    Raises Invalid.
    """
    return [_time_in(part) for part in sent.split(",") if part]


def _time_in(part: str) -> PromptTimeIn:
    name, _, seconds = part.partition(":")
    word, _, completion = name.partition(".")
    try:
        control = PromptControl(word)
        completion_id = uuid.UUID(completion) if completion else None
        amount = float(seconds)
    except ValueError as error:
        raise Invalid("A time was sent for something that this page does not have.") from error
    needs = control is PromptControl.COMPLETION
    allows = needs or control is PromptControl.RATING
    if (completion_id is None and needs) or (completion_id is not None and not allows):
        raise Invalid("A time was sent for something that this page does not have.")
    return PromptTimeIn(control, completion_id, amount)


def held(claimed: float, since: datetime) -> float:
    """Active seconds as a page counted them, held between nothing and the time since then."""
    return max(0.0, min(claimed, (utc_now() - since).total_seconds()))


def add_times(
    session: Session, assignment: PromptAssignment, times: Sequence[PromptTimeIn]
) -> None:
    """Add checked times to what the answer took before; flushes. Whoever calls sees to it that an
    answer sent again does not come here. Raises Invalid for a completion that was not shown."""
    if {one.completion_id for one in times} - {None, *assignment.shown}:
        raise Invalid("A time was sent for an answer that was not on your page. Reload it.")
    if not times:
        return
    session.flush()
    statement = insert(PromptControlTime).values(
        [
            {
                "assignment_id": assignment.id,
                "control": one.control,
                "completion_id": one.completion_id,
                "seconds": one.seconds,
            }
            for one in times
        ]
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["assignment_id", "control", "completion_id"],
            set_={"seconds": PromptControlTime.seconds + statement.excluded.seconds},
        )
    )
