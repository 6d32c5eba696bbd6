"""The data for scripts: import a file, freeze, export."""

import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from app.datasets import browse
from app.datasets.service import freeze, run_import, sweep_imports
from app.datasets.transfer import hand_out
from app.errors import Invalid
from app.tables.datasets import ImportState
from app.web.access import StaffAccess
from app.web.dependencies import SessionDep
from app.web.downloads import attachment
from app.web.login import address_of
from app.web.uploads import Upload, receive_body, receive_form

router = APIRouter(prefix="/api/v1/projects/{slug}", tags=["datasets"])


class ImportOut(BaseModel):
    """One import. `n_bytes_done` of `n_bytes` have been read; `error` names line and field."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    file_name: str
    state: ImportState
    n_bytes: int
    n_bytes_done: int
    n_lines: int
    n_prompts: int
    n_completions: int
    n_pairs: int
    error: str
    error_line: int | None
    error_field: str | None
    created_at: datetime
    finished_at: datetime | None


class PreferenceSetOut(BaseModel):
    """`content_hash` is the SHA-256 of the exported lines, train and eval together."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    number: int
    content_hash: str
    n_comparisons: int
    n_pairs: int
    n_annotators: int
    n_train: int
    n_eval: int
    created_at: datetime


async def receive(
    request: Request,
    access: StaffAccess,  # noqa: ARG001 (asked for first: no stranger's body is read)
    file_name: str = "api.jsonl",
) -> AsyncIterator[Upload]:
    """The request's body, or the part `file` of a form, on disk. Raises TooLarge and Invalid."""
    is_form = request.headers.get("content-type", "").startswith("multipart/")
    upload = await (receive_form(request) if is_form else receive_body(request, file_name))
    with upload.stream:
        yield upload


@router.post("/imports", status_code=201)
def post_import(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    upload: Annotated[Upload, Depends(receive)],
    allow_single: bool = False,
) -> ImportOut:
    """Import JSON lines (or gzip of them), all or nothing; the answer comes when it is done.

    A refused file is a problem with status 422 that names `line` and `field`.
    """
    # An import may take minutes: no connection stays open beside its own.
    session.commit()
    done = run_import(
        access.project.id,
        upload.stream,
        upload.file_name,
        upload.n_bytes,
        access.person.id,
        allow_single=allow_single,
        address=address_of(request),
    )
    if done.state is ImportState.FAILED:
        raise Invalid(done.error, field=done.error_field, line=done.error_line)
    return ImportOut.model_validate(done)


@router.get("/imports")
def list_imports(access: StaffAccess, session: SessionDep) -> list[ImportOut]:
    sweep_imports(session, access.project.id)
    found = browse.list_imports(session, access.project.id, limit=100)
    return [ImportOut.model_validate(one) for one in found]


@router.get("/imports/{import_id}")
def get_import(import_id: uuid.UUID, access: StaffAccess, session: SessionDep) -> ImportOut:
    sweep_imports(session, access.project.id)
    return ImportOut.model_validate(browse.find_import(session, access.project, import_id))


@router.get("/preference-sets")
def list_preference_sets(access: StaffAccess, session: SessionDep) -> list[PreferenceSetOut]:
    found = browse.list_sets(session, access.project.id)
    return [PreferenceSetOut.model_validate(one) for one in found]


@router.post("/preference-sets", status_code=201)
def post_preference_set(
    request: Request, access: StaffAccess, session: SessionDep
) -> PreferenceSetOut:
    """Freeze every counted answer. Status 409 where nothing was answered since the last freeze."""
    frozen = freeze(
        session, access.project, created_by=access.person.id, address=address_of(request)
    )
    return PreferenceSetOut.model_validate(frozen)


@router.get("/preference-sets/{set_id}/export.jsonl")
def get_export(
    request: Request,
    set_id: uuid.UUID,
    access: StaffAccess,
    session: SessionDep,
    split: str = "",
) -> StreamingResponse:
    """The frozen lines. `split` is train, eval or all."""
    taken = hand_out(
        session,
        access.project,
        set_id,
        split,
        by=access.person.id,
        address=address_of(request),
    )
    return attachment(*taken)
