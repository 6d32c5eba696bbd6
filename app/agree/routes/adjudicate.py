"""The queue of pairs to decide, one of them with its answers, and a researcher's blind sample."""

import time
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.agree import adjudication, experts
from app.agree.forms import DecisionForm, SendBackForm
from app.agree.opinions import find_pair
from app.agree.routes.common import BASE, tools
from app.agree.routes.sheets import sheet_context
from app.errors import Conflict, DomainError, Forbidden, Invalid
from app.tables.collect import AnswerRole
from app.web.access import Access, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter()


@router.get(BASE + "/adjudicate")
def show_queue(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    context = {
        **tools(access, "adjudicate"),
        "found": adjudication.queue(session, access.project),
        "n_sent_back": adjudication.n_waiting(session, access.project),
    }
    return render(request, "agree/adjudicate.html", context)


@router.get(BASE + "/adjudicate/{pair_id}")
def show_case(
    pair_id: uuid.UUID, request: Request, access: StaffAccess, session: SessionDep
) -> Response:
    return _case_page(request, session, access, pair_id)


def _case_page(
    request: Request,
    session: Session,
    access: Access,
    pair_id: uuid.UUID,
    *,
    form: DecisionForm | None = None,
    refusal: DomainError | None = None,
) -> Response:
    pair = find_pair(session, access.project, pair_id)
    said = form.said() if form else {}
    context: dict[str, Any] = {
        **tools(access, "adjudicate"),
        **sheet_context(session, access, pair_id, said),
        "pair": pair,
        "answers": adjudication.answers_to(session, pair),
        "decisions": adjudication.decisions_on(session, pair_id),
        "is_own": adjudication.own_decision(session, pair_id, access.person.id) is not None,
        "has_had": experts.has_had(session, pair_id, access.person.id),
        "form": form or DecisionForm(),
        "opened": int(time.time()),
        "error": refusal.message if refusal else "",
    }
    return render(request, "agree/case.html", context, status=refusal.status if refusal else 200)


@router.post(BASE + "/adjudicate/{pair_id}")
def decide(
    pair_id: uuid.UUID,
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    form: Annotated[DecisionForm, Form()],
) -> Response:
    pair = find_pair(session, access.project, pair_id)
    try:
        decision = adjudication.decide(
            session,
            access.project,
            pair,
            by=access.person,
            said=None if form.action == "none" else form.read(is_flipped=False),
            is_guideline_at_fault=form.is_guideline_at_fault,
            note=form.note,
        )
    except (Invalid, Conflict, Forbidden) as refusal:
        return _case_page(request, session, access, pair_id, form=form, refusal=refusal)
    base = f"/projects/{access.project.slug}"
    if form.is_guideline_at_fault:
        notice = "Decided. Here the guidelines are open, with the case at their end."
        return redirect(f"{base}/guidelines/edit?case={decision.id}", notice)
    return redirect(f"{base}/agree/adjudicate", "Decided. What others answered stays as it is.")


@router.post(BASE + "/adjudicate/{pair_id}/send-back/{comparison_id}")
def send_back(
    pair_id: uuid.UUID,
    comparison_id: uuid.UUID,
    access: StaffAccess,
    session: SessionDep,
    form: Annotated[SendBackForm, Form()],
) -> Response:
    pair = find_pair(session, access.project, pair_id)
    adjudication.send_back(
        session, access.project, pair, comparison_id, by=access.person, words=form.words
    )
    notice = "Sent back. The pair waits for the answer, and comes here again if it still is split."
    return redirect(f"/projects/{access.project.slug}/agree/adjudicate", notice)


@router.get(BASE + "/sample")
def show_sample(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    return _sample_page(request, session, access)


def _sample_page(
    request: Request,
    session: Session,
    access: Access,
    *,
    form: DecisionForm | None = None,
    refusal: DomainError | None = None,
) -> Response:
    found = experts.next_for_researcher(session, access.project, access.person)
    if found is None:
        return render(request, "agree/sample_done.html", tools(access, "overview"))
    pair, is_flipped = found
    said = form.said() if form else {}
    context: dict[str, Any] = {
        **tools(access, "overview"),
        **sheet_context(session, access, pair.id, said, is_flipped=is_flipped),
        "pair_id": pair.id,
        "opened": int(time.time()),
        "error": refusal.message if refusal else "",
    }
    return render(request, "agree/sample.html", context, status=refusal.status if refusal else 200)


@router.post(BASE + "/sample")
def answer_sample(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    form: Annotated[DecisionForm, Form()],
) -> Response:
    found = experts.next_for_researcher(session, access.project, access.person)
    if found is None or found[0].id != form.pair_id:
        return redirect(_sample_url(access), "That pair is answered already. Here is the next.")
    pair, is_flipped = found
    try:
        said = form.read(is_flipped=is_flipped)
        experts.answer_as(
            session,
            access.project,
            pair,
            access.person,
            said,
            role=AnswerRole.RESEARCHER,
            flipped=is_flipped,
        )
    except Invalid as refusal:
        return _sample_page(request, session, access, form=form, refusal=refusal)
    return redirect(_sample_url(access))


def _sample_url(access: Access) -> str:
    return f"/projects/{access.project.slug}/agree/sample"
