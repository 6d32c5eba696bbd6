"""Messages: all of one's own, a thread with one person, and a new one to several."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from sqlalchemy.orm import Session, object_session

from app.accounts.groups import find_group, people_in
from app.collect.messages.forms import ChosenForm, MessageForm, ReplyForm
from app.collect.messages.queries import (
    annotators_of,
    mark_read,
    n_unread,
    reachable,
    recent_answers,
    thread,
    threads_of,
)
from app.collect.messages.service import send
from app.errors import DomainError, Invalid, NotFound
from app.web.access import Access, MemberAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.login import LoginDep
from app.web.redirects import redirect
from app.web.templating import ENVIRONMENT, render

router = APIRouter(include_in_schema=False)
IN_PROJECT = "/projects/{slug}/messages"


def _n_unread(request: Request) -> int:
    """For the header of every full page; an error page whose session is over shows none."""
    login = getattr(request.state, "login", None)
    session = object_session(login.person) if login else None
    return n_unread(session, login.person.id) if session and login else 0


ENVIRONMENT.globals["n_unread"] = _n_unread


@router.get("/messages")
def inbox(request: Request, session: SessionDep, login: LoginDep) -> Response:
    context = {"threads": threads_of(session, login.person.id)}
    return render(request, "collect/messages/inbox.html", context)


@router.get(f"{IN_PROJECT}/new")
def new_message(
    request: Request,
    session: SessionDep,
    access: StaffAccess,
    form: Annotated[ChosenForm, Query()],
) -> Response:
    to = [*form.to, *_named(session, access, form)]
    return _new_page(request, session, access, MessageForm(**{**form.model_dump(), "to": to}))


def _named(session: Session, access: Access, form: ChosenForm) -> list[uuid.UUID]:
    """The people whom a group or "all annotators" stands for, at this moment."""
    found: list[uuid.UUID] = []
    if form.group is not None:
        find_group(session, access.project.id, form.group)
        found += session.scalars(people_in(form.group))
    if form.to_all:
        found += annotators_of(session, access.project.id)
    return found


def _new_page(
    request: Request,
    session: Session,
    access: Access,
    form: MessageForm,
    refusal: DomainError | None = None,
) -> Response:
    people = [one for one in reachable(session, access.project.id, form.to) if one != access.person]
    answers = recent_answers(session, access.project.id, people[0].id) if len(people) == 1 else []
    context = {
        "access": access,
        "form": form,
        "people": people,
        "answers": answers,
        "group": find_group(session, access.project.id, form.group) if form.group else None,
        "error": refusal.message if refusal else "",
    }
    status = refusal.status if refusal else 200
    return render(request, "collect/messages/new.html", context, status=status)


@router.post(IN_PROJECT)
def send_new(
    request: Request,
    session: SessionDep,
    access: StaffAccess,
    form: Annotated[MessageForm, Form()],
) -> Response:
    try:
        sent = _send(session, access, form.to, form.body, form.about)
    except (Invalid, NotFound) as refusal:
        return _new_page(request, session, access, form, refusal)
    if len(sent) > 1:
        return redirect("/messages", f"Sent to {len(sent)} people.")
    return redirect(_url(access, sent[0].recipient_id), "Sent.")


@router.get(f"{IN_PROJECT}/{{person_id}}")
def one_thread(
    request: Request, session: SessionDep, access: MemberAccess, person_id: uuid.UUID
) -> Response:
    return _thread_page(request, session, access, person_id)


def _thread_page(
    request: Request,
    session: Session,
    access: Access,
    person_id: uuid.UUID,
    *,
    form: ReplyForm | None = None,
    refusal: DomainError | None = None,
) -> Response:
    said = thread(session, access.project.id, access.person.id, person_id)
    people = reachable(session, access.project.id, [person_id])
    if not said and not (people and access.is_staff):
        raise NotFound("You have no messages with this person in the project.")
    context: dict[str, Any] = {
        "access": access,
        "said": said,
        "other": people[0] if people else None,
        "other_id": person_id,
        "form": form or ReplyForm(),
        "error": refusal.message if refusal else "",
    }
    status = refusal.status if refusal else 200
    response = render(request, "collect/messages/thread.html", context, status=status)
    # After the page: it shows what was new.
    mark_read(session, said)
    return response


@router.post(f"{IN_PROJECT}/{{person_id}}")
def reply(
    request: Request,
    session: SessionDep,
    access: MemberAccess,
    person_id: uuid.UUID,
    form: Annotated[ReplyForm, Form()],
) -> Response:
    try:
        _send(session, access, [person_id], form.body, form.about)
    except Invalid as refusal:
        return _thread_page(request, session, access, person_id, form=form, refusal=refusal)
    return redirect(_url(access, person_id), "Sent.")


def _send(
    session: Session, access: Access, to: list[uuid.UUID], body: str, about: uuid.UUID | None
) -> Any:
    return send(
        session,
        access.project,
        sender=access.person,
        is_staff=access.is_staff,
        to=to,
        body=body,
        comparison_id=about,
    )


def _url(access: Access, person_id: uuid.UUID) -> str:
    return f"/projects/{access.project.slug}/messages/{person_id}"
