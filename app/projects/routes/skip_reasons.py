"""The list of reasons to skip, as admins and researchers edit it."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from app.projects.forms import MoveForm, ReasonForm
from app.projects.skipping import (
    add_reason,
    change_reason,
    move_reason,
    reasons_of,
    set_reason_archived,
)
from app.web.access import Access, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter(prefix="/projects/{slug}/skip-reasons")


def _url(access: Access) -> str:
    return f"/projects/{access.project.slug}/skip-reasons"


@router.get("")
def reasons_page(request: Request, session: SessionDep, access: StaffAccess) -> Response:
    context = {
        "access": access,
        "rows": reasons_of(session, access.project.id),
        "archived": reasons_of(session, access.project.id, is_archived=True),
    }
    return render(request, "projects/skip_reasons.html", context)


@router.post("")
def add(session: SessionDep, access: StaffAccess, form: Annotated[ReasonForm, Form()]) -> Response:
    reason = add_reason(
        session,
        access.project,
        form.label,
        is_words_needed=form.is_words_needed,
        by=access.person.id,
    )
    return redirect(_url(access), f"“{reason.label}” is on the list.")


@router.post("/{reason_id}")
def change(
    session: SessionDep,
    access: StaffAccess,
    reason_id: uuid.UUID,
    form: Annotated[ReasonForm, Form()],
) -> Response:
    change_reason(
        session,
        access.project,
        reason_id,
        form.label,
        is_words_needed=form.is_words_needed,
        by=access.person.id,
    )
    return redirect(_url(access), "Saved. What was skipped before keeps the words it had.")


@router.post("/{reason_id}/move")
def move(
    session: SessionDep,
    access: StaffAccess,
    reason_id: uuid.UUID,
    form: Annotated[MoveForm, Form()],
) -> Response:
    move_reason(session, access.project, reason_id, form.places)
    return redirect(_url(access))


@router.post("/{reason_id}/archive")
def archive(session: SessionDep, access: StaffAccess, reason_id: uuid.UUID) -> Response:
    reason = set_reason_archived(
        session, access.project, reason_id, is_archived=True, by=access.person.id
    )
    return redirect(_url(access), f"“{reason.label}” is no longer offered.")


@router.post("/{reason_id}/restore")
def restore(session: SessionDep, access: StaffAccess, reason_id: uuid.UUID) -> Response:
    reason = set_reason_archived(
        session, access.project, reason_id, is_archived=False, by=access.person.id
    )
    return redirect(_url(access), f"“{reason.label}” is offered again.")
