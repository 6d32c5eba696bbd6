"""The people of one project: who may do what, who pauses, who is new."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.forms import GroupsForm, InviteForm, QualificationsForm, RolesForm
from app.accounts.groups import find_group, groups_by_person, groups_of, set_groups
from app.accounts.languages import names_of
from app.accounts.links import renew_invitation, withdraw_invitation
from app.accounts.qualifications import held_in, qualifications_of, set_held
from app.accounts.queries import members
from app.accounts.routes.people import invitation_page
from app.accounts.service import invite, pause, remove_member, resume, set_roles
from app.errors import Conflict, DomainError, Invalid, NotFound
from app.tables.accounts import Membership, Person
from app.web.access import Access, AdminAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter(prefix="/projects/{slug}/people", include_in_schema=False)


def _url(access: Access) -> str:
    return f"/projects/{access.project.slug}/people"


def _member(session: Session, access: Access, person_id: uuid.UUID) -> Person:
    person = session.scalar(
        select(Person)
        .join(Membership, Membership.person_id == Person.id)
        .where(Person.id == person_id, Membership.project_id == access.project.id)
        .distinct()
    )
    if person is None:
        raise NotFound("This person is not a member of the project.")
    return person


def _page(
    request: Request,
    session: Session,
    access: Access,
    form: InviteForm | None = None,
    refusal: DomainError | None = None,
    *,
    group_id: uuid.UUID | None = None,
) -> Response:
    groups = groups_by_person(session, access.project.id)
    group = find_group(session, access.project.id, group_id) if group_id else None
    rows = members(session, access.project.id)
    context = {
        "access": access,
        "rows": [row for row in rows if group is None or group in groups.get(row.person.id, ())],
        "groups": groups,
        "every_group": [one for one, _ in groups_of(session, access.project.id)],
        "group": group,
        "qualifications": [one for one, _ in qualifications_of(session, access.project.id)],
        "held": held_in(session, access.project.id),
        "names_of": names_of,
        "form": form or InviteForm(),
        "errors": {refusal.field or "email": refusal.message} if refusal else {},
    }
    status = refusal.status if refusal else 200
    return render(request, "accounts/members.html", context, status=status)


@router.get("")
def members_page(
    request: Request, session: SessionDep, access: AdminAccess, group: uuid.UUID | None = None
) -> Response:
    return _page(request, session, access, group_id=group)


@router.post("")
def add_member(
    request: Request, session: SessionDep, access: AdminAccess, form: Annotated[InviteForm, Form()]
) -> Response:
    try:
        with session.begin_nested():
            person, path = invite(
                session,
                email=form.email,
                name=form.name,
                invited_by=access.person,
                project_id=access.project.id,
                roles=form.roles,
            )
            if form.groups:
                known = groups_by_person(session, access.project.id).get(person.id, [])
                wanted = {*form.groups, *(one.id for one in known)}
                set_groups(session, access.project, person, wanted, by=access.person.id)
    except (Invalid, Conflict) as refusal:
        return _page(request, session, access, form, refusal)
    if path is None:
        return redirect(_url(access), notice=f"{person.name} is a member now.")
    return invitation_page(request, person, path, back=_url(access), project=access.project)


@router.post("/{person_id}/roles")
def change_roles(
    session: SessionDep,
    access: AdminAccess,
    person_id: uuid.UUID,
    form: Annotated[RolesForm, Form()],
) -> Response:
    person = _member(session, access, person_id)
    set_roles(
        session, project_id=access.project.id, person=person, roles=form.roles, by=access.person
    )
    return redirect(_url(access), notice=f"The roles of {person.name} are saved.")


@router.post("/{person_id}/qualifications")
def change_qualifications(
    session: SessionDep,
    access: AdminAccess,
    person_id: uuid.UUID,
    form: Annotated[QualificationsForm, Form()],
) -> Response:
    person = _member(session, access, person_id)
    set_held(session, access.project, person, form.held, by=access.person.id)
    return redirect(_url(access), notice=f"The qualifications of {person.name} are saved.")


@router.post("/{person_id}/groups")
def change_groups(
    session: SessionDep,
    access: AdminAccess,
    person_id: uuid.UUID,
    form: Annotated[GroupsForm, Form()],
) -> Response:
    person = _member(session, access, person_id)
    set_groups(session, access.project, person, form.groups, by=access.person.id)
    return redirect(_url(access), notice=f"The groups of {person.name} are saved.")


@router.post("/{person_id}/pause")
def pause_annotator(session: SessionDep, access: AdminAccess, person_id: uuid.UUID) -> Response:
    person = _member(session, access, person_id)
    pause(session, project_id=access.project.id, person=person, by=access.person.id)
    return redirect(_url(access), notice=f"{person.name} gets no more pairs until you resume.")


@router.post("/{person_id}/resume")
def resume_annotator(session: SessionDep, access: AdminAccess, person_id: uuid.UUID) -> Response:
    person = _member(session, access, person_id)
    resume(session, project_id=access.project.id, person=person, by=access.person.id)
    return redirect(_url(access), notice=f"{person.name} gets pairs again.")


@router.post("/{person_id}/remove")
def remove(session: SessionDep, access: AdminAccess, person_id: uuid.UUID) -> Response:
    person = _member(session, access, person_id)
    remove_member(session, project_id=access.project.id, person=person, by=access.person)
    return redirect(
        _url(access), notice=f"{person.name} is no longer a member. Their answers stay."
    )


@router.post("/{person_id}/link")
def make_link(
    request: Request, session: SessionDep, access: AdminAccess, person_id: uuid.UUID
) -> Response:
    person = _member(session, access, person_id)
    path = renew_invitation(session, person, access.person)
    return invitation_page(request, person, path, back=_url(access), project=access.project)


@router.post("/{person_id}/link/withdrawal")
def withdraw_link(session: SessionDep, access: AdminAccess, person_id: uuid.UUID) -> Response:
    person = _member(session, access, person_id)
    withdraw_invitation(session, person, access.person)
    return redirect(_url(access), notice=f"The link for {person.name} lets nobody in any more.")
