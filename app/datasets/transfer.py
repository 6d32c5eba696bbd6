"""Files on their way out, alike for pages and scripts."""

import uuid

from fastapi import Request
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.datasets import browse
from app.datasets.service import parse_split, stream_export
from app.tables.datasets import PreferenceSet, Split
from app.web.access import Access
from app.web.login import address_of


def file_name(access: Access, found: PreferenceSet, split: Split | None) -> str:
    which = f"-{split.value}" if split else ""
    return f"{access.project.slug}-preferences-{found.number}{which}.jsonl"


def export_response(
    request: Request, session: Session, access: Access, set_id: uuid.UUID, split: str
) -> StreamingResponse:
    """The set as an attachment, streamed in a session of its own."""
    side = parse_split(split)
    found = browse.find_set_by_id(session, access.project, set_id)
    record_event(
        session,
        "preference_set.exported",
        actor_id=access.person.id,
        project_id=access.project.id,
        subject=str(found.id),
        detail={"number": found.number, "split": side.value if side else "all"},
        address=address_of(request),
    )
    name = file_name(access, found, side)
    return StreamingResponse(
        stream_export(found.id, side),
        media_type="application/jsonl; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
