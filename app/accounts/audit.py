"""The append-only trail: who did what to what, when and from where."""

import uuid
from typing import Any

from sqlalchemy.orm import Session

from app.tables.accounts import AuditEvent, Person

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


def record_own(
    session: Session, action: str, project_id: uuid.UUID, person: Person, **detail: Any
) -> None:
    """Write what someone did, or earned, in a project for themselves."""
    record_event(
        session,
        action,
        actor_id=person.id,
        project_id=project_id,
        subject=person.email,
        detail=detail,
    )
