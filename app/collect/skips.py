"""Skips: with a reason from the project's list, taken back within a minute, and what all skip."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.collect.leases import end, give_again, own_assignment, skip
from app.collect.queries import take_back, take_room
from app.collect.standing import one_at_a_time
from app.errors import Conflict, NotFound
from app.projects.held import hold_skipped
from app.projects.skipping import in_words
from app.tables.base import utc_now
from app.tables.collect import Assignment, AssignmentState, Expiry, Pair
from app.tables.kinds import PromptAssignment
from app.tables.projects import Project

TAKE_BACK = timedelta(minutes=1)
MOST_STUCK = 200


def skip_for(
    session: Session,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    project_id: uuid.UUID,
    reason_id: uuid.UUID | None,
    words: str,
) -> Assignment:
    """Skip for a reason of the list, with words beside it or, without one, in words alone.

    Raises Invalid where words are missing, and what `leases.skip` raises.
    """
    said = in_words(session, project_id, reason_id, words)
    assignment = skip(session, assignment_id, annotator_id, said, project_id=project_id)
    assignment.skip_reason_id = assignment.skip_reason_id or reason_id
    session.flush()
    return assignment


def last_skip(
    session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID
) -> Assignment | None:
    """The annotator's last skip, if it may still be taken back."""
    return session.scalar(
        select(Assignment)
        .where(
            Assignment.annotator_id == annotator_id,
            Assignment.project_id == project_id,
            Assignment.state == AssignmentState.SKIPPED,
            Assignment.ended_at > utc_now() - TAKE_BACK,
        )
        .order_by(Assignment.ended_at.desc())
        .limit(1)
    )


def unskip(
    session: Session,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    project_id: uuid.UUID,
) -> Assignment:
    """Take a skip back within a minute; the pair that came instead goes back to the queue.

    Raises Conflict once the minute is over, or others have given all the answers that were wanted.
    """
    one_at_a_time(session, annotator_id)
    skipped = own_assignment(session, assignment_id, annotator_id, project_id=project_id, lock=True)
    if skipped.state is AssignmentState.LEASED:
        return skipped
    refuse_gone(skipped)
    if not skipped.is_retest and not take_room(session, skipped.pair_id):
        raise Conflict("Others have taken that pair meanwhile; there is no room left in it.")
    _put_aside(session, skipped)
    skipped.skip_reason, skipped.skip_reason_id = "", None
    give_again(session, skipped)
    hold_skipped(session, session.get_one(Project, project_id), skipped.pair_id)
    return skipped


def refuse_gone(skipped: Assignment | PromptAssignment) -> None:
    """Raises Conflict for what was not skipped within the last minute."""
    is_late = skipped.ended_at is None or skipped.ended_at < utc_now() - TAKE_BACK
    if skipped.state is not AssignmentState.SKIPPED or is_late:
        raise Conflict("A skip can be taken back within a minute. This one has gone to others.")


def _put_aside(session: Session, skipped: Assignment) -> None:
    """End the lease that holds the place on the page; it comes back to the same person."""
    held = session.scalar(
        select(Assignment)
        .where(
            Assignment.annotator_id == skipped.annotator_id,
            Assignment.project_id == skipped.project_id,
            Assignment.state == AssignmentState.LEASED,
            Assignment.slot == skipped.slot,
        )
        .with_for_update()
    )
    if held is None:
        return
    if not held.is_retest:
        take_back(session, held.pair_id)
    end(held, AssignmentState.EXPIRED)
    session.flush()


