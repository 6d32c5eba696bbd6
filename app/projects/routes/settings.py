"""How a project asks, and how its loop turns."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.projects.flags import n_flags
from app.projects.forms import SettingsForm
from app.projects.queries import current_guidelines
from app.projects.service import change_project, set_archived
from app.web.access import Access, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter(prefix="/projects/{slug}/settings")


def _page(
    request: Request,
    session: Session,
    access: Access,
    form: SettingsForm,
    errors: dict[str, str] | None = None,
) -> Response:
    context = {
        "access": access,
        "form": form,
        "errors": errors or {},
        "n_flags": n_flags(session, access.project),
        "guidelines": current_guidelines(session, access.project.id),
    }
    return render(request, "projects/settings.html", context, status=422 if errors else 200)


@router.get("")
def settings_page(request: Request, session: SessionDep, access: StaffAccess) -> Response:
    return _page(request, session, access, SettingsForm.of(access.project))


@router.post("")
def save_settings(
    request: Request,
    session: SessionDep,
    access: StaffAccess,
    form: Annotated[SettingsForm, Form()],
) -> Response:
    values, errors = form.read()
    if errors:
        return _page(request, session, access, form, errors)
    change_project(session, access.project, by=access.person.id, **values)
    return redirect(
        f"/projects/{access.project.slug}/settings",
        notice="Saved. It holds from the next pair and the next run on.",
    )


@router.post("/archive")
def archive(session: SessionDep, access: StaffAccess) -> Response:
    set_archived(session, access.project, is_archived=True, by=access.person.id)
    return redirect("/", notice=f"{access.project.name} is archived. Nothing is deleted.")


@router.post("/unarchive")
def unarchive(session: SessionDep, access: StaffAccess) -> Response:
    set_archived(session, access.project, is_archived=False, by=access.person.id)
    return redirect(
        f"/projects/{access.project.slug}/settings", notice=f"{access.project.name} is back."
    )
