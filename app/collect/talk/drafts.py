"""Half-given choices of a conversation, kept with a version like the drafts of pairs."""

import json
import uuid
from typing import Any

from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from app.collect.drafts import ENDED, Standing, checked_fields
from app.errors import Conflict
from app.tables.talk import Turn, TurnDraft

_SAVE = text(
    """
    insert into turn_draft as d (turn_id, version, content, updated_at)
    select t.id, :version, cast(:content as jsonb), clock_timestamp()
    from turn t join conversation c on c.id = t.conversation_id
    where t.id = :id and t.pair_id is not null and t.comparison_id is null and c.state = 'open'
    on conflict (turn_id) do update
        set version = excluded.version, content = excluded.content,
            updated_at = excluded.updated_at
        where d.version < excluded.version
    returning version
    """
)


def save_turn_draft(session: Session, turn: Turn, *, version: int, content: str) -> Standing:
    """As `save_draft`, for a turn that is the caller's own. Raises Invalid, or Conflict where no
    choice is waited for."""
    fields = checked_fields(version, content)
    values = {"id": turn.id, "version": version, "content": json.dumps(fields)}
    if session.scalar(_SAVE, values) is not None:
        return Standing(version, fields, True)
    found = turn_draft_of(session, turn.id)
    if found is None or found[0] < version:
        raise Conflict(ENDED)
    return Standing(*found, is_saved=found == (version, fields))


def turn_draft_of(session: Session, turn_id: uuid.UUID) -> tuple[int, dict[str, Any]] | None:
    """Version and fields of what was chosen so far; None where nothing was."""
    draft = session.get(TurnDraft, turn_id, populate_existing=True)
    return None if draft is None else (draft.version, draft.content)


def drop_turn_draft(session: Session, turn_id: uuid.UUID) -> None:
    session.execute(delete(TurnDraft).where(TurnDraft.turn_id == turn_id))
