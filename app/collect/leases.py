"""Who holds which pair: lease, renew, skip, give back."""

import random
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.orm import Session

from app.collect.draws import draw_next
from app.collect.eligibility import Hindrance
from app.collect.pairing import is_flipped
from app.collect.queries import (
    LEASE,
    Lease,
    has_pairs,
    lease_in,
    others_hold_some,
    revive,
    sweep_expired,
    take_back,
    take_room,
)
from app.collect.slots import PAGE, minutes_of, renew, turn
from app.collect.standing import Standing, one_at_a_time, standing
from app.db import Statement
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.projects.held import hold_skipped
from app.projects.walk import walk
from app.tables.base import utc_now
from app.tables.collect import Assignment, AssignmentState, Draw, Pair
from app.tables.projects import Project

LONGEST_REASON = 1_000

_FOUND = select(Assignment).where(Assignment.id == bindparam("id"))
_FOUND_AND_LOCKED = _FOUND.with_for_update().execution_options(populate_existing=True)

CHANCE = random.SystemRandom()


class Why(StrEnum):
    """Why there is no pair for an annotator: different things, said differently."""

    BUSY = "busy"  # others have on their pages what is left
    DONE = "done"  # everything that this annotator could answer is answered
    PAUSED = "paused"  # the annotator or the project rests
    EMPTY = "empty"  # nothing has been imported yet
    NOT_ELIGIBLE = "not_eligible"  # a language or a qualification is missing
    UNREAD = "unread"  # the guidelines are to be read first
    LIMIT_REACHED = "limit_reached"  # this is all that the project takes from one person, for now


@dataclass(frozen=True)
class Nothing:
    """`hindrance` says in words what NOT_ELIGIBLE and LIMIT_REACHED are about."""

    why: Why
    hindrance: Hindrance | None = None


def next_assignment(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    rng: random.Random | None = None,
) -> Assignment | Nothing:
    """The pair on this annotator's page: the one already leased, renewed, or else a new lease.

    A reload and a second tab get the same one. Then the pair that was leased ahead; then an own
    lease that ran out unanswered, where there still is room; then a pair that others began; then
    a fresh one from the mixture.
    """
    found, _ = lease_and_standing(session, project, annotator_id, rng)
    if isinstance(found, Nothing):
        return found
    return session.get_one(Assignment, found.id, populate_existing=True)


def lease_and_standing(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    rng: random.Random | None = None,
    *,
    mine: Standing | None = None,
    shown_for: float = 0.0,
) -> tuple[Lease | Nothing, Standing]:
    """What `next_assignment` gives, without the object, and how the annotator stood before it.

    `mine` spares a look where that is known. A pair that was leased ahead has been on their page
    for `shown_for` seconds.
    """
    one_at_a_time(session, annotator_id)
    mine = mine or standing(session, project, annotator_id)
    return _next(session, project, annotator_id, mine, rng=rng, shown_for=shown_for), mine


def _next(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    mine: Standing,
    *,
    rng: random.Random | None,
    shown_for: float,
) -> Lease | Nothing:
    if refused := refusal(project, mine):
        return refused
    if mine.has_live and (live := renew(session, project, annotator_id)):
        return live
    if mine.has_ahead and (ahead := turn(session, project, annotator_id, shown_for)):
        return ahead
    found = hand_out(session, project, annotator_id, rng or CHANCE, has_expired=mine.has_expired)
    if found is None and sweep_expired(session):
        found = hand_out(session, project, annotator_id, rng or CHANCE, has_expired=False)
    if found is not None:
        return found
    if not has_pairs(session, project.id):
        return Nothing(Why.EMPTY)
    is_busy = others_hold_some(session, project.id, annotator_id)
    # Busy too while a long look for more is not over: such a page looks again by itself.
    may_find = is_busy or walk(session, project.id, annotator_id).may_find
    return Nothing(Why.BUSY if may_find else Why.DONE)


def refusal(project: Project, mine: Standing) -> Nothing | None:
    """Why this person gets nothing whatever is free. A pair that is open may be finished."""
    if mine.is_paused or project.is_archived:
        return Nothing(Why.PAUSED)
    if must_read(project, mine) and not mine.has_live:
        return Nothing(Why.UNREAD)
    if mine.hindrance is None or (mine.hindrance.is_limit and mine.has_live):
        return None
    why = Why.LIMIT_REACHED if mine.hindrance.is_limit else Why.NOT_ELIGIBLE
    return Nothing(why, mine.hindrance)


def must_read(project: Project, mine: Standing) -> bool:
    return project.is_reading_required and mine.unread is not None


def hand_out(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    rng: random.Random,
    *,
    has_expired: bool,
    slot: int = PAGE,
) -> Lease | None:
    """A new lease in a free slot: on what ran out unanswered, or on what the mixture draws."""
    if has_expired:
        who = {"project_id": project.id, "annotator_id": annotator_id}
        if old := revive(session, **who, minutes=minutes_of(project, slot), slot=slot):
            return old
    return draw_next(session, project, annotator_id, rng, slot)


