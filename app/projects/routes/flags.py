"""The flags editor."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.errors import Conflict, DomainError, Invalid, NotFound
from app.projects.flags import (
    add_flag,
    archive_flag,
    change_flag,
    find_flag,
    free_letters,
    move_flag,
    page_keys,
    reserved_in,
    restore_flag,
)
from app.projects.forms import FlagForm, MoveForm
from app.projects.presets import PRESETS, add_preset
from app.projects.queries import flags_of, is_answered
from app.tables.projects import Flag, FlagKind, FlagScope
from app.web.access import Access, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter(prefix="/projects/{slug}/flags")


def _url(access: Access) -> str:
    return f"/projects/{access.project.slug}/flags"


def _find(session: Session, access: Access, flag_id: uuid.UUID) -> Flag:
    flag = find_flag(session, access.project, flag_id)
    if flag is None:
        raise NotFound("This project has no such flag.")
    return flag


@router.get("")
def flags_page(request: Request, session: SessionDep, access: StaffAccess) -> Response:
    flags = flags_of(session, access.project.id, is_archived=None)
    active = [flag for flag in flags if not flag.is_archived]
    names = {flag.key for flag in flags}
    context = {
        "access": access,
        "groups": [(scope, [f for f in active if f.scope is scope]) for scope in FlagScope],
        "keys": page_keys(active, reserved_in(access.project)),
        "n_active": len(active),
        "archived": [flag for flag in flags if flag.is_archived],
        "labels": {flag.id: flag.label for flag in flags},
        "presets": [
            (preset, sum(flag.key not in names for flag in preset.flags))
            for preset in PRESETS.values()
        ],
    }
    return render(request, "projects/flags.html", context)


def _edit_page(
    request: Request,
    session: Session,
    access: Access,
    form: FlagForm,
    *,
    flag: Flag | None = None,
    refusal: DomainError | None = None,
) -> Response:
    others = [other for other in flags_of(session, access.project.id) if other is not flag]
    context = {
        "access": access,
        "form": form,
        "flag": flag,
        "is_answered": flag is not None and is_answered(session, flag.id),
        "conditions": [other for other in others if other.kind is not FlagKind.RATING_7],
        "letters": free_letters(session, access.project),
        "errors": {refusal.field or "label": refusal.message} if refusal else {},
    }
    status = refusal.status if refusal else 200
    return render(request, "projects/flag.html", context, status=status)


@router.get("/new")
def new_flag(
    request: Request,
    session: SessionDep,
    access: StaffAccess,
    scope: FlagScope = FlagScope.COMPLETION,
) -> Response:
    return _edit_page(request, session, access, FlagForm(scope=scope))


@router.post("")
def make_flag(
    request: Request, session: SessionDep, access: StaffAccess, form: Annotated[FlagForm, Form()]
) -> Response:
    try:
        flag = add_flag(session, access.project, form.read(), by=access.person.id)
    except Invalid as refusal:
        return _edit_page(request, session, access, form, refusal=refusal)
    return redirect(_url(access), notice=f"“{flag.label}” is asked from the next pair on.")


@router.post("/presets/{key}")
def use_preset(session: SessionDep, access: StaffAccess, key: str) -> Response:
    n = add_preset(session, access.project, key, by=access.person.id)
    said = f"{n} flag{'' if n == 1 else 's'} added." if n else "All of these are here already."
    return redirect(_url(access), notice=said)


@router.get("/{flag_id}")
def edit_flag(
    request: Request, session: SessionDep, access: StaffAccess, flag_id: uuid.UUID
) -> Response:
    flag = _find(session, access, flag_id)
    return _edit_page(request, session, access, FlagForm.of(flag), flag=flag)


@router.post("/{flag_id}")
def save_flag(
    request: Request,
    session: SessionDep,
    access: StaffAccess,
    flag_id: uuid.UUID,
    form: Annotated[FlagForm, Form()],
) -> Response:
    flag = _find(session, access, flag_id)
    try:
        change_flag(session, access.project, flag, form.read(), by=access.person.id)
    except (Invalid, Conflict) as refusal:
        return _edit_page(request, session, access, form, flag=flag, refusal=refusal)
    return redirect(_url(access), notice=f"“{flag.label}” is saved.")


@router.post("/{flag_id}/move")
def move(
    session: SessionDep,
    access: StaffAccess,
    flag_id: uuid.UUID,
    form: Annotated[MoveForm, Form()],
) -> Response:
    flag = _find(session, access, flag_id)
    move_flag(session, access.project, flag, places=form.places, by=access.person.id)
    return redirect(f"{_url(access)}#flag-{flag.key}")


@router.post("/{flag_id}/archive")
def archive(session: SessionDep, access: StaffAccess, flag_id: uuid.UUID) -> Response:
    flag = _find(session, access, flag_id)
    archive_flag(session, access.project, flag, by=access.person.id)
    return redirect(_url(access), notice=f"“{flag.label}” is asked no longer. Its answers stay.")


@router.post("/{flag_id}/restore")
def restore(session: SessionDep, access: StaffAccess, flag_id: uuid.UUID) -> Response:
    flag = _find(session, access, flag_id)
    restore_flag(session, access.project, flag, by=access.person.id)
    return redirect(_url(access), notice=f"“{flag.label}” is asked again.")
