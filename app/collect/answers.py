"""What annotators say: recorded once, changed with every version kept, never thrown away."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm.util import identity_key

from app.collect import controls, flagging
from app.collect.changing import keep_version, why_unchangeable
from app.collect.controls import TimeIn
from app.collect.eligibility import asked_of, takes_but_one
from app.collect.flagging import (
    Answers,
    FlagIn,
    check_flags,
    read_flags,
    with_archived,
    write_flags,
)
from app.collect.leases import check_text, held_lease
from app.collect.pairing import is_rating
from app.collect.queries import Lease, lease_in, take_room
from app.collect.slots import PAGE, TURN, minutes_of
from app.collect.standing import STANDING, Standing, one_at_a_time, standing_in
from app.db import Statement
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.projects.asking import Asking, asking_of
from app.tables.base import utc_now
from app.tables.collect import Assignment, AssignmentState, Comparison
from app.tables.projects import Project

LONGEST_COMMENT = 10_000
LONGEST_SECONDS = 86_400

_IS_SHOWN = """a.id = :shown and not exists (
    select from assignment o where o.annotator_id = :annotator and o.project_id = :project
        and o.state = 'leased' and o.slot = 0 and o.id <> :assignment
)"""

# All that an answer writes, the pair ahead that its page has turned to, and how its annotator
# stands then. Foreign keys are looked at when the statement ends. The columns see the tables as
# they were before it; the pair ahead waits for the other to have left its place on the page.
_WRITE = Statement(
    f"""
