"""Whether a project's loop turns by itself or by hand."""

import uuid

from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.tables.projects import Project


def switch(session: Session, project: Project, *, is_automatic: bool, by: uuid.UUID) -> str:
    """Let the loop turn by itself, or only by hand; what happened, as a sentence."""
    if project.is_loop_automatic != is_automatic:
        project.is_loop_automatic = is_automatic
        action = "loop.resumed" if is_automatic else "loop.paused"
        record_event(session, action, actor_id=by, project_id=project.id, subject=project.name)
    if is_automatic:
        return "The loop turns by itself again."
    return "The loop is paused: what runs now ends, and nothing new starts by itself."
