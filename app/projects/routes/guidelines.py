"""The guidelines: read by every member, written by staff, never edited but followed."""

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.errors import Conflict, DomainError, Invalid, NotFound
from app.markdown import render_markdown
from app.projects.cases import with_case
from app.projects.difference import differences
from app.projects.effects import Effect, EffectsOfChanges
from app.projects.forms import GuidelinesForm, ReadingForm
from app.projects.queries import current_guidelines, guideline_versions
from app.projects.reading import confirm_reading, readers, reading_of
from app.projects.service import add_guideline_version, check_guidelines
from app.web.access import Access, AnnotatorAccess, MemberAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter(prefix="/projects/{slug}/guidelines")


def _read_page(
    request: Request,
    session: Session,
    access: Access,
    number: int | None = None,
    *,
    view: Literal["text", "changes", "since"] = "text",
) -> Response:
    """One version, or the current one: its text, or what changed since the version before or
    since the one that this person read last."""
    reading = reading_of(session, access.project.id, access.person.id)
    versions = guideline_versions(session, access.project.id)
    shown = next((row for row in versions if number in (None, row[0].number)), None)
    if number is not None and shown is None:
        raise NotFound("The guidelines have no such version.")
    before = next((row[0] for row in versions if shown and row[0].number < shown[0].number), None)
    older = (reading.read if reading.is_due else None) if view == "since" else before
    context = {
        "access": access,
        "versions": versions,
        "shown": shown[0] if shown else None,
        "author": shown[1] if shown else None,
        "before": before,
        "is_current": shown is None or shown[0] is versions[0][0],
        "view": view,
        "reading": reading,
        "effects": _effects(request, session, access) if len(versions) > 1 else {},
        "readers": readers(session, shown[0]) if shown and access.is_staff else [],
        "pieces": differences(older.markdown, shown[0].markdown)
        if view != "text" and older and shown
        else None,
    }
    return render(request, "projects/guidelines.html", context)


def _effects(request: Request, session: Session, access: Access) -> dict[int, Effect]:
    """What each change did to agreement, which is for staff."""
    if not access.is_staff:
        return {}
    tell: EffectsOfChanges = request.app.state.effects_of_changes
    return tell(session, access.project)


def _edit_page(
    request: Request,
    session: Session,
    access: Access,
    form: GuidelinesForm,
    *,
    preview: str | None = None,
    refusal: DomainError | None = None,
) -> Response:
    current = current_guidelines(session, access.project.id)
    is_overtaken = isinstance(refusal, Conflict) and current is not None
    context = {
        "access": access,
        "form": form,
        "number": current.number if current else 0,
        "preview": preview,
        "error": refusal.message if refusal else "",
        "pieces": differences(current.markdown, form.markdown.replace("\r\n", "\n").strip())
        if is_overtaken and current
        else None,
    }
    status = refusal.status if refusal else 200
    return render(request, "projects/guidelines_edit.html", context, status=status)


@router.get("")
def guidelines(request: Request, session: SessionDep, access: MemberAccess) -> Response:
    return _read_page(request, session, access)


@router.get("/since")
def since_last_read(request: Request, session: SessionDep, access: MemberAccess) -> Response:
    return _read_page(request, session, access, view="since")


@router.post("/readings")
def confirm(
    session: SessionDep, access: AnnotatorAccess, form: Annotated[ReadingForm, Form()]
) -> Response:
    confirm_reading(session, access.project, access.person.id, form.number)
    return redirect(
        f"/projects/{access.project.slug}/collect",
        notice=f"Noted: you have read version {form.number}.",
    )


@router.get("/edit")
def edit_guidelines(
    request: Request, session: SessionDep, access: StaffAccess, case: uuid.UUID | None = None
) -> Response:
    """`case` is a decision that found the guidelines at fault: its pair stands at their end."""
    current = current_guidelines(session, access.project.id)
    markdown, note = current.markdown if current else "", ""
    if case is not None:
        markdown, note = with_case(session, access.project, markdown, case)
    form = GuidelinesForm(
        markdown=markdown, change_note=note, after=current.number if current else 0
    )
    return _edit_page(request, session, access, form)


@router.post("")
def save_guidelines(
    request: Request,
    session: SessionDep,
    access: StaffAccess,
    form: Annotated[GuidelinesForm, Form()],
) -> Response:
    try:
        if form.action == "preview":
            check_guidelines(form.markdown)
            html = render_markdown(form.markdown.replace("\r\n", "\n"))
            return _edit_page(request, session, access, form, preview=html)
        version = add_guideline_version(
            session,
            access.project,
            markdown=form.markdown,
            change_note=form.change_note,
            created_by=access.person.id,
            after=form.after,
        )
    except (Invalid, Conflict) as refusal:
        return _edit_page(request, session, access, form, refusal=refusal)
    return redirect(
        f"/projects/{access.project.slug}/guidelines",
        notice=f"Version {version.number} holds from now on. Earlier answers keep theirs.",
    )


@router.get("/{number}")
def one_version(
    request: Request, session: SessionDep, access: MemberAccess, number: int
) -> Response:
    return _read_page(request, session, access, number)


@router.get("/{number}/changes")
def changes(request: Request, session: SessionDep, access: MemberAccess, number: int) -> Response:
    return _read_page(request, session, access, number, view="changes")
