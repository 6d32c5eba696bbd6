"""The pages of a project's data: what is in it, what comes in, and what was frozen."""

import uuid
from typing import Annotated, BinaryIO

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from app.accounts.audit import record_event
from app.agree.withdrawal import n_left_out_of
from app.collect.freshness import closed_pairs, reopen
from app.datasets import browse
from app.datasets.queries import count_unfrozen, groups_by_pseudonym
from app.datasets.service import (
    announce_import,
    freeze,
    run_import,
    sweep_imports,
)
from app.datasets.transfer import file_name, hand_out
from app.settings import get_settings
from app.spreadsheet import as_csv
from app.tables.datasets import Import, ImportState, Split
from app.web.access import Access, StaffAccess
from app.web.dependencies import SessionDep
from app.web.downloads import attachment, csv_response
from app.web.login import address_of
from app.web.redirects import redirect
from app.web.templating import is_htmx, render
from app.web.uploads import Upload, receive_form

router = APIRouter(prefix="/projects/{slug}/datasets")


def base_url(access: Access) -> str:
    return f"/projects/{access.project.slug}/datasets"


@router.get("")
def data_page(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    sweep_imports(session, access.project.id)
    context = {
        "access": access,
        "base_url": base_url(access),
        "contents": browse.contents(session, access.project.id),
        "imports": browse.list_imports(session, access.project.id),
        "sets": browse.list_sets(session, access.project.id),
        "closed": closed_pairs(session, access.project.id),
        "n_unfrozen": count_unfrozen(session, access.project.id),
        "max_bytes": get_settings().max_upload_bytes,
    }
    block = "live" if is_htmx(request) else None
    return render(request, "datasets/data.html", context, block=block)


@router.post("/freshness/{number}/open")
def open_again(access: StaffAccess, session: SessionDep, number: int) -> Response:
    n = reopen(session, access.project, number, by=access.person.id)
    said = "1 pair is open again, and stays" if n == 1 else f"{n:,} pairs are open again, and stay"
    return redirect(f"{base_url(access)}#freshness", f"{said} so whatever policy goes live.")


async def receive(
    request: Request,
    access: StaffAccess,  # noqa: ARG001 (asked for first: no stranger's file is taken)
) -> Upload:
    return await receive_form(request)


@router.post("/imports")
def import_prompts(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    after: BackgroundTasks,
    upload: Annotated[Upload, Depends(receive)],
) -> Response:
    """Answer at once with the import's page, and import the file after the response."""
    row = announce_import(
        session,
        access.project.id,
        upload.file_name,
        upload.n_bytes,
        created_by=access.person.id,
        address=address_of(request),
    )
    allow_single = upload.fields.get("allow_single", "") not in ("", "false")
    after.add_task(
        run_and_close, upload.stream, row, allow_single=allow_single, address=address_of(request)
    )
    return redirect(f"{base_url(access)}/imports/{row.id}")


def run_and_close(spool: BinaryIO, row: Import, *, allow_single: bool, address: str) -> None:
    with spool:
        run_import(
            row.project_id,
            spool,
            row.file_name,
            row.n_bytes,
            import_id=row.id,
            allow_single=allow_single,
            address=address,
        )


@router.get("/imports/{import_id}")
def import_page(
    request: Request, import_id: uuid.UUID, access: StaffAccess, session: SessionDep
) -> Response:
    sweep_imports(session, access.project.id)
    row = browse.find_import(session, access.project, import_id)
    session.refresh(row)
    context = {
        "access": access,
        "base_url": base_url(access),
        "import_": row,
        "is_running": row.state is ImportState.RUNNING,
    }
    block = "live" if is_htmx(request) else None
    return render(request, "datasets/import.html", context, block=block)


@router.post("/sets")
def freeze_now(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    frozen = freeze(
        session, access.project, created_by=access.person.id, address=address_of(request)
    )
    return redirect(
        f"{base_url(access)}/sets/{frozen.id}",
        notice=f"Froze {frozen.n_comparisons:,} comparisons as preference set {frozen.number}.",
    )


@router.get("/sets/{set_id}")
def set_page(
    request: Request, set_id: uuid.UUID, access: StaffAccess, session: SessionDep
) -> Response:
    found = browse.find_set_by_id(session, access.project, set_id)
    context = {
        "access": access,
        "base_url": base_url(access),
        "set": found,
        "figures": browse.set_figures(session, found.id),
        "n_withdrawn": n_left_out_of(session, access.project.id, found.id),
        "file_names": {split.value: file_name(access.project, found, split) for split in Split},
    }
    return render(request, "datasets/set.html", context)


@router.get("/sets/{set_id}/annotators.csv")
def export_annotators(
    request: Request, set_id: uuid.UUID, access: StaffAccess, session: SessionDep
) -> Response:
    """A row a name in the set's lines and group of it, as the groups are now."""
    found = browse.find_set_by_id(session, access.project, set_id)
    record_event(
        session,
        "annotator_groups.exported",
        actor_id=access.person.id,
        project_id=access.project.id,
        subject=str(found.id),
        address=address_of(request),
    )
    rows = [
        (name, group)
        for name, groups in groups_by_pseudonym(session, found.id).items()
        for group in groups or [""]
    ]
    name = f"{access.project.slug}-annotators-{found.number}.csv"
    return csv_response(as_csv(("annotator", "group"), rows), name)


@router.get("/sets/{set_id}/export.jsonl")
def export(
    request: Request,
    set_id: uuid.UUID,
    access: StaffAccess,
    session: SessionDep,
    split: str = "",
) -> StreamingResponse:
    taken = hand_out(
        session,
        access.project,
        set_id,
        split,
        by=access.person.id,
        address=address_of(request),
    )
    return attachment(*taken)


@router.get("/prompts")
def prompts_page(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    q: Annotated[str, Query(max_length=200)] = "",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> Response:
    words = q.replace("\0", "").strip()
    rows, total = browse.list_prompts(session, access.project.id, words, page)
    context = {
        "access": access,
        "base_url": base_url(access),
        "rows": rows,
        "total": total,
        "words": words,
        "page": page,
        "n_pages": max(1, -(-total // browse.PAGE)),
    }
    return render(request, "datasets/prompts.html", context)


@router.get("/prompts/{prompt_id}")
def prompt_page(
    request: Request, prompt_id: uuid.UUID, access: StaffAccess, session: SessionDep
) -> Response:
    detail = browse.prompt_detail(session, access.project, prompt_id)
    context = {"access": access, "base_url": base_url(access), "detail": detail}
    return render(request, "datasets/prompt.html", context)
