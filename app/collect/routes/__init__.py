"""The compare page, and the page of an answer that one has given."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from app.accounts.service import come_back, rest
from app.collect import service
from app.collect.changing import Source, follows_from
from app.collect.forms import (
    ChangedAnswerForm,
    DraftForm,
    LeaseForm,
    PauseForm,
    SkipForm,
    flag_name,
)
from app.collect.kinds import additions, amending
from app.collect.kinds.times import held
from app.collect.pairing import shown
from app.collect.routes import leaving
from app.collect.routes.pages import (
    TEMPLATE,
    ahead_of,
    asked_in,
    counts,
    draft_kept,
    kept,
    next_page,
    next_pair,
    pair_of,
    url_of,
)
from app.collect.sheets import (
    comparison_of,
    earlier_versions,
    last_comparison,
    sheet_of,
)
from app.collect.skips import last_skip, skip_for, unskip
from app.projects.asking import asking_of
from app.projects.queries import current_guidelines
from app.projects.reading import reading_of
from app.projects.skipping import reasons_of
from app.tables.collect import Comparison
from app.web.access import Access, AnnotatorAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import is_htmx, render

router = APIRouter(prefix="/projects/{slug}/collect", include_in_schema=False)
router.add_api_route("/leave", leaving.ask_to_leave, methods=["GET"])
router.add_api_route("/leave", leaving.leave, methods=["POST"])


@router.get("")
def compare(
    request: Request, session: SessionDep, access: AnnotatorAccess, waits: bool = False
) -> Response:
    """The pair on this person's page. A page that `waits` gets nothing while nothing is free."""
    context = next_pair(session, access)
    if waits and is_htmx(request):
        is_busy = context["why"] == service.Why.BUSY
        return Response(status_code=204) if is_busy else pair_of(request, context)
    context["asking"] = asking_of(session, access.project.id)
    context["skipped"] = last_skip(session, access.project.id, access.person.id)
    context["reasons"] = reasons_of(session, access.project.id)
    context["reading"] = reading_of(session, access.project.id, access.person.id)
    context["guidelines"] = context["reading"].current
    return render(request, TEMPLATE, context)


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
    response = next_page(request, session, access, skipped=skipped)
    return kept(response, form.assignment_id)


@router.post("/unskips")
def take_skip_back(
    session: SessionDep, access: AnnotatorAccess, form: Annotated[LeaseForm, Form()]
) -> Response:
    unskip(session, form.assignment_id, access.person.id, project_id=access.project.id)
    return redirect(url_of(access), "The pair that you skipped is back.")


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
    return draft_kept(standing)


@router.post("/prefetches")
def prefetch(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    form: Annotated[LeaseForm, Form()],
) -> Response:
    """The pair after the one on the page; nothing where the page is an old one, or none is free."""
    person = access.person.id
    ahead = service.lease_ahead(session, access.project, person, page=form.assignment_id)
    reading = reading_of(session, access.project.id, person)
    unread = reading.current.number if reading.current and reading.is_due else None
    return ahead_of(request, session, access, ahead, unread=unread)


@router.get("/pairs/{assignment_id}")
def pair_again(session: SessionDep, access: AnnotatorAccess, assignment_id: uuid.UUID) -> Response:
    """Back to a pair: to the answer as it was given, or to the page where it is still open."""
    assignment = service.own_assignment(
        session, assignment_id, access.person.id, project_id=access.project.id
    )
    found = comparison_of(session, assignment.id)
    return redirect(url_of(access) if found is None else f"{url_of(access)}/answers/{found}")


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
    service.put_down(session, access.project.id, access.person.id)
    return redirect("/", "That pair went back to the queue. See you soon.")


@router.post("/pauses")
def pause_oneself(
    session: SessionDep, access: AnnotatorAccess, form: Annotated[PauseForm, Form()]
) -> Response:
    rest(session, project_id=access.project.id, person=access.person, until=form.day())
    service.put_down(session, access.project.id, access.person.id)
    until = f"until {form.until}" if form.until else "until you come back"
    return redirect("/", f"You rest from {access.project.name} {until}.")


@router.post("/resumptions")
def resume_oneself(session: SessionDep, access: AnnotatorAccess) -> Response:
    come_back(session, project_id=access.project.id, person=access.person)
    return redirect(url_of(access), "Welcome back.")


@router.get("/last")
def last(session: SessionDep, access: AnnotatorAccess) -> Response:
    found = last_comparison(session, access.project.id, access.person.id)
    if found is None:
        return redirect(url_of(access), "You have not answered anything yet.")
    return redirect(f"{url_of(access)}/answers/{found.id}")


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
    if source := follows_from(session, comparison.id):
        return redirect(_address(access, source, back))
    asking = asking_of(session, access.project.id)
    context = {
        **counts(session, access),
        **asked_in(asking, _said(session, comparison)),
        "asking": asking,
        "additions": additions.asked(session, access.project, comparison),
        "added": amending.fields_of(session, comparison),
        "sheet": sheet_of(session, comparison.pair_id, is_flipped=comparison.is_flipped),
        "assignment": None,
        "comparison": comparison,
        "versions": [
            (was, shown(was.rating, comparison.is_flipped))
            for was in earlier_versions(session, comparison.id)
        ],
        "unchangeable": service.why_unchangeable(session, access.project, comparison),
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
    # No page knows when it was opened: since the answer stood as it does, at the earliest.
    seconds = held(form.seconds or 0.0, comparison.updated_at)
    times = form.control_times(comparison.is_flipped)
    amending.change_answer(
        session,
        access.project,
        comparison,
        form.model_extra,
        rating=form.canonical_rating(comparison.is_flipped),
        flags=form.flags(comparison.is_flipped),
        comment=form.comment,
        is_about_equal=form.is_about_equal,
        is_both_bad=form.is_both_bad,
        confidence=form.confidence,
        after=form.revision,
        took=amending.Took(
            seconds, service.check_times(times, claimed=form.seconds, seconds=seconds)
        ),
        project_id=access.project.id,
    )
    url = f"{url_of(access)}/history" if form.back == "history" else url_of(access)
    return redirect(url, "Your answer was changed; the one before is kept beside it.")


def _address(access: Access, source: Source, back: str) -> str:
    """The page on which an answer is changed from which others follow."""
    ranking, other = source.ranking_id, source.comparison_id
    place = f"kinds/rank/answers/{ranking}" if ranking else f"answers/{other}"
    return f"{url_of(access)}/{place}" + ("?back=history" if back == "history" else "")


def _said(session: Session, comparison: Comparison) -> dict[str, str]:
    """What was answered, by the names of the page's inputs."""
    answers = service.read_flags(session, comparison.id, comparison.pair_id)
    said = {
        flag_name(flag_id, side, comparison.is_flipped): "na" if value is None else str(value)
        for (flag_id, side), value in answers.items()
    }
    return {**said, "rating": str(shown(comparison.rating, comparison.is_flipped))}
