"""How an annotator stands in a project, and the one of their requests that goes on at a time."""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session, SessionTransaction

from app.collect.eligibility import COLUMNS, Hindrance, asked_of, hindrance
from app.db import Statement
from app.projects.reading import UNREAD
from app.tables.projects import Project

# Until the commit, statements keep to their indexes. A plan made while a table was all but empty
# would read the whole of it, and is kept for as long as nobody analyses the table.
HOLD = (
    "pg_advisory_xact_lock(hashtextextended(cast({annotator} as text), 22)) as is_held, "
    "set_config('enable_seqscan', 'off', true) as is_indexed, "
    # One plan a connection, in place of the ten that Postgres and its driver would make first.
    "set_config('plan_cache_mode', 'force_generic_plan', true) as is_planned_once"
)
_HOLD = Statement(f"select {HOLD.format(annotator='cast(:annotator as uuid)')}")
_HELD = "held back"


def one_at_a_time(session: Session, annotator_id: uuid.UUID) -> None:
    """Hold back this annotator's other requests until we commit: two tabs, a double click.

    Flushes. Costs nothing where this transaction holds them back already.
    """
    session.flush()
    if session.info.get(_HELD) != (_transaction(session), annotator_id):
        _HOLD.run(session, {"annotator": annotator_id})
        note_held(session, annotator_id)


def note_held(session: Session, annotator_id: uuid.UUID) -> None:
    """A statement with `HOLD` in it has run."""
    session.info[_HELD] = (_transaction(session), annotator_id)


def _transaction(session: Session) -> SessionTransaction | None:
    # A savepoint that is rolled back gives up the locks that were taken in it.
    return session.get_nested_transaction() or session.get_transaction()


# Columns about everything but one assignment, which is being answered; null for none.
STANDING = f"""
    exists (select from assignment where annotator_id = :annotator
        and project_id = :project and state = 'leased' and slot = 0
        and id is distinct from :assignment) as has_live,
    exists (select from assignment where annotator_id = :annotator
        and project_id = :project and state = 'leased' and slot = 1
        and id is distinct from :assignment) as has_ahead,
    exists (select from assignment where annotator_id = :annotator
        and project_id = :project and state = 'expired'
        and id is distinct from :assignment) as has_expired,
    exists (select from membership where person_id = :annotator
        and project_id = :project and role = 'annotator' and is_paused
        and (paused_until is null or paused_until > clock_timestamp())) as is_paused,
    {UNREAD},
    {COLUMNS}
"""  # noqa: S608
_STANDING = Statement(f"select {STANDING}")


@dataclass(frozen=True)
class Standing:
    """How an annotator stands in a project before anything is handed out."""

    has_live: bool
    has_ahead: bool
    has_expired: bool
    is_paused: bool
    hindrance: Hindrance | None
    # The number of the current guidelines, where this person has not confirmed to have read them.
    unread: int | None


def standing(
    session: Session, project: Project, annotator_id: uuid.UUID, *, n_open: int = 0
) -> Standing:
    """`n_open` answers are counted as given already: those to pairs that are on a page."""
    who = {"annotator": annotator_id, "project": project.id, "assignment": None}
    return standing_in(
        project, _STANDING.one(session, {**asked_of(session, project, n_open), **who})
    )


def standing_in(project: Project, row: Any) -> Standing:
    """By the columns `STANDING` of a row."""
    hindered = hindrance(
        project,
        consent=row.consent,
        is_speaker=row.is_speaker,
        missing=row.missing,
        day_full_at=row.day_full_at,
        full_at=row.full_at,
    )
    return Standing(
        row.has_live, row.has_ahead, row.has_expired, row.is_paused, hindered, row.unread
    )
