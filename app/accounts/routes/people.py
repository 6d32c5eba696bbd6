"""Everyone in this installation, for owners."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.forms import InviteForm
from app.accounts.links import LIFETIMES, renew_invitation
from app.accounts.queries import everyone
from app.accounts.service import deactivate, invite, reactivate
from app.errors import Conflict, DomainError, Invalid, NotFound
from app.tables.accounts import LinkPurpose, Person
from app.tables.projects import Project
from app.web.access import OwnerDep, require_owner
from app.web.dependencies import SessionDep
from app.web.redirects import redirect, whole_address
from app.web.templating import render

router = APIRouter()


def invitation_page(
    request: Request, person: Person, path: str, *, back: str, project: Project | None = None
) -> Response:
    """The link to copy: there is no mail server, so a person passes it on."""
    has_password = person.password_hash is not None
    purpose = LinkPurpose.SIGN_IN if has_password else LinkPurpose.INVITATION
    context = {
        "someone": person,
        "link": whole_address(request, path),
        "days": LIFETIMES[purpose].days,
        "is_sign_in": has_password,
        "back": back,
        "project": project,
    }
    return render(request, "accounts/invited.html", context)


def find_someone(session: Session, person_id: uuid.UUID) -> Person:
    """Raises NotFound."""
    person = session.get(Person, person_id)
    if person is None:
        raise NotFound("There is no such person here.")
    return person


def _page(
    request: Request,
    session: Session,
    form: InviteForm | None = None,
    refusal: DomainError | None = None,
) -> Response:
    projects = select(Project).where(~Project.is_archived).order_by(func.lower(Project.name))
    context = {
        "rows": everyone(session),
        "projects": session.scalars(projects).all(),
        "form": form or InviteForm(),
        "errors": {refusal.field or "email": refusal.message} if refusal else {},
    }
    status = refusal.status if refusal else 200
    return render(request, "accounts/people.html", context, status=status)


@router.get("/people", include_in_schema=False, dependencies=[Depends(require_owner)])
def people(request: Request, session: SessionDep) -> Response:
    return _page(request, session)


@router.post("/people", include_in_schema=False)
def invite_someone(
    request: Request, session: SessionDep, owner: OwnerDep, form: Annotated[InviteForm, Form()]
) -> Response:
    project = session.scalar(select(Project).where(Project.slug == form.project))
    if form.project and project is None:
        gone = Invalid("There is no such project any more. Choose another.", field="project")
        return _page(request, session, form, gone)
    try:
        with session.begin_nested():
            person, path = invite(
                session,
                email=form.email,
                name=form.name,
                invited_by=owner,
                project_id=project.id if project else None,
                roles=form.roles if project else (),
            )
    except (Invalid, Conflict) as refusal:
        return _page(request, session, form, refusal)
    if path is None:
        return redirect("/people", notice=f"{person.name} was here already and has the new roles.")
    return invitation_page(request, person, path, back="/people", project=project)


@router.post("/people/{person_id}/link", include_in_schema=False)
def make_link(
    request: Request, session: SessionDep, owner: OwnerDep, person_id: uuid.UUID
) -> Response:
    person = find_someone(session, person_id)
    return invitation_page(
        request, person, renew_invitation(session, person, owner), back="/people"
    )


@router.post("/people/{person_id}/deactivate", include_in_schema=False)
def close_door(session: SessionDep, owner: OwnerDep, person_id: uuid.UUID) -> Response:
    person = find_someone(session, person_id)
    deactivate(session, person, by=owner)
    return redirect("/people", notice=f"{person.name} can no longer sign in. Their answers stay.")


@router.post("/people/{person_id}/reactivate", include_in_schema=False)
def open_door(session: SessionDep, owner: OwnerDep, person_id: uuid.UUID) -> Response:
    person = find_someone(session, person_id)
    reactivate(session, person, by=owner)
    return redirect("/people", notice=f"{person.name} can sign in again.")