with ended as (
    update assignment set state = 'done', ended_at = clock_timestamp() where id = :assignment
    returning id
),
flagged as ({flagging.ADD}),
timed as ({controls.ADD}),
written as (
insert into comparison (
    id, project_id, assignment_id, pair_id, annotator_id, guideline_version_id, rating,
    is_about_equal, is_both_bad, confidence, comment, seconds, is_flipped, is_retest, is_surplus,
    idempotency_key
)
values (
    :comparison, :project, :assignment, :pair, :annotator, :guidelines, :rating,
    :is_about_equal, :is_both_bad, :confidence, :comment, :seconds, :is_flipped, :is_retest,
    :is_surplus, :idempotency_key
)
),
turned as ({TURN.format(after="from ended", condition=_IS_SHOWN)})
select {STANDING}, turned.* from (select) one left join turned on true
"""  # noqa: S608
)


def record_comparison(
    session: Session,
    *,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    rating: int,
    seconds: float,
    idempotency_key: str,
    flags: Sequence[FlagIn] = (),
    comment: str = "",
    is_about_equal: bool = False,
    is_both_bad: bool = False,
    confidence: int | None = None,
    times: Sequence[TimeIn] = (),
    project_id: uuid.UUID | None = None,
) -> Comparison:
    """Write the annotator's answer and end the assignment. `rating` is canonical, 1 to 8;
    `confidence` is 1 (a guess) to 5 (certain), None where unsaid; `times` are parts of `seconds`,
    checked by `check_times`.

    Sent again (a double click, a lost connection) the same answer gives the same row. After the
    lease has run out it counts if there is room, and is kept as surplus if not. Whoever answers
    through a project's address gives `project_id`, for the pair must be one of it. Raises NotFound,
    Forbidden, Conflict (another answer was given before; the pair was skipped) or Invalid.
    """
    one_at_a_time(session, annotator_id)
    held = held_lease(session, assignment_id, annotator_id, project_id=project_id)
    answer = Answer(
        rating, seconds, idempotency_key, flags, times,
        comment, is_about_equal, is_both_bad, confidence,
    )  # fmt: skip
    recorded = record_answer(session, held, asking_of(session, held.project_id), answer)
    known = session.identity_map.get(identity_key(Assignment, held.id))
    if known is not None:
        session.refresh(known)
    return session.get_one(Comparison, recorded.id)


@dataclass(frozen=True)
class Answer:
    """What an annotator says about a pair, canonical; see `record_comparison`."""

    rating: int
    seconds: float
    idempotency_key: str
    flags: Sequence[FlagIn] = ()
    times: Sequence[TimeIn] = ()
    comment: str = ""
    is_about_equal: bool = False
    is_both_bad: bool = False
    confidence: int | None = None


@dataclass(frozen=True)
class Turned:
    """The pair ahead to which a page has turned by itself, and for how many seconds it shows it."""

    to: uuid.UUID
    seconds: float


@dataclass(frozen=True)
class Recorded:
    """`mine` is how the annotator stands now, where the statement that wrote the answer has said
    so, and `page` the pair to which it turned."""

    id: uuid.UUID
    is_surplus: bool
    mine: Standing | None = None
    page: Lease | None = None


def record_answer(
    session: Session, held: Lease, asking: Asking, answer: Answer, turned: Turned | None = None
) -> Recorded:
    """`record_comparison` for callers that hold the assignment and know what is asked."""
    _check_answer(
        answer.rating, answer.comment, answer.confidence, answer.idempotency_key, answer.seconds
    )
    said = _Said(
        answer.rating,
        answer.is_about_equal,
        answer.is_both_bad,
        answer.confidence,
        answer.comment.strip(),
        check_flags(asking.every_flag, answer.flags),
    )
    if held.state == AssignmentState.DONE:
        return _same_again(session, held, said)
    if held.state == AssignmentState.SKIPPED:
        raise Conflict("You skipped this pair, so it went to others. Reload the page for the next.")
    is_late = held.state == AssignmentState.EXPIRED and not held.is_retest
    comparison_id = uuid.uuid4()
    is_surplus = is_late and not take_room(session, held.pair_id)
    row = _WRITE.one(
        session,
        {
            **asked_of(session, asking.project, n_open=1),
            "shown": turned and turned.to,
            "shown_for": turned.seconds if turned else 0.0,
            "minutes": minutes_of(asking.project, PAGE),
            "comparison": comparison_id,
            "is_surplus": is_surplus,
            "assignment": held.id,
            "project": held.project_id,
            "pair": held.pair_id,
            "annotator": held.annotator_id,
            "is_flipped": held.is_flipped,
            "is_retest": held.is_retest,
            "guidelines": asking.guidelines_id,
            "rating": said.rating,
            "is_about_equal": said.is_about_equal,
            "is_both_bad": said.is_both_bad,
            "confidence": said.confidence,
            "comment": said.comment,
            "seconds": answer.seconds,
            "idempotency_key": answer.idempotency_key,
            **flagging.values_of(said.answers),
            **controls.values_of(answer.times),
        },
    )
    recorded = Recorded(comparison_id, is_surplus)
    if takes_but_one(asking.project):
        return recorded
    mine, page = standing_in(asking.project, row), lease_in(row)
    if page is not None:
        mine = replace(mine, has_live=True, has_ahead=False)
    return replace(recorded, mine=mine, page=page)


@dataclass(frozen=True)
class _Said:
    """What an answer says, to tell the same one from another."""

    rating: int
    is_about_equal: bool
    is_both_bad: bool
    confidence: int | None
    comment: str
    answers: Answers


def _said(session: Session, comparison: Comparison) -> _Said:
    return _Said(
        comparison.rating,
        comparison.is_about_equal,
        comparison.is_both_bad,
        comparison.confidence,
        comparison.comment,
        read_flags(session, comparison.id, comparison.pair_id),
    )


def _same_again(session: Session, held: Lease, said: _Said) -> Recorded:
    comparison = session.scalars(
        select(Comparison).where(Comparison.assignment_id == held.id)
    ).one()
    if _said(session, comparison) != said:
        raise Conflict(
            "You have answered this pair before, and differently; that answer is kept. "
            "Change it in your history, or reload the page for the next pair."
        )
    return Recorded(comparison.id, comparison.is_surplus)


def own_comparison(
    session: Session,
    comparison_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    project_id: uuid.UUID | None,
    lock: bool = False,
) -> Comparison:
    """The annotator's answer in that project; None is for callers that act for no project.

    Raises NotFound for one that does not exist, is someone else's or belongs to another project.
    """
    found = select(Comparison).where(
        Comparison.id == comparison_id, Comparison.annotator_id == annotator_id
    )
    if project_id is not None:
        found = found.where(Comparison.project_id == project_id)
    if lock:
        found = found.with_for_update().execution_options(populate_existing=True)
    comparison = session.scalar(found)
    if comparison is None:
        raise NotFound("There is no such answer of yours.")
    return comparison


def change_comparison(
    session: Session,
    comparison_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    rating: int,
    flags: Sequence[FlagIn] = (),
    comment: str = "",
    is_about_equal: bool = False,
    is_both_bad: bool = False,
    confidence: int | None = None,
    after: int | None = None,
    project_id: uuid.UUID | None = None,
) -> Comparison:
    """Say something else than before; what was said before is kept as a revision.

    Answers to flags that were archived since stay. `after` is the revision that the annotator saw:
    Conflict where another tab was faster. Saying the same changes nothing. Raises Forbidden once
    the project's time for changes has passed, and NotFound or Invalid as well.
    """
    _check_answer(rating, comment, confidence)
    comparison = own_comparison(
        session, comparison_id, annotator_id, project_id=project_id, lock=True
    )
    old = _said(session, comparison)
    known = asking_of(session, comparison.project_id).every_flag
    answers = with_archived(known, new=check_flags(known, flags), old=old.answers)
    new = _Said(rating, is_about_equal, is_both_bad, confidence, comment.strip(), answers)
    if new == old:
        return comparison
    project = session.get_one(Project, comparison.project_id)
    if refusal := why_unchangeable(session, project, comparison):
        raise Forbidden(refusal)
    if after is not None and after != comparison.revision:
        raise Conflict("You have changed this answer in another tab. Reload the page to see it.")
    keep_version(session, comparison, old.answers)
    comparison.rating, comparison.comment = new.rating, new.comment
    comparison.is_about_equal, comparison.is_both_bad = is_about_equal, is_both_bad
    comparison.confidence = confidence
    session.flush()
    write_flags(session, comparison.id, comparison.pair_id, answers)
    return comparison


def active_seconds(claimed: float, assignment: Assignment | Lease) -> float:
    """Active seconds as a page counted them, held between nothing and the time it was open."""
    if not math.isfinite(claimed):
        raise Invalid("The seconds must be a number.", field="seconds")
    open_for = (utc_now() - assignment.created_at).total_seconds()
    return max(0.0, min(claimed, open_for))


def _check_answer(
    rating: int, comment: str, confidence: int | None, key: str = "-", seconds: float = 0.0
) -> None:
    if not is_rating(rating):
        raise Invalid("Choose one of the eight cells: a rating from 1 to 8.", field="rating")
    if confidence is not None and not 1 <= confidence <= 5:
        raise Invalid("Confidence is a number from 1 to 5, or unsaid.", field="confidence")
    check_text(comment, LONGEST_COMMENT, "comment")
    if not 1 <= len(key) <= 200 or "\x00" in key:
        raise Invalid("The idempotency key has 1 to 200 characters.", field="idempotency_key")
    if not 0 <= seconds < LONGEST_SECONDS:
        raise Invalid("The seconds are a number from 0 to a day's.", field="seconds")
