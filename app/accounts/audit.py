"""The append-only trail: who did what to what, when and from where."""

import uuid
from typing import Any

from sqlalchemy.orm import Session

from app.tables.accounts import AuditEvent

# In place of an address where whoever acts is no account: only that they hold the server's console.
COMMAND_LINE = "command line"


def record_event(
    session: Session,
    action: str,
    *,
    actor_id: uuid.UUID | None = None,
    project_id: uuid.UUID | None = None,
    subject: str = "",
    detail: dict[str, Any] | None = None,
    address: str = "",
) -> None:
    """Write one event. `action` is a verb phrase such as "project.created"."""
    session.add(
        AuditEvent(
            action=action,
            actor_id=actor_id,
            project_id=project_id,
            subject=subject,
            detail=detail or {},
            address=address,
        )
    )
    session.flush()
