"""Skipped prompts: what was skipped last, and taking it back within a minute."""

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.kinds.leases import give_again, has_room, release
from app.collect.skips import TAKE_BACK, refuse_gone
from app.errors import Conflict
from app.tables.base import utc_now
from app.tables.collect import AssignmentState
from app.tables.kinds import PromptAssignment, PromptKind


def last_skip(
    session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID, kind: PromptKind
) -> PromptAssignment | None:
    """The annotator's last skip of this kind, if it may still be taken back."""
    return session.scalar(
        select(PromptAssignment)
        .where(
            PromptAssignment.annotator_id == annotator_id,
            PromptAssignment.project_id == project_id,
            PromptAssignment.kind == kind,
            PromptAssignment.state == AssignmentState.SKIPPED,
            PromptAssignment.ended_at > utc_now() - TAKE_BACK,
        )
        .order_by(PromptAssignment.ended_at.desc())
        .limit(1)
    )


def unskip(session: Session, skipped: PromptAssignment) -> None:
    """Take a skip back within a minute; the prompt that came instead goes back to the queue.

    `skipped` is held by `own_prompt`. Sent again the same is harmless. Raises Conflict once the
    minute is over, or others have given all the answers that were wanted.
    """
    if skipped.state is AssignmentState.LEASED:
        return
    refuse_gone(skipped)
    if not has_room(session, skipped):
        raise Conflict("Others have taken that prompt meanwhile; there is no room left in it.")
    held = session.scalar(
        select(PromptAssignment)
        .where(
            PromptAssignment.annotator_id == skipped.annotator_id,
            PromptAssignment.project_id == skipped.project_id,
            PromptAssignment.kind == skipped.kind,
            PromptAssignment.state == AssignmentState.LEASED,
        )
        .with_for_update()
    )
    if held is not None:
        release(session, held)
    give_again(session, skipped)