def assign(
    session: Session,
    pair_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    draw: Draw = Draw.OVERLAP,
    probability: float = 1.0,
    project_id: uuid.UUID | None = None,
) -> Assignment:
    """Lease a named pair to the annotator, outside the queue's mixture.

    Raises NotFound, or Conflict where the pair has enough answers, the annotator had it already or
    holds another one.
    """
    one_at_a_time(session, annotator_id)
    row = session.execute(
        select(Pair.project_id, Project.seed, Project.lease_minutes)
        .join(Project, Project.id == Pair.project_id)
        .where(Pair.id == pair_id)
    ).one_or_none()
    if row is None or project_id not in (None, row.project_id):
        raise NotFound("There is no such pair.")
    taken = session.scalar(
        select(Assignment.id)
        .where(
            Assignment.annotator_id == annotator_id,
            (Assignment.pair_id == pair_id)
            | (
                (Assignment.project_id == row.project_id)
                & (Assignment.state == AssignmentState.LEASED)
                & (Assignment.slot == PAGE)
            ),
        )
        .limit(1)
    )
    if taken is not None:
        raise Conflict("This annotator has had this pair already, or has another one open.")
    if not take_room(session, pair_id):
        raise Conflict("This pair has all the answers that it needs.")
    assignment = Assignment(
        project_id=row.project_id,
        pair_id=pair_id,
        annotator_id=annotator_id,
        draw=draw,
        draw_probability=probability,
        is_flipped=is_flipped(annotator_id, pair_id, row.seed),
        lease_until=_lease_end(row.lease_minutes),
    )
    session.add(assignment)
    session.flush()
    return assignment


def own_assignment(
    session: Session,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    project_id: uuid.UUID | None,
    lock: bool = False,
) -> Assignment:
    """The annotator's assignment in that project; None is for callers that act for no project.

    Raises NotFound, also where it belongs to another project, or Forbidden where it was given to
    someone else.
    """
    assignment = session.scalar(_FOUND_AND_LOCKED if lock else _FOUND, {"id": assignment_id})
    return _own(assignment, annotator_id, project_id)


_HELD = Statement(
    f"select {LEASE.format(table='assignment')} from assignment where id = :id for update"  # noqa: S608
)


def held_lease(
    session: Session,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    project_id: uuid.UUID | None,
) -> Lease:
    """`own_assignment`, locked, for the answer to a pair."""
    held = lease_in(_HELD.first(session, {"id": assignment_id}))
    return _own(held, annotator_id, project_id)


Own = TypeVar("Own", Assignment, Lease)


def _own(found: Own | None, annotator_id: uuid.UUID, project_id: uuid.UUID | None) -> Own:
    if found is None or project_id not in (None, found.project_id):
        raise NotFound("There is no such assignment. Reload the page to get the next pair.")
    if found.annotator_id != annotator_id:
        raise Forbidden("This pair was given to someone else. Reload the page to get your own.")
    return found


def skip(
    session: Session,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    reason: str,
    *,
    project_id: uuid.UUID | None = None,
) -> Assignment:
    """Hand the pair to others for good, and say why. Raises Conflict once it is answered."""
    reason = reason.strip()
    if not reason:
        raise Invalid("Say why you skip this pair.", field="reason")
    check_text(reason, LONGEST_REASON, "reason")
    one_at_a_time(session, annotator_id)
    assignment = own_assignment(
        session, assignment_id, annotator_id, project_id=project_id, lock=True
    )
    if assignment.state is AssignmentState.DONE:
        raise Conflict("You have answered this pair. Change the answer in your history instead.")
    if assignment.state is AssignmentState.SKIPPED:
        return assignment
    if assignment.state is AssignmentState.LEASED:
        _take_back(session, assignment)
    assignment.skip_reason = reason
    end(assignment, AssignmentState.SKIPPED)
    session.flush()
    project = session.get_one(Project, assignment.project_id)
    if project.skips_to_admin is not None:
        hold_skipped(session, project, assignment.pair_id)
    return assignment


def release(
    session: Session,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    project_id: uuid.UUID | None = None,
) -> None:
    """Give the pair back for now: it goes to others, or to the same person again later."""
    one_at_a_time(session, annotator_id)
    assignment = own_assignment(
        session, assignment_id, annotator_id, project_id=project_id, lock=True
    )
    if assignment.state is AssignmentState.LEASED:
        _take_back(session, assignment)
        end(assignment, AssignmentState.EXPIRED)
        session.flush()


def give_again(session: Session, assignment: Assignment) -> None:
    """Lease an ended assignment to the same person once more; the caller has made room."""
    project = session.get_one(Project, assignment.project_id)
    assignment.state, assignment.ended_at = AssignmentState.LEASED, None
    _extend(session, assignment, project.lease_minutes)


def renew_lease(
    session: Session,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    project_id: uuid.UUID | None = None,
) -> bool:
    """Keep the pair for another lease while its page is open. False where it has ended."""
    one_at_a_time(session, annotator_id)
    assignment = own_assignment(
        session, assignment_id, annotator_id, project_id=project_id, lock=True
    )
    if assignment.state is not AssignmentState.LEASED:
        return False
    project = session.get_one(Project, assignment.project_id)
    _extend(session, assignment, project.lease_minutes)
    return True


def _take_back(session: Session, assignment: Assignment) -> None:
    if not assignment.is_retest:
        take_back(session, assignment.pair_id)


def end(assignment: Assignment, state: AssignmentState) -> None:
    assignment.state = state
    assignment.ended_at = utc_now()


def _lease_end(minutes: int) -> ColumnElement[datetime]:
    # By the database's clock: the sweep compares every lease with it.
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, minutes)


def _extend(session: Session, assignment: Assignment, minutes: int) -> None:
    assignment.lease_until = _lease_end(minutes)
    session.flush()


def check_text(words: str, longest: int, field: str) -> None:
    if len(words) > longest:
        raise Invalid(f"Use at most {longest:,} characters.", field=field)
    if "\x00" in words:
        raise Invalid("The text holds a NUL character, which cannot be stored.", field=field)
    try:
        words.encode()
    except UnicodeEncodeError as error:
        raise Invalid("The text holds half a character (a lone surrogate).", field=field) from error
