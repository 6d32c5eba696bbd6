"""Groups of a project's people."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.accounts.forms import GroupForm
from app.accounts.groups import (
    add_group,
    change_group,
    delete_group,
    find_group,
    groups_by_person,
    groups_of,
)
from app.accounts.queries import members
from app.errors import Conflict, DomainError, Invalid
from app.web.access import Access, AdminAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter(prefix="/projects/{slug}/people/groups", include_in_schema=False)


def _page(
    request: Request,
    session: Session,
    access: Access,
    form: GroupForm | None = None,
    refusal: DomainError | None = None,
) -> Response:
    context = {
        "access": access,
        "groups": groups_of(session, access.project.id),
        "people": [row.person for row in members(session, access.project.id)],
        "held": groups_by_person(session, access.project.id),
        "form": form or GroupForm(),
        "error": refusal.message if refusal else "",
    }
    status = refusal.status if refusal else 200
    return render(request, "accounts/groups.html", context, status=status)


@router.get("")
def groups_page(request: Request, session: SessionDep, access: AdminAccess) -> Response:
    return _page(request, session, access)


@router.post("")
def make_group(
    request: Request, session: SessionDep, access: AdminAccess, form: Annotated[GroupForm, Form()]
) -> Response:
    try:
        made = add_group(session, access.project, form.name, by=access.person.id)
    except (Invalid, Conflict) as refusal:
        return _page(request, session, access, form, refusal)
    return redirect(f"{_url(access)}#group-{made.id}", f"“{made.name}” is there. Tick its people.")


@router.post("/{group_id}")
def save_group(
    session: SessionDep,
    access: AdminAccess,
    group_id: uuid.UUID,
    form: Annotated[GroupForm, Form()],
) -> Response:
    group = find_group(session, access.project.id, group_id)
    change_group(session, group, form.name, form.people, by=access.person.id)
    return redirect(_url(access), f"“{group.name}” is saved.")


@router.post("/{group_id}/delete")
def drop_group(session: SessionDep, access: AdminAccess, group_id: uuid.UUID) -> Response:
    group = find_group(session, access.project.id, group_id)
    delete_group(session, group, by=access.person.id)
    return redirect(_url(access), f"The group “{group.name}” is deleted. Its people stay.")


def _url(access: Access) -> str:
    return f"/projects/{access.project.slug}/people/groups"
