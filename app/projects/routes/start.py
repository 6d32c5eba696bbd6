"""A new project, and the way into one."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response

from app.errors import Invalid
from app.projects.forms import NewProjectForm
from app.projects.rules import WORDINGS
from app.projects.service import create_project
from app.web.access import MemberAccess, OwnerDep, require_owner
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter()


def _new_page(request: Request, form: NewProjectForm, refusal: Invalid | None = None) -> Response:
    errors = {refusal.field or "name": refusal.message} if refusal else {}
    context = {"form": form, "errors": errors, "wordings": WORDINGS}
    status = refusal.status if refusal else 200
    return render(request, "projects/new.html", context, status=status)


@router.get("/projects/new", dependencies=[Depends(require_owner)])
def new_project(request: Request) -> Response:
    return _new_page(request, NewProjectForm())


@router.post("/projects/new")
def make_project(
    request: Request,
    session: SessionDep,
    owner: OwnerDep,
    form: Annotated[NewProjectForm, Form()],
) -> Response:
    try:
        project = create_project(
            session, name=form.name, objective=form.objective, created_by=owner.id
        )
    except Invalid as refusal:
        return _new_page(request, form, refusal)
    return redirect(
        f"/projects/{project.slug}/settings",
        notice=f"{project.name} is made. Look over its settings, then import prompts.",
    )


@router.get("/projects/{slug}")
def project_home(access: MemberAccess) -> Response:
    place = "loop" if access.is_staff else "collect"
    return redirect(f"/projects/{access.project.slug}/{place}")
