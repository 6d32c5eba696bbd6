"""Answers half given: kept with a version, so that an older one never overwrites a newer one."""

import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.collect.leases import own_assignment
from app.collect.queries import Lease
from app.errors import Conflict, Invalid
from app.tables.base import utc_now

LONGEST_DRAFT = 200_000
LAST_VERSION = 2**31 - 1
# Right after an answer comes a lease that was handed out just now, which can have no draft.
JUST_NOW = timedelta(seconds=2)
ENDED = "This is answered or skipped, so nothing was left to save."

# The drafts of what is answered are dead; they go with the next draft of the same person.
_SAVE = """
with mine as (
    select id from {assignment}
    where id = :id and annotator_id = :annotator and project_id = :project
        and state in ('leased', 'expired')
),
dead as (
    delete from {draft} d using {assignment} a
    where d.annotator_id = :annotator and a.id = d.assignment_id
        and a.state in ('done', 'skipped')
)
insert into {draft} as d (assignment_id, annotator_id, version, content, updated_at)
select id, :annotator, :version, cast(:content as jsonb), clock_timestamp() from mine
on conflict (assignment_id) do update
    set version = excluded.version, content = excluded.content, updated_at = excluded.updated_at
    where d.version < excluded.version
returning version
"""


@dataclass(frozen=True)
class Sent:
    """A draft as a page sends it; `fields` is a JSON object."""

    assignment_id: uuid.UUID
    annotator_id: uuid.UUID
    project_id: uuid.UUID
    version: int
    fields: dict[str, Any]


@dataclass(frozen=True)
class Standing:
    """The draft that stands after a save; `is_saved` where it is what was sent."""

    version: int
    content: dict[str, Any]
    is_saved: bool


class Drafts:
    """The drafts of one kind of assignment: its table of leases and its table of drafts."""

    def __init__(self, assignment: str, draft: str) -> None:
        self._save = text(_SAVE.format(assignment=assignment, draft=draft))
        found = f"select version, content from {draft} where assignment_id = :id"  # noqa: S608
        self._found = text(found)

    def save(self, session: Session, sent: Sent) -> bool:
        """Keep it unless a version as new or newer stands, or nobody may draft here (any more)."""
        values = {
            "id": sent.assignment_id,
            "annotator": sent.annotator_id,
            "project": sent.project_id,
            "version": sent.version,
            "content": json.dumps(sent.fields),
        }
        return session.scalar(self._save, values) is not None

    def standing(self, session: Session, sent: Sent) -> Standing:
        """What stands in place of what was sent, for its own author. Raises Conflict."""
        found = self.of(session, sent.assignment_id)
        if found is None or found[0] < sent.version:
            raise Conflict(ENDED)
        return Standing(*found, is_saved=found == (sent.version, sent.fields))

    def of(self, session: Session, assignment_id: uuid.UUID) -> tuple[int, dict[str, Any]] | None:
        """Version and fields of what was answered so far; None where nothing was."""
        row = session.execute(self._found, {"id": assignment_id}).one_or_none()
        return None if row is None else (row.version, row.content)


PAIRS = Drafts("assignment", "draft")


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
    fields = checked_fields(version, content)
    sent = Sent(assignment_id, annotator_id, project_id, version, fields)
    if PAIRS.save(session, sent):
        return Standing(version, fields, True)
    own_assignment(session, assignment_id, annotator_id, project_id=project_id)
    return PAIRS.standing(session, sent)


def draft_of(
    session: Session, assignment: Lease, *, is_after_answer: bool = False
) -> tuple[int, dict[str, Any]] | None:
    """Version and fields of what was answered so far on an open pair; None where nothing was.

    After an answer (`is_after_answer`) a pair that was handed out just now is not looked up.
    """
    if is_after_answer and utc_now() - assignment.created_at < JUST_NOW:
        return None
    return PAIRS.of(session, assignment.id)


def checked_fields(version: int, content: str) -> dict[str, Any]:
    """A draft's fields, read from JSON. Raises Invalid."""
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
