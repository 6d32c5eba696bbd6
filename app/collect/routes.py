"""The compare page, and the page of an answer that one has given."""

import secrets
import uuid
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from app.accounts.queries import pause_of
from app.accounts.service import come_back, rest
from app.collect import service
from app.collect.draws import mixture_of
from app.collect.eligibility import in_words
from app.collect.forms import (
    ChangedAnswerForm,
    DraftForm,
    LeaseForm,
    NewAnswerForm,
    PauseForm,
    SkipForm,
    flag_name,
)
from app.collect.kinds import additions
from app.collect.pairing import shown
from app.collect.service import Nothing
from app.collect.sheets import (
    comparison_of,
    earlier_versions,
    last_comparison,
    n_since,
    sheet_of,
)
from app.collect.skips import last_skip, skip_for, unskip
from app.projects.flags import page_keys
from app.projects.queries import current_guidelines, flags_of
from app.projects.reading import reading_of
from app.projects.remaining import MANY, n_left
from app.projects.skipping import reasons_of
from app.tables.base import utc_now
from app.tables.collect import Assignment, Comparison
from app.tables.projects import FlagScope
from app.web.access import Access, AnnotatorAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import is_htmx, render

router = APIRouter(prefix="/projects/{slug}/collect", include_in_schema=False)

TEMPLATE = "collect/compare.html"
ROUND = 10
# Without a script nobody counts active seconds; what is longer than this was not all reading.
UNCOUNTED_SECONDS = 120.0


@router.get("")
def compare(
    request: Request, session: SessionDep, access: AnnotatorAccess, waits: bool = False
) -> Response:
    """The pair on this person's page. A page that `waits` gets nothing while nothing is free."""
    context = _next(session, access)
    if waits and is_htmx(request):
        is_busy = context["why"] == service.Why.BUSY
        return Response(status_code=204) if is_busy else _pair(request, context)
    context["skipped"] = last_skip(session, access.project.id, access.person.id)
    context["reasons"] = reasons_of(session, access.project.id)
    context["reading"] = reading_of(session, access.project.id, access.person.id)
    context["guidelines"] = context["reading"].current
    return render(request, TEMPLATE, context)


@router.post("/answers")
def answer(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    form: Annotated[NewAnswerForm, Form()],
) -> Response:
    """Record the answer and hand out the next pair, in one round trip."""
    assignment = service.own_assignment(
        session, form.assignment_id, access.person.id, project_id=access.project.id
    )
    claimed = UNCOUNTED_SECONDS if form.seconds is None else form.seconds
    seconds = service.active_seconds(claimed, assignment)
    times = form.control_times(assignment.is_flipped)
    said = service.record_comparison(
        session,
        assignment_id=assignment.id,
        annotator_id=access.person.id,
        rating=form.canonical_rating(assignment.is_flipped),
        seconds=seconds,
        times=service.check_times(times, claimed=form.seconds, seconds=seconds),
        idempotency_key=form.idempotency_key,
        flags=form.flags(assignment.is_flipped),
        comment=form.comment,
        is_about_equal=form.is_about_equal,
        is_both_bad=form.is_both_bad,
        confidence=form.confidence,
        project_id=access.project.id,
    )
    if additions.is_any_on(access.project):
        additions.record_additions(session, access.project, said, form.model_extra)
    return _kept(_next_page(request, session, access), assignment.id, said.id)


@router.post("/skips")
def skip(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    form: Annotated[SkipForm, Form()],
) -> Response:
    skipped = skip_for(
        session,
        form.assignment_id,
        access.person.id,
        project_id=access.project.id,
        reason_id=form.reason,
        words=form.other,
    )
    response = _next_page(request, session, access, skipped=skipped)
    return _kept(response, form.assignment_id)


@router.post("/unskips")
def take_skip_back(
    session: SessionDep, access: AnnotatorAccess, form: Annotated[LeaseForm, Form()]
) -> Response:
    unskip(session, form.assignment_id, access.person.id, project_id=access.project.id)
    return redirect(_url(access), "The pair that you skipped is back.")


