"""What people agree to in a project, and what they say about themselves.

Nothing here touches answers; `app.agree.withdrawal` does, when a consent is withdrawn.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Row, delete, select, text
from sqlalchemy.orm import Session

from app.accounts.audit import record_event, record_own
from app.accounts.demographics import check_choices
from app.errors import Conflict, Invalid
from app.markdown import render_markdown
from app.tables.accounts import Person
from app.tables.base import utc_now
from app.tables.consent import Consent, ConsentText, DemographicAnswer, Ending, Question
from app.tables.projects import Project

LONGEST = 50_000


def current_text(session: Session, project_id: uuid.UUID) -> ConsentText | None:
    return session.scalar(
        select(ConsentText)
        .where(ConsentText.project_id == project_id)
        .order_by(ConsentText.number.desc())
        .limit(1)
    )


def texts_of(session: Session, project_id: uuid.UUID) -> Sequence[Row[ConsentText, str | None]]:
    """Every version with its author's name, the newest first."""
    return session.execute(
        select(ConsentText, Person.name)
        .outerjoin(Person, Person.id == ConsentText.created_by)
        .where(ConsentText.project_id == project_id)
        .order_by(ConsentText.number.desc())
    ).all()


def add_text(
    session: Session, project: Project, markdown: str, *, is_asked_again: bool, by: uuid.UUID | None
) -> ConsentText:
    """The next version. With `is_asked_again` consent to earlier ones no longer counts.

    Raises Invalid for an empty, unchanged or overlong text.
    """
    markdown = markdown.replace("\r\n", "\n").strip()
    if not markdown or len(markdown) > LONGEST or "\x00" in markdown:
        raise Invalid(f"Write a text of 1 to {LONGEST:,} characters.", field="markdown")
    _hold(session, project)
    current = current_text(session, project.id)
    if current and current.markdown == markdown:
        raise Invalid("Nothing has changed since the current version.", field="markdown")
    version = ConsentText(
        project_id=project.id,
        number=current.number + 1 if current else 1,
        markdown=markdown,
        html=render_markdown(markdown),
        is_asked_again=is_asked_again or current is None,
        created_by=by,
    )
    session.add(version)
    if version.is_asked_again:
        project.consent_from = version.number
    session.flush()
    detail = {"is_asked_again": version.is_asked_again}
    record_event(
        session,
        "consent.text_changed",
        actor_id=by,
        project_id=project.id,
        subject=f"version {version.number}",
        detail=detail,
    )
    return version


def set_rules(
    session: Session,
    project: Project,
    *,
    is_required: bool,
    is_leaving_out_allowed: bool,
    questions: Collection[Question],
    by: uuid.UUID | None,
) -> None:
    """What the project asks. Raises Conflict where it asks and has no text to agree to."""
    if (is_required or questions) and project.consent_from is None:
        raise Conflict("Write the text first: people are asked once there is one to agree to.")
    values = {
        "is_consent_required": is_required,
        "is_leaving_out_allowed": is_leaving_out_allowed,
        "demographic_questions": [one.value for one in Question if one in questions],
    }
    changed = {name: value for name, value in values.items() if getattr(project, name) != value}
    for name, value in changed.items():
        setattr(project, name, value)
    session.flush()
    if changed:
        record_event(
            session,
            "consent.rules_changed",
            actor_id=by,
            project_id=project.id,
            subject=project.name,
            detail=changed,
        )


def consents_of(session: Session, project_id: uuid.UUID, person_id: uuid.UUID) -> Sequence[Consent]:
    """Every consent of a person in the project, the newest first."""
    return session.scalars(
        select(Consent)
        .where(Consent.project_id == project_id, Consent.person_id == person_id)
        .order_by(Consent.given_at.desc())
    ).all()


def standing_consent(
    session: Session, project_id: uuid.UUID, person_id: uuid.UUID
) -> Consent | None:
    return session.scalar(
        select(Consent).where(
            Consent.project_id == project_id,
            Consent.person_id == person_id,
            Consent.ended_at.is_(None),
        )
    )


def give_consent(session: Session, project: Project, person: Person, number: int) -> Consent:
    """Agree to the current version. Said twice it is as well. Raises Conflict for another one."""
    _hold(session, project)
    current = current_text(session, project.id)
    if current is None or current.number != number:
        raise Conflict("The text has changed since you opened it. Read it again, and then agree.")
    standing = standing_consent(session, project.id, person.id)
    if standing is not None and standing.number == number:
        return standing
    if standing is not None:
        standing.ended_at, standing.ending = utc_now(), Ending.RENEWED
        session.flush()
    given = Consent(project_id=project.id, person_id=person.id, number=number)
    session.add(given)
    session.flush()
    record_own(session, "consent.given", project.id, person, version=number)
    return given


def end_consent(session: Session, project: Project, person: Person, ending: Ending) -> None:
    """Withdraw it, and what the person said about themselves with it. None need be standing."""
    _hold(session, project)
    forget(session, project, person)
    standing = standing_consent(session, project.id, person.id)
    if standing is None:
        # Withdrawn before anything was agreed to: the queue must know it too.
        standing = Consent(project_id=project.id, person_id=person.id, number=0)
        session.add(standing)
    standing.ended_at, standing.ending = utc_now(), ending
    session.flush()
    record_own(session, "consent.withdrawn", project.id, person, ending=ending.value)


def said_by(
    session: Session, project_id: uuid.UUID, person_id: uuid.UUID
) -> dict[Question, list[str]]:
    """What a person said about themselves, for that person alone."""
    rows = session.scalars(
        select(DemographicAnswer)
        .where(DemographicAnswer.project_id == project_id, DemographicAnswer.person_id == person_id)
        .order_by(DemographicAnswer.choice)
    )
    found: dict[Question, list[str]] = {}
    for row in rows:
        found.setdefault(row.question, []).append(row.choice)
    return found


def say(
    session: Session,
    project: Project,
    person: Person,
    choices: Mapping[Question, Sequence[str]],
) -> None:
    """Put this in the place of what the person said before; what is not asked is dropped.

    Raises Conflict without consent, Invalid for what is no choice.
    """
    if standing_consent(session, project.id, person.id) is None:
        raise Conflict("Agree to the text first: without that nothing about you is kept.")
    asked = [Question(one) for one in project.demographic_questions]
    kept = {one: check_choices(one, choices.get(one, ())) for one in asked}
    _delete(session, project, person)
    session.add_all(
        DemographicAnswer(
            project_id=project.id, person_id=person.id, question=question, choice=choice
        )
        for question, chosen in kept.items()
        for choice in chosen
    )
    session.flush()
    # That something was said stands in the trail, and never what.
    record_own(session, "demographics.said", project.id, person)


def forget(session: Session, project: Project, person: Person) -> bool:
    """Delete for good what the person said about themselves. Returns whether there was anything."""
    had = _delete(session, project, person)
    if had:
        record_own(session, "demographics.deleted", project.id, person)
    return had


def _delete(session: Session, project: Project, person: Person) -> bool:
    gone = session.execute(
        delete(DemographicAnswer)
        .where(
            DemographicAnswer.project_id == project.id,
            DemographicAnswer.person_id == person.id,
        )
        .returning(DemographicAnswer.choice)
    ).all()
    return bool(gone)


def _hold(session: Session, project: Project) -> None:
    """Texts and consents of one project change one after another."""
    session.execute(
        text("select pg_advisory_xact_lock(hashtextextended(:id, 24))"), {"id": str(project.id)}
    )
