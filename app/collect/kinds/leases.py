"""Who holds which prompt, for every kind of feedback whose unit of work is a prompt.

A row of `prompt_assignment` is the lease. A claim locks one prompt that nobody else is claiming
(SKIP LOCKED) and then, in a statement that sees what was committed before the lock, counts its
takers: never more live leases and counted answers than the project's overlap.
"""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.collect.controls import PromptTimeIn
from app.collect.kinds.times import add_times
from app.collect.leases import CHANCE, LONGEST_REASON, Nothing, Why, check_text, must_read
from app.collect.standing import one_at_a_time, standing
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.projects.remaining import MANY
from app.tables.base import utc_now
from app.tables.collect import AssignmentState, Completion
from app.tables.kinds import PromptAssignment, PromptKind
from app.tables.projects import GuidelineVersion, Project

MOST_SHOWN = 9  # one digit each
LEAST_RANKED = 3  # two completions are compared and not ranked
TRIES = 5

SWITCHES = {
    PromptKind.RANK: "is_ranking_on",
    PromptKind.RATE: "is_rating_on",
    PromptKind.DEMONSTRATE: "is_demonstration_on",
}
# How many different completions a prompt needs before this kind can be asked about it.
NEEDS = {PromptKind.RANK: LEAST_RANKED, PromptKind.RATE: 1, PromptKind.DEMONSTRATE: 0}

_OPEN = """
    p.project_id = :project
    and not exists (select from prompt_assignment a where a.prompt_id = p.id and a.kind = :kind
        and a.annotator_id = :annotator and a.state <> 'expired')
    and (select count(*) from prompt_assignment a where a.prompt_id = p.id and a.kind = :kind
        and (a.state = 'leased' or (a.state = 'done' and not a.is_surplus))) < :overlap
    and (:needs = 0 or (select count(distinct c.content_hash) from completion c
        where c.prompt_id = p.id and c.author_id is null) >= :needs)
"""
# First what this person began and let go of, then what others began, then a prompt at random:
# hashes are uniform, so the first one after a random point is a uniform draw.
_BEGUN = text(
    f"""
    select p.id from prompt p
    where p.id in (
        select a.prompt_id from prompt_assignment a
        where a.project_id = :project and a.kind = :kind
            and (a.state in ('leased', 'done') or a.annotator_id = :annotator)
        group by a.prompt_id
        having count(*) filter (where a.state in ('leased', 'done') and not a.is_surplus) < :overlap
        order by bool_or(a.annotator_id = :annotator) desc limit 50
    ) and {_OPEN}
    limit 1 for no key update of p skip locked
    """  # noqa: S608
)
_AFTER = text(
    f"""
    select p.id from prompt p where p.content_hash >= :point and {_OPEN}
    order by p.content_hash limit 1 for no key update of p skip locked
    """  # noqa: S608
)
_LEFT = text(f"select count(*) from (select 1 from prompt p where {_OPEN} limit :many) x")  # noqa: S608
_EXPIRE = text(
    """
    update prompt_assignment set state = 'expired', ended_at = clock_timestamp() where id in (
        select id from prompt_assignment
        where project_id = :project and kind = :kind and state = 'leased'
            and lease_until < clock_timestamp()
        for update skip locked
    )
    """
)


def is_on(project: Project, kind: PromptKind) -> bool:
    return bool(getattr(project, SWITCHES[kind]))


def open_work(
    session: Session, project_id: uuid.UUID, person_id: uuid.UUID
) -> dict[PromptKind, int]:
    """How many prompts are left for this person, by kind, for the kinds that the project asks.

    Counted up to 101, which reads "more than 100". A prompt on the person's page counts.
    """
    project = session.get_one(Project, project_id)
    kinds = [kind for kind in PromptKind if is_on(project, kind)]
    return {kind: _n_left(session, project, person_id, kind) for kind in kinds}


def _n_left(session: Session, project: Project, annotator_id: uuid.UUID, kind: PromptKind) -> int:
    held = select(func.count()).where(
        PromptAssignment.project_id == project.id,
        PromptAssignment.annotator_id == annotator_id,
        PromptAssignment.kind == kind,
        PromptAssignment.state == AssignmentState.LEASED,
    )
    n = session.scalar(_LEFT, {**_who(project, annotator_id, kind), "many": MANY + 1}) or 0
    return min(MANY + 1, n + (session.scalar(held) or 0))


def _who(project: Project, annotator_id: uuid.UUID, kind: PromptKind) -> dict[str, object]:
    return {
        "project": project.id,
        "annotator": annotator_id,
        "kind": kind.value,
        "overlap": project.overlap,
        "needs": NEEDS[kind],
    }


