"""What the queue draws from, who may answer, and how long pairs stay fresh."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.accounts.languages import LANGUAGES, names_of
from app.accounts.qualifications import add_qualification, qualifications_of, set_required
from app.collect.draws import mixture_of
from app.collect.queue.forms import QualificationForm, QueueForm, RequiredForm
from app.collect.queue.queries import drawn, stock
from app.errors import Conflict, DomainError, Invalid
from app.projects.service import change_project
from app.web.access import Access, AdminAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter(prefix="/projects/{slug}/queue", include_in_schema=False)


def _url(access: Access) -> str:
    return f"/projects/{access.project.slug}/queue"


def _page(
    request: Request,
    session: Session,
    access: Access,
    form: QueueForm,
    errors: dict[str, str] | None = None,
    *,
    name: str = "",
) -> Response:
    context = {
        "access": access,
        "form": form,
        "errors": errors or {},
        "mixture": mixture_of(access.project),
        "drawn": drawn(session, access.project.id),
        "stock": stock(session, access.project.id),
        "qualifications": qualifications_of(session, access.project.id),
        "qualification_name": name,
        "known_languages": names_of(LANGUAGES),
    }
    status = 422 if errors else 200
    return render(request, "collect/queue.html", context, status=status)


@router.get("")
def queue_page(request: Request, session: SessionDep, access: StaffAccess) -> Response:
    return _page(request, session, access, QueueForm.of(access.project))


@router.post("")
def save_queue(
    request: Request,
    session: SessionDep,
    access: StaffAccess,
    form: Annotated[QueueForm, Form()],
) -> Response:
    values, errors = form.read()
    if errors:
        return _page(request, session, access, form, errors)
    change_project(session, access.project, by=access.person.id, **values)
    return redirect(_url(access), notice="Saved. It holds from the next pair on.")


@router.post("/qualifications")
def make_qualification(
    request: Request,
    session: SessionDep,
    access: AdminAccess,
    form: Annotated[QualificationForm, Form()],
) -> Response:
    try:
        made = add_qualification(session, access.project, form.name, by=access.person.id)
    except (Invalid, Conflict) as refusal:
        return _refused(request, session, access, form.name, refusal)
    return redirect(
        f"{_url(access)}#qualifications",
        notice=f"“{made.name}” is asked for from now on. Grant it under People.",
    )


def _refused(
    request: Request, session: Session, access: Access, name: str, refusal: DomainError
) -> Response:
    form = QueueForm.of(access.project)
    return _page(request, session, access, form, {"qualification": refusal.message}, name=name)


@router.post("/qualifications/{qualification_id}")
def ask_for_qualification(
    session: SessionDep,
    access: AdminAccess,
    qualification_id: uuid.UUID,
    form: Annotated[RequiredForm, Form()],
) -> Response:
    changed = set_required(
        session,
        access.project,
        qualification_id,
        is_required=form.is_required,
        by=access.person.id,
    )
    said = (
        "is asked for again" if form.is_required else "is asked for no longer; who holds it stays"
    )
    return redirect(f"{_url(access)}#qualifications", notice=f"“{changed.name}” {said}.")
