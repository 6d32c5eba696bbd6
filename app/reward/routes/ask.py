"""The page where a reward run is asked for."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.datasets.browse import list_sets
from app.datasets.service import find_set
from app.errors import Conflict, Invalid
from app.reward import asking
from app.reward.forms import AskForm, other_objective
from app.reward.service import request_run
from app.web.access import Access, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter()
PAGE = "/projects/{slug}/reward/ask"


@router.get(PAGE)
def show_form(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    return _page(request, access, session, AskForm(goes_live=True))


@router.post(PAGE)
def ask(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    form: Annotated[AskForm, Form()],
) -> Response:
    project = access.project
    try:
        asked = form.read(project)
        options = asked.options(project)
    except Invalid as error:
        said = {error.field or "": error.message}
        return _page(request, access, session, form, errors=said, status=error.status)
    try:
        with session.begin_nested():  # a run without its job would wait for ever
            run = request_run(
                *(session, project, find_set(session, project, asked.preference_set)),
                configuration=options,
                requested_by=access.person.id,
            )
    except Conflict as error:
        said = {"": error.message}
        return _page(request, access, session, form, errors=said, status=error.status)
    return redirect(
        f"/projects/{project.slug}/reward/{run.id}",
        notice=f"Reward model {run.number} is asked for.",
    )


def _page(
    request: Request,
    access: Access,
    session: Session,
    form: AskForm,
    *,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    values: dict[str, Any] = {
        "access": access,
        "form": form,
        "errors": errors or {},
        "sets": list_sets(session, access.project.id),
        "flags": asking.list_flags(session, access.project.id),
        "losses": list(asking.LOSSES.items()),
        "other": other_objective(access.project).value,
    }
    return render(request, "reward/ask.html", values, status=status)