@router.post("/drafts")
def save_draft(
    session: SessionDep, access: AnnotatorAccess, form: Annotated[DraftForm, Form()]
) -> JSONResponse:
    """Keep what is half answered; the answer says which version stands, and what it holds."""
    standing = service.save_draft(
        session,
        form.assignment_id,
        access.person.id,
        version=form.version,
        content=form.content,
        project_id=access.project.id,
    )
    body: dict[str, Any] = {"version": standing.version, "is_saved": standing.is_saved}
    return JSONResponse(body if standing.is_saved else {**body, "content": standing.content})


@router.get("/pairs/{assignment_id}")
def pair_again(session: SessionDep, access: AnnotatorAccess, assignment_id: uuid.UUID) -> Response:
    """Back to a pair: to the answer as it was given, or to the page where it is still open."""
    assignment = service.own_assignment(
        session, assignment_id, access.person.id, project_id=access.project.id
    )
    found = comparison_of(session, assignment.id)
    return redirect(_url(access) if found is None else f"{_url(access)}/answers/{found}")


@router.post("/renewals")
def renew(
    session: SessionDep, access: AnnotatorAccess, form: Annotated[LeaseForm, Form()]
) -> Response:
    service.renew_lease(session, form.assignment_id, access.person.id, project_id=access.project.id)
    return Response(status_code=204)


@router.post("/releases")
def release(
    session: SessionDep, access: AnnotatorAccess, form: Annotated[LeaseForm, Form()]
) -> Response:
    service.release(session, form.assignment_id, access.person.id, project_id=access.project.id)
    return redirect("/", "That pair went back to the queue. See you soon.")


@router.post("/pauses")
def pause_oneself(
    session: SessionDep, access: AnnotatorAccess, form: Annotated[PauseForm, Form()]
) -> Response:
    rest(session, project_id=access.project.id, person=access.person, until=form.day())
    return redirect("/", f"You rest from {access.project.name} until {form.until}.")


@router.post("/resumptions")
def resume_oneself(session: SessionDep, access: AnnotatorAccess) -> Response:
    come_back(session, project_id=access.project.id, person=access.person)
    return redirect(_url(access), "Welcome back.")


@router.get("/last")
def last(session: SessionDep, access: AnnotatorAccess) -> Response:
    found = last_comparison(session, access.project.id, access.person.id)
    if found is None:
        return redirect(_url(access), "You have not answered anything yet.")
    return redirect(f"{_url(access)}/answers/{found.id}")


@router.get("/answers/{comparison_id}")
def edit(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    comparison_id: uuid.UUID,
    back: str = "",
) -> Response:
    comparison = service.own_comparison(
        session, comparison_id, access.person.id, project_id=access.project.id
    )
    context = {
        **_counts(session, access),
        **_sheet(session, access, comparison.pair_id, comparison.is_flipped),
        "assignment": None,
        "comparison": comparison,
        "versions": [
            (was, shown(was.rating, comparison.is_flipped))
            for was in earlier_versions(session, comparison.id)
        ],
        "unchangeable": service.why_unchangeable(access.project, comparison),
        "said": _said(session, comparison),
        "back": back,
        "why": None,
        "guidelines": current_guidelines(session, access.project.id),
    }
    return render(request, TEMPLATE, context)


@router.post("/answers/{comparison_id}")
def change(
    session: SessionDep,
    access: AnnotatorAccess,
    comparison_id: uuid.UUID,
    form: Annotated[ChangedAnswerForm, Form()],
) -> Response:
    comparison = service.own_comparison(
        session, comparison_id, access.person.id, project_id=access.project.id
    )
    service.change_comparison(
        session,
        comparison.id,
        access.person.id,
        rating=form.canonical_rating(comparison.is_flipped),
        flags=form.flags(comparison.is_flipped),
        comment=form.comment,
        is_about_equal=form.is_about_equal,
        is_both_bad=form.is_both_bad,
        confidence=form.confidence,
        after=form.revision,
        project_id=access.project.id,
    )
    url = f"{_url(access)}/history" if form.back == "history" else _url(access)
    return redirect(url, "Your answer was changed; the one before is kept beside it.")


