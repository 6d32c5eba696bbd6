"""Withdrawing a consent, and what becomes of the answers: the person's choice, and undone by them.

Sets that are frozen, and what was trained on them, stay as they are; `reach` names them.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.accounts.audit import record_own
from app.accounts.consent import end_consent, forget, give_consent
from app.accounts.service import leave
from app.agree.decisions import standing_exclusion
from app.agree.reach import Reach, reach_of
from app.agree.upkeep import mark_stale
from app.collect.ahead import put_down
from app.errors import Conflict, Forbidden
from app.tables.accounts import Person
from app.tables.agree import Exclusion
from app.tables.base import utc_now
from app.tables.consent import Consent, Ending
from app.tables.projects import Project

REASON = "Consent withdrawn: the person asked for their answers to be left out."


class Withdrawal(StrEnum):
    """What someone takes back, each with all of the one before."""

    ABOUT_ME = "about_me"  # what they said about themselves
    FUTURE = "future"  # the consent: no more work
    ANSWERS = "answers"  # and the use of their answers from now on


def withdraw(session: Session, project: Project, person: Person, what: Withdrawal) -> None:
    """Raises Conflict where there is nothing to take back, Forbidden where the project says so."""
    if what is Withdrawal.ABOUT_ME:
        if not forget(session, project, person):
            raise Conflict("There is nothing about you to delete here.")
        return
    if what is Withdrawal.ANSWERS and not project.is_leaving_out_allowed:
        raise Forbidden("This project does not leave answers out. Ask the people who run it.")
    is_out = what is Withdrawal.ANSWERS
    end_consent(session, project, person, Ending.LEFT_OUT if is_out else Ending.WITHDRAWN)
    put_down(session, project.id, person.id)
    if project.consent_from is None:
        # No consent is looked for here, so only going keeps the work away.
        leave(session, project_id=project.id, person=person)
    if is_out:
        _leave_out(session, project, person)


def agree(session: Session, project: Project, person: Person, number: int) -> Consent:
    """Agree to the current text; answers that were withdrawn count again. Raises Conflict."""
    given = give_consent(session, project, person, number)
    bring_back(session, project, person)
    return given


def bring_back(session: Session, project: Project, person: Person) -> bool:
    """Let one's own answers count again. False where they were not withdrawn."""
    exclusion = standing_exclusion(session, project.id, person.id, is_own=True)
    if exclusion is None:
        return False
    exclusion.lifted_at, exclusion.lifted_by_id = utc_now(), person.id
    exclusion.lift_reason = "The person let them count again."
    session.flush()
    mark_stale(session, project.id, person.id)
    _record(session, "answers.included_again", project, person)
    return True


def _leave_out(session: Session, project: Project, person: Person) -> None:
    if standing_exclusion(session, project.id, person.id, is_own=True) is not None:
        return
    session.add(
        Exclusion(
            project_id=project.id, person_id=person.id, is_own=True, reason=REASON, by_id=person.id
        )
    )
    session.flush()
    mark_stale(session, project.id, person.id)
    _record(session, "answers.left_out", project, person)


def _record(session: Session, action: str, project: Project, person: Person) -> None:
    """With how far the answers had gone: the trail must be able to say so for good."""
    found = reach_of(session, project.id, person.id)
    detail = {
        "answers": found.n_answers,
        "preference sets": [one.number for one in found.sets],
        "reward runs": [one.number for one in found.reward_runs],
        "policies": [one.number for one in found.policies],
    }
    record_own(session, action, project.id, person, **detail)


@dataclass(frozen=True)
class Withdrawn:
    """Someone whose consent ended by their own word and stands no more."""

    person: Person
    at: datetime
    ending: Ending
    reach: Reach


def withdrawn_from(session: Session, project_id: uuid.UUID) -> Sequence[Withdrawn]:
    """The newest first, each with what their answers reached."""
    last = (
        select(Consent)
        .where(Consent.project_id == project_id)
        .ext(distinct_on(Consent.person_id))
        .order_by(Consent.person_id, Consent.given_at.desc())
        .subquery()
    )
    rows = session.execute(
        select(Person, last.c.ended_at, last.c.ending)
        .join(last, last.c.person_id == Person.id)
        .where(last.c.ended_at.is_not(None))
        .order_by(last.c.ended_at.desc())
    ).all()
    return [
        Withdrawn(person, at, Ending(ending), reach_of(session, project_id, person.id))
        for person, at, ending in rows
        # Without a text to agree to, answers come back and the consent stays ended.
        if ending != Ending.LEFT_OUT
        or standing_exclusion(session, project_id, person.id, is_own=True)
    ]


def n_left_out_of(session: Session, project_id: uuid.UUID, set_id: uuid.UUID) -> int:
    """How many people have withdrawn answers that this frozen set holds."""
    left_out = session.scalars(
        select(Exclusion.person_id).where(
            Exclusion.project_id == project_id,
            Exclusion.is_own.is_(True),
            Exclusion.lifted_at.is_(None),
        )
    )
    return sum(
        any(one.id == set_id for one in reach_of(session, project_id, person_id).sets)
        for person_id in left_out
    )
