"""The page of a conversation, whole or as the block that htmx asks for."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from app.accounts.queries import pause_of
from app.collect.forms import DraftForm
from app.collect.routes.pages import asked_in, draft_kept
from app.collect.service import check_times
from app.collect.talk import queries, service
from app.collect.talk.drafts import save_turn_draft, turn_draft_of
from app.collect.talk.forms import ChoiceForm, EndForm, MessageForm, TurnForm
from app.collect.talk.queries import Stage
from app.projects.asking import asking_of
from app.projects.queries import current_guidelines
from app.tables.base import utc_now
from app.tables.talk import Turn
from app.web.access import Access, AnnotatorAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import is_htmx, render

router = APIRouter(prefix="/projects/{slug}/collect/talk", include_in_schema=False)

TEMPLATE = "collect/talk/talk.html"
# Without a script nobody counts active seconds; what is longer than this was not all reading.
UNCOUNTED_SECONDS = 120.0


@router.get("")
def talk(
    request: Request, session: SessionDep, access: AnnotatorAccess, mark: str = ""
) -> Response:
    """The conversation as it stands. A page that waits says its `mark` and gets what is new."""
    service.require_on(access.project)
    context = _context(session, access)
    if not is_htmx(request):
        return render(request, TEMPLATE, context)
    if mark == context["desk"].mark:
        return Response(status_code=204)
    return render(request, TEMPLATE, context, block="talk")


def _context(session: Session, access: Access) -> dict[str, Any]:
    project = access.project
    desk = queries.desk_of(session, project.id, access.person.id)
    if desk.conversation is not None:
        service.see(session, desk.conversation)
    context: dict[str, Any] = {
        "access": access,
        "desk": desk,
        "guidelines": current_guidelines(session, project.id),
        "most": service.LONGEST_MESSAGE,
        "asking": asking_of(session, project.id),
        "why": None,
        "left": None,
        "draft": None,
        "pause": None,
    }
    if desk.stage is Stage.BEGIN:
        context["left"] = service.find_left(session, project.id, access.person.id)
    if desk.stage in (Stage.BEGIN, Stage.WRITE):
        if nothing := service.why_not(session, project, access.person.id):
            hindrance = nothing.hindrance.sentence if nothing.hindrance else ""
            context |= {"why": nothing.why.value, "hindrance": hindrance}
            if access.is_paused:
                context["pause"] = pause_of(session, project.id, access.person.id)
        elif not queries.has_policy(session, project.id):
            context["why"] = "no_policy"
    if desk.stage is Stage.CHOOSE:
        context |= asked_in(context["asking"], {})
        context["draft"] = turn_draft_of(session, desk.turn.id) if desk.turn else None
    return context


def _standing(request: Request, session: Session, access: Access) -> Response:
    """What the page shows after a deed; without a script, a way to it."""
    session.flush()
    if not is_htmx(request):
        return redirect(_url(access))
    return render(request, TEMPLATE, _context(session, access), block="talk")


def _url(access: Access) -> str:
    return f"/projects/{access.project.slug}/collect/talk"


@router.post("/messages")
def say(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    form: Annotated[MessageForm, Form()],
) -> Response:
    service.say(
        session,
        access.project,
        access.person.id,
        form.words,
        conversation_id=form.conversation_id,
        position=form.position,
    )
    return _standing(request, session, access)


@router.post("/choices")
def choose(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    form: Annotated[ChoiceForm, Form()],
) -> Response:
    turn = _own(session, access, form.turn_id)
    seconds = _seconds(form, turn)
    times = form.control_times(turn.is_flipped)
    choice = service.Choice(
        rating=form.canonical_rating(turn.is_flipped),
        seconds=seconds,
        idempotency_key=f"turn {turn.id}",
        flags=tuple(form.flags(turn.is_flipped)),
        times=tuple(check_times(times, claimed=form.seconds, seconds=seconds)),
        comment=form.comment,
        is_about_equal=form.is_about_equal,
        is_both_bad=form.is_both_bad,
        confidence=form.confidence,
    )
    service.choose(session, turn, access.person.id, choice)
    return _standing(request, session, access)


def _seconds(form: ChoiceForm, turn: Turn) -> float:
    claimed = UNCOUNTED_SECONDS if form.seconds is None else form.seconds
    open_for = (utc_now() - turn.answered_at).total_seconds() if turn.answered_at else 0.0
    return max(0.0, min(claimed, open_for))


@router.post("/drafts")
def save_draft(
    session: SessionDep, access: AnnotatorAccess, form: Annotated[DraftForm, Form()]
) -> JSONResponse:
    """Keep what is half chosen; the assignment of a choice is its turn."""
    turn = _own(session, access, form.assignment_id)
    return draft_kept(save_turn_draft(session, turn, version=form.version, content=form.content))


@router.post("/retries")
def try_again(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    form: Annotated[TurnForm, Form()],
) -> Response:
    service.try_again(session, _own(session, access, form.turn_id))
    return _standing(request, session, access)


@router.post("/withdrawals")
def take_back(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    form: Annotated[TurnForm, Form()],
) -> Response:
    service.take_back(session, _own(session, access, form.turn_id))
    return _standing(request, session, access)


@router.post("/resumptions")
def go_on(request: Request, session: SessionDep, access: AnnotatorAccess) -> Response:
    service.go_on(session, access.project, access.person.id)
    return _standing(request, session, access)


@router.post("/endings")
def end(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    form: Annotated[EndForm, Form()],
) -> Response:
    """End this conversation, for a new one or to leave."""
    service.require_on(access.project)
    conversation = service.find_open(session, access.project.id, access.person.id)
    if conversation is not None and conversation.id == form.conversation_id:
        service.end(session, conversation)
    if form.leaves:
        return redirect("/", "The conversation is ended. Every choice in it is kept.")
    return _standing(request, session, access)


def _own(session: Session, access: Access, turn_id: uuid.UUID) -> Turn:
    service.require_on(access.project)
    return service.own_turn(session, turn_id, access.person.id, access.project.id)
