"""Half-given rankings, ratings and demonstrations, kept like those of pairs."""

import uuid
from typing import Any

from sqlalchemy.orm import Session

from app.collect.drafts import Drafts, Sent, Standing, checked_fields
from app.collect.kinds.leases import own_prompt
from app.tables.kinds import PromptAssignment, PromptKind

PROMPTS = Drafts("prompt_assignment", "prompt_draft")


def save_prompt_draft(
    session: Session,
    assignment_id: uuid.UUID,
    annotator_id: uuid.UUID,
    *,
    kind: PromptKind,
    version: int,
    content: str,
    project_id: uuid.UUID,
) -> Standing:
    """As `save_draft`, for an answer about a prompt. Raises the same."""
    fields = checked_fields(version, content)
    sent = Sent(assignment_id, annotator_id, project_id, version, fields)
    if PROMPTS.save(session, sent):
        return Standing(version, fields, True)
    own_prompt(session, assignment_id, annotator_id, project_id, kind)
    return PROMPTS.standing(session, sent)


def prompt_draft_of(
    session: Session, assignment: PromptAssignment
) -> tuple[int, dict[str, Any]] | None:
    """Version and fields of what was answered so far; None where nothing was."""
    return PROMPTS.of(session, assignment.id)