def next_prompt(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    kind: PromptKind,
    *,
    rng: random.Random | None = None,
) -> PromptAssignment | Nothing:
    """The prompt on this annotator's page for this kind, renewed, or else a new lease.

    Raises NotFound where the project does not ask for this kind.
    """
    require_on(project, kind)
    one_at_a_time(session, annotator_id)
    mine = standing(session, project, annotator_id)
    if mine.is_paused or project.is_archived:
        return Nothing(Why.PAUSED)
    session.execute(_EXPIRE, {"project": project.id, "kind": kind.value})
    live = _live(session, project.id, annotator_id, kind)
    if live is not None:
        live.lease_until = _lease_end(project)
        session.flush()
        return live
    if must_read(project, mine):
        return Nothing(Why.UNREAD)
    if mine.hindrance is not None:
        is_limit = mine.hindrance.is_limit
        return Nothing(Why.LIMIT_REACHED if is_limit else Why.NOT_ELIGIBLE, mine.hindrance)
    found = _claim(session, project, annotator_id, kind, rng or CHANCE)
    return found or Nothing(_why(session, project, annotator_id, kind))


def require_on(project: Project, kind: PromptKind) -> None:
    if not is_on(project, kind):
        raise NotFound(
            "This project does not ask for this kind of feedback. Its settings page turns it on."
        )


def _live(
    session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID, kind: PromptKind
) -> PromptAssignment | None:
    return session.scalar(
        select(PromptAssignment)
        .where(
            PromptAssignment.project_id == project_id,
            PromptAssignment.annotator_id == annotator_id,
            PromptAssignment.kind == kind,
            PromptAssignment.state == AssignmentState.LEASED,
        )
        .execution_options(populate_existing=True)
    )


def _claim(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    kind: PromptKind,
    rng: random.Random,
) -> PromptAssignment | None:
    who = _who(project, annotator_id, kind)
    point = rng.randbytes(32)
    for _ in range(TRIES):
        prompt_id = (
            session.scalar(_BEGUN, who)
            or session.scalar(_AFTER, {**who, "point": point})
            or session.scalar(_AFTER, {**who, "point": b""})
        )
        if prompt_id is None:
            return None
        # We hold the prompt: whoever took it before has committed, and this statement sees it.
        if n_taken(session, prompt_id, kind) < project.overlap:
            return _write(session, project, annotator_id, kind, prompt_id=prompt_id, rng=rng)
    return None


def _write(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    kind: PromptKind,
    *,
    prompt_id: uuid.UUID,
    rng: random.Random,
) -> PromptAssignment:
    values = {"state": AssignmentState.LEASED, "lease_until": _lease_end(project), "ended_at": None}
    statement = (
        insert(PromptAssignment)
        .values(
            project_id=project.id,
            prompt_id=prompt_id,
            annotator_id=annotator_id,
            kind=kind,
            shown=_shuffled(session, prompt_id, kind, rng),
            **values,
        )
        # An own lease that had run out comes back with the order that was shown.
        .on_conflict_do_update(index_elements=["prompt_id", "annotator_id", "kind"], set_=values)
        .returning(PromptAssignment)
    )
    return session.scalars(statement, execution_options={"populate_existing": True}).one()


def _shuffled(
    session: Session, prompt_id: uuid.UUID, kind: PromptKind, rng: random.Random
) -> list[uuid.UUID]:
    """Which completions are shown, and in which order: chance decides, and the row keeps it."""
    if not NEEDS[kind]:
        return []
    rows = session.execute(
        select(Completion.id, Completion.content_hash)
        .where(Completion.prompt_id == prompt_id, Completion.author_id.is_(None))
        .order_by(Completion.id)
    )
    different = list({row.content_hash: row.id for row in rows}.values())
    return rng.sample(different, min(len(different), MOST_SHOWN))


def n_taken(session: Session, prompt_id: uuid.UUID, kind: PromptKind) -> int:
    """Live leases and counted answers of a prompt."""
    found = select(func.count()).where(
        PromptAssignment.prompt_id == prompt_id,
        PromptAssignment.kind == kind,
        PromptAssignment.state.in_([AssignmentState.LEASED, AssignmentState.DONE]),
        ~PromptAssignment.is_surplus,
    )
    return session.scalar(found) or 0


def _why(session: Session, project: Project, annotator_id: uuid.UUID, kind: PromptKind) -> Why:
    who = _who(project, annotator_id, kind)
    roomy = {**who, "overlap": 2**30, "many": 1}
    if session.scalar(_LEFT, roomy):
        held = select(PromptAssignment.id).where(
            PromptAssignment.project_id == project.id,
            PromptAssignment.kind == kind,
            PromptAssignment.state == AssignmentState.LEASED,
        )
        return Why.BUSY if session.scalar(held.limit(1)) else Why.DONE
    mine = select(PromptAssignment.id).where(
        PromptAssignment.project_id == project.id, PromptAssignment.kind == kind
    )
    return Why.DONE if session.scalar(mine.limit(1)) else Why.EMPTY