# Pairs that wait for answers, and that nobody is left for, or enough people have skipped.
_STUCK = """
select a.pair_id, count(*) as n, max(a.ended_at) as last_at
from assignment a join pair p on p.id = a.pair_id
where a.project_id = :project and a.state = 'skipped' and not a.is_retest
    and (p.is_open or p.expiry = 'skipped') and p.n_taken < p.overlap
group by a.pair_id
having (cast(:enough as int) is not null and count(*) >= cast(:enough as int)) or not exists (
    select from membership m join person pe on pe.id = m.person_id
    where m.project_id = :project and m.role = 'annotator' and pe.is_active
        and (cardinality(cast(:languages as text[])) = 0
            or pe.languages && cast(:languages as text[]))
        and not exists (
            select from qualification q
            where q.project_id = :project and q.is_required and not exists (
                select from qualification_grant g where g.qualification_id = q.id
                    and g.person_id = pe.id and g.revoked_at is null
            )
        )
        and not exists (
            select from assignment o where o.pair_id = a.pair_id and o.annotator_id = pe.id
                and not o.is_retest and o.state in ('skipped', 'done')
        )
)
"""
_LISTED = text(f"{_STUCK} order by n desc, last_at desc limit {MOST_STUCK}")
_COUNTED = text(f"select count(*) from ({_STUCK}) stuck")  # noqa: S608


@dataclass(frozen=True)
class Stuck:
    """A pair that all skip: why, in each one's words, and when the last one did."""

    pair_id: uuid.UUID
    n: int
    last_at: datetime
    reasons: list[tuple[str, int]]


def _asked(project: Project) -> dict[str, object]:
    return {
        "project": project.id,
        "enough": project.skips_to_admin,
        "languages": project.languages,
    }


def n_stuck(session: Session, project: Project) -> int:
    return session.scalar(_COUNTED, _asked(project)) or 0


def stuck_pairs(session: Session, project: Project) -> list[Stuck]:
    """The pairs that all who might answer have skipped, or enough people have; most skips first."""
    rows = session.execute(_LISTED, _asked(project)).all()
    why: dict[uuid.UUID, list[tuple[str, int]]] = {}
    counted = (
        select(Assignment.pair_id, Assignment.skip_reason, func.count())
        .where(
            Assignment.project_id == project.id,
            Assignment.state == AssignmentState.SKIPPED,
            Assignment.pair_id.in_([row.pair_id for row in rows]),
        )
        .group_by(Assignment.pair_id, Assignment.skip_reason)
        .order_by(func.count().desc())
    )
    for pair_id, reason, n in session.execute(counted):
        why.setdefault(pair_id, []).append((reason, n))
    return [Stuck(row.pair_id, row.n, row.last_at, why[row.pair_id]) for row in rows]


def close_pair(session: Session, project: Project, pair_id: uuid.UUID, *, by: uuid.UUID) -> None:
    """Take a pair out of the queue; its answers stay."""
    pair = _pair(session, project, pair_id)
    pair.is_open = False
    if pair.expiry is Expiry.SKIPPED:
        pair.expiry = None
    session.flush()
    _record(session, "pair.closed", project, pair_id, by)


def put_back(session: Session, project: Project, pair_id: uuid.UUID, *, by: uuid.UUID) -> int:
    """Offer a pair again to those who skipped it; their reasons stay. Returns how many they are."""
    _pair(session, project, pair_id)
    skipped: Sequence[Assignment] = session.scalars(
        select(Assignment)
        .where(Assignment.pair_id == pair_id, Assignment.state == AssignmentState.SKIPPED)
        .with_for_update()
    ).all()
    for assignment in skipped:
        assignment.state = AssignmentState.EXPIRED
    hold_skipped(session, project, pair_id)
    _record(session, "pair.put_back", project, pair_id, by)
    return len(skipped)


def _pair(session: Session, project: Project, pair_id: uuid.UUID) -> Pair:
    pair = session.scalar(
        select(Pair).where(Pair.id == pair_id, Pair.project_id == project.id).with_for_update()
    )
    if pair is None:
        raise NotFound("This project has no such pair.")
    return pair


def _record(
    session: Session, action: str, project: Project, pair_id: uuid.UUID, by: uuid.UUID
) -> None:
    record_event(
        session, action, actor_id=by, project_id=project.id, subject=f"pair {str(pair_id)[:8]}"
    )
