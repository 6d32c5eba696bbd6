"""Answers half given: kept with a version, so that an older one never overwrites a newer one."""

import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from app.collect.leases import own_assignment
from app.collect.queries import Lease
from app.errors import Conflict, Invalid
from app.tables.base import utc_now
from app.tables.work import Draft

LONGEST_DRAFT = 200_000
LAST_VERSION = 2**31 - 1
# A lease that was handed out just now can have no draft, and most pages are of this kind.
JUST_NOW = timedelta(seconds=2)

# The drafts of what is answered are dead; they go with the next draft of the same person.
_SAVE = text(
    """
with mine as (
    select id from assignment
    where id = :id and annotator_id = :annotator and project_id = :project
        and state in ('leased', 'expired')
),
dead as (
    delete from draft d using assignment a
    where d.annotator_id = :annotator and a.id = d.assignment_id
        and a.state in ('done', 'skipped')
)
insert into draft as d (assignment_id, annotator_id, version, content, updated_at)
select id, :annotator, :version, cast(:content as jsonb), clock_timestamp() from mine
on conflict (assignment_id) do update
    set version = excluded.version, content = excluded.content, updated_at = excluded.updated_at
    where d.version < excluded.version
returning version
"""
)
_FOUND = select(Draft.version, Draft.content).where(Draft.assignment_id == bindparam("id"))


@dataclass(frozen=True)
class Standing:
    """The draft that stands after a save; `is_saved` where it is what was sent."""

    version: int
    content: dict[str, Any]
    is_saved: bool


def save_draft(
    session: Session,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    version: int,
    content: str,
    project_id: uuid.UUID,
) -> Standing:
    """Keep `content`, a JSON object, unless a version as new or newer stands: then say which.

    Sent again, the same draft is saved again. Raises Invalid, NotFound, Forbidden, or Conflict
    once the pair is answered or skipped.
    """
    fields = _read(version, content)
    values = {"id": assignment_id, "annotator": annotator_id, "project": project_id}
    saved = session.scalar(_SAVE, {**values, "version": version, "content": json.dumps(fields)})
    if saved is not None:
        return Standing(version, fields, True)
    own_assignment(session, assignment_id, annotator_id, project_id=project_id)
    row = session.execute(_FOUND, {"id": assignment_id}).one_or_none()
    if row is None or row.version < version:
        raise Conflict("This pair is answered or skipped, so nothing was left to save.")
    return Standing(row.version, row.content, row.version == version and row.content == fields)


def draft_of(session: Session, assignment: Lease) -> tuple[int, dict[str, Any]] | None:
    """Version and fields of what was answered so far on an open pair; None where nothing was."""
    if utc_now() - assignment.created_at < JUST_NOW:
        return None
    row = session.execute(_FOUND, {"id": assignment.id}).one_or_none()
    return None if row is None else (row.version, row.content)


def _read(version: int, content: str) -> dict[str, Any]:
    if not 1 <= version <= LAST_VERSION:
        raise Invalid("A draft's version counts up from 1.", field="version")
    if len(content) > LONGEST_DRAFT:
        raise Invalid(f"A draft has at most {LONGEST_DRAFT:,} characters.", field="content")
    try:
        fields = json.loads(content)
        json.dumps(fields, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Invalid("A draft is a JSON object of text.", field="content") from error
    if not isinstance(fields, dict) or "\\u0000" in content:
        raise Invalid("A draft is a JSON object of text without NUL.", field="content")
    return fields