def own_prompt(
    session: Session,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    project_id: uuid.UUID,
    kind: PromptKind,
) -> PromptAssignment:
    """The annotator's assignment of that kind, locked. Raises NotFound or Forbidden."""
    one_at_a_time(session, annotator_id)
    found = session.scalar(
        select(PromptAssignment)
        .where(
            PromptAssignment.id == assignment_id,
            PromptAssignment.project_id == project_id,
            PromptAssignment.kind == kind,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound("There is no such assignment. Reload the page to get the next one.")
    if found.annotator_id != annotator_id:
        raise Forbidden("This was given to someone else. Reload the page to get your own.")
    return found


def skip(session: Session, assignment: PromptAssignment, reason: str) -> None:
    """Hand the prompt to others for good, and say why. Raises Invalid or Conflict."""
    reason = reason.strip()
    if not reason:
        raise Invalid("Say why you skip this.", field="reason")
    check_text(reason, LONGEST_REASON, "reason")
    if assignment.state is AssignmentState.DONE:
        raise Conflict("You have answered this already. Reload the page for the next one.")
    assignment.skip_reason = reason
    _end(session, assignment, AssignmentState.SKIPPED)


def release(session: Session, assignment: PromptAssignment) -> None:
    """Give the prompt back for now: it goes to others, or to the same person again later."""
    if assignment.state is AssignmentState.LEASED:
        _end(session, assignment, AssignmentState.EXPIRED)


def give_again(session: Session, assignment: PromptAssignment) -> None:
    """Lease what was skipped to the same person once more; the caller has made room."""
    assignment.state, assignment.ended_at, assignment.skip_reason = AssignmentState.LEASED, None, ""
    assignment.lease_until = _lease_end(session.get_one(Project, assignment.project_id))
    session.flush()


def renew(session: Session, assignment: PromptAssignment) -> bool:
    """Keep the prompt for another lease while its page is open. False where it has ended."""
    if assignment.state is not AssignmentState.LEASED:
        return False
    assignment.lease_until = _lease_end(session.get_one(Project, assignment.project_id))
    session.flush()
    return True


@dataclass(frozen=True)
class Finished:
    """What every kind notes when it is answered; `times` are parts of `seconds`, checked."""

    seconds: float
    comment: str = ""
    times: Sequence[PromptTimeIn] = ()


def finish(session: Session, assignment: PromptAssignment, said: Finished) -> bool:
    """End the lease as answered; False where it was before, so that nothing is written twice.

    After the lease has run out it counts if there is room, and is kept as surplus if not. Raises
    Conflict for what was skipped, Invalid for a comment that cannot be kept.
    """
    check_text(said.comment, 10_000, "comment")
    if assignment.state is AssignmentState.DONE:
        return False
    if assignment.state is AssignmentState.SKIPPED:
        raise Conflict("You skipped this, so it went to others. Reload the page for the next.")
    if assignment.state is AssignmentState.EXPIRED:
        assignment.is_surplus = not has_room(session, assignment)
    assignment.seconds, assignment.comment = said.seconds, said.comment.strip()
    assignment.guideline_version_id = session.scalar(
        select(GuidelineVersion.id)
        .where(GuidelineVersion.project_id == assignment.project_id)
        .order_by(GuidelineVersion.number.desc())
        .limit(1)
    )
    _end(session, assignment, AssignmentState.DONE)
    add_times(session, assignment, said.times)
    return True


def has_room(session: Session, assignment: PromptAssignment) -> bool:
    """Whether the prompt wants one more answer; locks it, so that this stays so."""
    lock = text("select 1 from prompt where id = :id for no key update")
    session.execute(lock, {"id": assignment.prompt_id})
    overlap = session.get_one(Project, assignment.project_id).overlap
    return n_taken(session, assignment.prompt_id, assignment.kind) < overlap


def refuse_another(is_same: bool) -> None:
    """Sent twice the same is harmless; two different answers are a Conflict."""
    if not is_same:
        raise Conflict(
            "You have answered this before, and differently; that answer is kept. "
            "Reload the page for the next one."
        )


def in_order(assignment: PromptAssignment, found: Sequence[Completion]) -> list[Completion]:
    """The completions as they were shown."""
    by_id = {completion.id: completion for completion in found}
    return [by_id[one] for one in assignment.shown]


def _end(session: Session, assignment: PromptAssignment, state: AssignmentState) -> None:
    assignment.state, assignment.ended_at = state, utc_now()
    session.flush()


def _lease_end(project: Project) -> ColumnElement[datetime]:
    return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, project.lease_minutes)
