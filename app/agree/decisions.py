"""What an admin decides about someone's work: with a reason, on the trail, and undoable.

Nothing here happens by itself: evidence never excludes anyone.
"""

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.accounts.queries import is_resting
from app.accounts.service import pause, resume
from app.agree.upkeep import mark_stale
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.tables.accounts import Membership, Person, Role
from app.tables.agree import Exclusion, StaffNote
from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.projects import Project

LONGEST_REASON = 2_000


def find_worker(session: Session, project: Project, person_id: uuid.UUID) -> Person:
    """Someone who is a member of the project or answered in it. Raises NotFound."""
    member = select(Membership.id).where(
        Membership.project_id == project.id, Membership.person_id == person_id
    )
    answered = select(Comparison.id).where(
        Comparison.project_id == project.id, Comparison.annotator_id == person_id
    )
    person = session.get(Person, person_id)
    if person is None or not (session.scalar(member.limit(1)) or session.scalar(answered.limit(1))):
        raise NotFound("This person has no part in the project.")
    return person


def find_seen(
    session: Session, project: Project, person_id: uuid.UUID, *, by: Person, is_staff: bool
) -> Person:
    """Someone whose work `by` may read: anyone's for staff, else one's own.

    Raises Forbidden, NotFound.
    """
    if not is_staff and by.id != person_id:
        raise Forbidden("Only admins, researchers and the person themselves see this page.")
    return find_worker(session, project, person_id)


def standing_exclusion(
    session: Session, project_id: uuid.UUID, person_id: uuid.UUID, *, is_own: bool = False
) -> Exclusion | None:
    """An admin's; or the person's own, who withdrew the answers and alone may bring them back."""
    return session.scalar(
        select(Exclusion).where(
            Exclusion.project_id == project_id,
            Exclusion.person_id == person_id,
            Exclusion.is_own.is_(is_own),
            Exclusion.lifted_at.is_(None),
        )
    )


def is_paused(session: Session, project_id: uuid.UUID, person_id: uuid.UUID) -> bool | None:
    """Whether the person is handed no pairs; None for someone who is no annotator here."""
    return session.scalar(
        select(is_resting()).where(
            Membership.project_id == project_id,
            Membership.person_id == person_id,
            Membership.role == Role.ANNOTATOR,
        )
    )


def exclude(
    session: Session, project: Project, person: Person, *, reason: str, by: uuid.UUID
) -> Exclusion:
    """Leave the person's answers, old and new, out of preference sets frozen from now on.

    They stay, sets that are frozen stay as they are, and `lift` brings them back. Raises Invalid
    without a reason, Conflict where they are excluded already.
    """
    said = _reason(reason)
    if standing_exclusion(session, project.id, person.id):
        raise Conflict(f"The answers of {person.name} are excluded already.")
    exclusion = Exclusion(project_id=project.id, person_id=person.id, reason=said, by_id=by)
    session.add(exclusion)
    session.flush()
    mark_stale(session, project.id, person.id)
    _record(session, "answers.excluded", project, person, by=by, reason=said)
    return exclusion


def lift(session: Session, project: Project, person: Person, *, reason: str, by: uuid.UUID) -> None:
    """Count the person's answers again. Raises Invalid without a reason, Conflict if they count."""
    said = _reason(reason)
    exclusion = standing_exclusion(session, project.id, person.id)
    if exclusion is None:
        raise Conflict(f"The answers of {person.name} are not excluded.")
    exclusion.lifted_at, exclusion.lifted_by_id, exclusion.lift_reason = utc_now(), by, said
    session.flush()
    mark_stale(session, project.id, person.id)
    _record(session, "answers.included_again", project, person, by=by, reason=said)


def pause_for(
    session: Session, project: Project, person: Person, *, reason: str, by: uuid.UUID
) -> None:
    """Hand the person no more pairs until `resume_for`; they read why. Raises Invalid, NotFound."""
    said = _reason(reason)
    pause(session, project_id=project.id, person=person, by=by, reason=said)
    _keep(session, project, person, f"Paused: {said}", by)


def resume_for(
    session: Session, project: Project, person: Person, *, reason: str, by: uuid.UUID
) -> None:
    """Let the person go on; they read why. Raises Invalid, NotFound."""
    said = _reason(reason)
    resume(session, project_id=project.id, person=person, by=by, reason=said)
    _keep(session, project, person, f"Resumed: {said}", by)


def add_note(
    session: Session, project: Project, person: Person, *, reason: str, by: uuid.UUID
) -> StaffNote:
    """Write something about the person's work, which they can read too. Raises Invalid."""
    note = _keep(session, project, person, _reason(reason), by)
    _record(session, "note.written", project, person, by=by, reason=note.body)
    return note


DECISIONS = {
    "exclude": exclude,
    "lift": lift,
    "pause": pause_for,
    "resume": resume_for,
    "note": add_note,
}


def _keep(
    session: Session, project: Project, person: Person, body: str, by: uuid.UUID
) -> StaffNote:
    note = StaffNote(project_id=project.id, person_id=person.id, body=body, by_id=by)
    session.add(note)
    session.flush()
    return note


def _reason(text: str) -> str:
    said = text.strip()
    if not said:
        raise Invalid("Say why: the reason is kept with the decision.", field="reason")
    if len(said) > LONGEST_REASON or "\x00" in said:
        raise Invalid(f"A reason has at most {LONGEST_REASON:,} characters.", field="reason")
    return said


def _record(
    session: Session, action: str, project: Project, person: Person, *, by: uuid.UUID, reason: str
) -> None:
    record_event(
        session,
        action,
        actor_id=by,
        project_id=project.id,
        subject=person.email,
        detail={"reason": reason},
    )
