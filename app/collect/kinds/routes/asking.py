"""The pages on which people rank, rate and write."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse

from app.collect.forms import DraftForm
from app.collect.kinds import leases, service, skips
from app.collect.kinds.drafts import save_prompt_draft
from app.collect.kinds.forms import PromptForm, PromptLeaseForm, PromptSkipForm
from app.collect.kinds.routes.pages import (
    TEMPLATE,
    block_of,
    next_page,
    next_prompt,
    own,
    url_of,
)
from app.collect.kinds.times import held
from app.collect.leases import Why
from app.collect.routes.pages import draft_kept, kept
from app.collect.talk.queries import invitation
from app.projects.remaining import MANY
from app.projects.skipping import in_words
from app.tables.kinds import PromptKind
from app.web.access import AnnotatorAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import is_htmx, render

router = APIRouter(prefix="/projects/{slug}/collect/kinds", include_in_schema=False)

UNCOUNTED_SECONDS = 300.0


@router.get("")
def kinds_page(request: Request, session: SessionDep, access: AnnotatorAccess) -> Response:
    work = leases.open_work(session, access.project.id, access.person.id)
    context = {
        "access": access,
        "work": work,
        "many": MANY,
        "talk": invitation(session, access.project, access.person.id),
    }
    return render(request, "collect/kinds/list.html", context)


@router.get("/{kind}")
def kind_page(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    waits: bool = False,
) -> Response:
    """The prompt on this person's page. A page that `waits` gets nothing while nothing is free."""
    context = next_prompt(session, access, kind)
    if waits and is_htmx(request):
        is_busy = context["why"] == Why.BUSY
        return Response(status_code=204) if is_busy else block_of(request, context)
    context["skipped"] = skips.last_skip(session, access.project.id, access.person.id, kind)
    return render(request, TEMPLATE, context)


@router.post("/{kind}/answers")
def answer(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    form: Annotated[PromptForm, Form()],
) -> Response:
    """Record the answer and hand out the next prompt, in one round trip."""
    assignment = own(session, access, kind, form.assignment_id)
    claimed = UNCOUNTED_SECONDS if form.seconds is None else form.seconds
    seconds = held(claimed, assignment.created_at)
    said = leases.Finished(seconds, form.comment, form.checked_times(seconds))
    if kind is PromptKind.RANK:
        service.record_ranking(session, assignment, form.choices(), said)
    elif kind is PromptKind.RATE:
        service.record_ratings(session, assignment, form.choices(), said)
    else:
        service.record_demonstration(session, assignment, form.text, said)
    response = next_page(request, session, access, kind, "Saved. This is the next one.")
    return kept(response, assignment.id, assignment.id)


@router.post("/{kind}/drafts")
def save_draft(
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    form: Annotated[DraftForm, Form()],
) -> JSONResponse:
    """Keep what is half answered; the answer says which version stands, and what it holds."""
    standing = save_prompt_draft(
        session,
        form.assignment_id,
        access.person.id,
        kind=kind,
        version=form.version,
        content=form.content,
        project_id=access.project.id,
    )
    return draft_kept(standing)


@router.post("/{kind}/skips")
def skip(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    form: Annotated[PromptSkipForm, Form()],
) -> Response:
    assignment = own(session, access, kind, form.assignment_id)
    said = in_words(session, access.project.id, form.reason, form.other)
    leases.skip(session, assignment, said)
    words = "Skipped. Someone else will see that one."
    response = next_page(request, session, access, kind, words, skipped=assignment)
    return kept(response, assignment.id)


@router.post("/{kind}/unskips")
def take_skip_back(
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    form: Annotated[PromptLeaseForm, Form()],
) -> Response:
    skips.unskip(session, own(session, access, kind, form.assignment_id))
    return redirect(url_of(access, kind), "The prompt that you skipped is back.")


@router.post("/{kind}/renewals")
def renew(
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    form: Annotated[PromptLeaseForm, Form()],
) -> Response:
    leases.renew(session, own(session, access, kind, form.assignment_id))
    return Response(status_code=204)


@router.post("/{kind}/releases")
def release(
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    form: Annotated[PromptLeaseForm, Form()],
) -> Response:
    leases.release(session, own(session, access, kind, form.assignment_id))
    return redirect("/", "That one went back to the queue. See you soon.")
