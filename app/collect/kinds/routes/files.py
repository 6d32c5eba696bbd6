"""What leaves as files of the other kinds of feedback."""

import json
import uuid
from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter, Request, Response

from app.accounts.audit import record_event
from app.collect.kinds import queries
from app.db import session_scope
from app.web.access import StaffAccess
from app.web.dependencies import SessionDep
from app.web.downloads import attachment
from app.web.login import address_of

router = APIRouter(prefix="/projects/{slug}", include_in_schema=False)

EXPORTS = {
    "demonstrations": queries.demonstration_rows,
    "ratings": queries.rating_rows,
    "rankings": queries.ranking_rows,
    "spans": queries.span_rows,
}


@router.get("/datasets/feedback/{what}.jsonl")
def export(
    request: Request,
    session: SessionDep,
    access: StaffAccess,
    what: Literal["demonstrations", "ratings", "rankings", "spans"],
) -> Response:
    """All of one kind of feedback as JSON lines; who takes it stands in the audit trail."""
    record_event(
        session,
        "feedback.exported",
        actor_id=access.person.id,
        project_id=access.project.id,
        subject=what,
        address=address_of(request),
    )
    name = f"{access.project.slug}-{what}.jsonl"
    return attachment(_lines(access.project.id, what), name, "application/jsonl; charset=utf-8")


def _lines(project_id: uuid.UUID, what: str) -> Iterator[bytes]:
    """In a session of its own, which outlives the request's."""
    with session_scope() as session:
        for row in EXPORTS[what](session, project_id):
            yield (json.dumps(row, ensure_ascii=False) + "\n").encode()
