"""Files on their way in and out, alike for pages and scripts."""

import shutil
import tempfile
import uuid
from typing import BinaryIO, cast

from fastapi import Request
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.datasets import browse
from app.datasets.service import parse_split, stream_export
from app.errors import TooLarge
from app.settings import get_settings
from app.tables.datasets import PreferenceSet, Split
from app.web.access import Access
from app.web.login import address_of


def keep_upload(stream: BinaryIO) -> tuple[BinaryIO, int]:
    """A copy without a name, which is gone with this process. Raises TooLarge."""
    limit = get_settings().max_upload_bytes
    spool = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (closed by run_and_close)
    shutil.copyfileobj(stream, spool, 2**20)
    n_bytes = spool.tell()
    spool.seek(0)
    if n_bytes > limit:
        spool.close()
        raise TooLarge(
            f"The file has {n_bytes / 2**20:,.0f} MB, and this server accepts "
            f"{limit / 2**20:,.0f} MB. Pack it with gzip, split it, or import it with "
            "`prefloop import` on the server."
        )
    return spool, n_bytes


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