def _url(access: Access) -> str:
    return f"/projects/{access.project.slug}/collect"


def _kept(
    response: Response, assignment_id: uuid.UUID, comparison_id: uuid.UUID | None = None
) -> Response:
    """Say in headers what was kept: a page that comes from elsewhere must not pass for a yes."""
    response.headers["Prefloop-Kept"] = str(assignment_id)
    if comparison_id is not None:
        response.headers["Prefloop-Answer"] = str(comparison_id)
    return response


def _next_page(
    request: Request, session: Session, access: Access, skipped: Assignment | None = None
) -> Response:
    """The next pair in the same response; without a script, a way to it."""
    if not is_htmx(request):
        return redirect(_url(access))
    return _pair(request, {**_next(session, access), "skipped": skipped})


def _pair(request: Request, context: dict[str, Any]) -> Response:
    return render(request, TEMPLATE, context, block="pair")


def _next(session: Session, access: Access) -> dict[str, Any]:
    found, mine = service.next_and_standing(session, access.project, access.person.id)
    context = {
        **_counts(session, access),
        **{"comparison": None, "said": {}, "back": "", "unread": mine.unread},
    }
    if isinstance(found, Nothing):
        return {
            **context,
            "assignment": None,
            "why": found.why.value,
            **_said_of(found, session, access),
        }
    return {
        **context,
        **_sheet(session, access, found.pair_id, found.is_flipped),
        "additions": additions.asked(session, access.project, found),
        "assignment": found,
        "draft": service.draft_of(session, found),
        "why": None,
        "key": secrets.token_urlsafe(16),
    }


def _left(access: Access, left: int) -> str:
    """What is left, in words; in round numbers where something comes that is not counted in it.

    An exact count would stand still at a gold item, and so tell it from the rest.
    """
    if left > MANY:
        return f"more than {MANY}"
    shares = mixture_of(access.project)
    if left == 0 or shares.gold + shares.retest + shares.audit == 0:
        return str(left)
    return f"about {-(-left // ROUND) * ROUND}"


def _said_of(nothing: Nothing, session: Session, access: Access) -> dict[str, Any]:
    hindrance = nothing.hindrance
    opens = in_words(hindrance.opens_at) if hindrance and hindrance.opens_at else ""
    pause = pause_of(session, access.project.id, access.person.id) if access.is_paused else None
    return {
        "hindrance": hindrance,
        "opens": opens,
        "pause": pause,
        **({"left": "0"} if hindrance else {}),
    }


def _counts(session: Session, access: Access) -> dict[str, Any]:
    """What is answered and what is left, with the pair on the page."""
    # Not since midnight: whose midnight would that be?
    since = utc_now() - timedelta(hours=24)
    left = n_left(session, access.project.id, access.person.id)
    return {
        "access": access,
        "recent": n_since(session, access.project.id, access.person.id, since),
        "left": _left(access, left),
    }


def _sheet(
    session: Session, access: Access, pair_id: uuid.UUID, is_flipped: bool
) -> dict[str, Any]:
    flags = flags_of(session, access.project.id)
    return {
        "sheet": sheet_of(session, pair_id, is_flipped=is_flipped),
        "flags": {scope.value: [f for f in flags if f.scope is scope] for scope in FlagScope},
        "keys": page_keys(flags),
    }


def _said(session: Session, comparison: Comparison) -> dict[str, str]:
    """What was answered, by the names of the page's inputs."""
    answers = service.read_flags(session, comparison.id, comparison.pair_id)
    said = {
        flag_name(flag_id, side, comparison.is_flipped): "na" if value is None else str(value)
        for (flag_id, side), value in answers.items()
    }
    return {**said, "rating": str(shown(comparison.rating, comparison.is_flipped))}
