"""Gold items: the list with its rules, pairs to choose from, and the page where one is fixed."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.agree import gold, queries
from app.agree.forms import GoldForm, GoldRulesForm
from app.agree.gold_answers import gold_items
from app.agree.opinions import find_pair
from app.agree.routes.common import BASE, tools
from app.agree.routes.sheets import said_of, sheet_context
from app.collect.draws import mixture_of
from app.errors import Invalid, NotFound
from app.projects.service import change_project
from app.web.access import Access, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter()

DEEDS = {
    "retire": (gold.retire, "Retired. Nobody gets it any more; the answers to it stay."),
    "use-again": (gold.use_again, "In use again, for those who have not seen it."),
    "give-back": (gold.give_back, "An ordinary pair again. Its answers count like any others."),
}


def _url(access: Access) -> str:
    return f"/projects/{access.project.slug}/agree/gold"


def _list(
    request: Request, session: Session, access: Access, refusal: Invalid | None = None
) -> Response:
    gold.retire_worn(session, access.project)
    context = {
        **tools(access, "gold"),
        "items": gold_items(session, access.project),
        "n_people": queries.n_annotators(session, access.project.id),
        "share": mixture_of(access.project).gold,
        "error": refusal.message if refusal else "",
    }
    status = 422 if refusal else 200
    return render(request, "agree/gold.html", context, status=status)


@router.get(BASE + "/gold")
def show_gold(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    return _list(request, session, access)


@router.post(BASE + "/gold")
def save_rules(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    form: Annotated[GoldRulesForm, Form()],
) -> Response:
    try:
        values = form.read()
    except Invalid as refusal:
        return _list(request, session, access, refusal)
    change_project(session, access.project, by=access.person.id, **values)
    return redirect(_url(access), "Saved. Items that are worn out by this rule are retired.")


@router.get(BASE + "/gold/choose")
def choose(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    q: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    words = q.strip().replace("\x00", "")
    context = {
        **tools(access, "gold"),
        "rows": queries.pairs_to_fix(session, access.project.id, words),
        "words": words,
    }
    return render(request, "agree/choose.html", context)


@router.get(BASE + "/gold/{pair_id}")
def show_item(
    pair_id: uuid.UUID, request: Request, access: StaffAccess, session: SessionDep
) -> Response:
    item = gold.find_gold(session, access.project, pair_id)
    values: dict[str, Any] = {"accepted": [], "explanation": "", "said": {}}
    if item is not None:
        values = {
            "accepted": list(range(item.low, item.high + 1)),
            "explanation": item.explanation,
            "said": said_of(gold.fixed_flags(session, item)),
        }
    return _item_page(request, session, access, pair_id, values)


def _item_page(
    request: Request,
    session: Session,
    access: Access,
    pair_id: uuid.UUID,
    values: dict[str, Any],
    *,
    refusal: Invalid | None = None,
) -> Response:
    find_pair(session, access.project, pair_id)
    context = {
        **tools(access, "gold"),
        **sheet_context(session, access, pair_id, values["said"]),
        **values,
        "pair_id": pair_id,
        "item": gold.find_gold(session, access.project, pair_id),
        "n_answers": queries.n_answers(session, pair_id),
        "error": refusal.message if refusal else "",
    }
    return render(request, "agree/gold_item.html", context, status=422 if refusal else 200)


@router.post(BASE + "/gold/{pair_id}")
def fix(
    pair_id: uuid.UUID,
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    form: Annotated[GoldForm, Form()],
) -> Response:
    try:
        gold.fix_answer(session, access.project, pair_id, form.read(), by=access.person.id)
    except Invalid as refusal:
        extra = {name: str(value) for name, value in (form.model_extra or {}).items()}
        values = {"accepted": form.rating, "explanation": form.explanation, "said": extra}
        return _item_page(request, session, access, pair_id, values, refusal=refusal)
    return redirect(_url(access), "Fixed. Every change is in the audit trail.")


@router.post(BASE + "/gold/{pair_id}/{deed}")
def do(pair_id: uuid.UUID, deed: str, access: StaffAccess, session: SessionDep) -> Response:
    if deed not in DEEDS:
        raise NotFound("There is no such thing to do with a gold item.")
    act, notice = DEEDS[deed]
    act(session, access.project, pair_id, by=access.person.id)
    return redirect(_url(access), notice)
