"""What work takes and costs, for admins."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.agree.cost import charts
from app.agree.cost.other_kinds import kind_parts
from app.agree.cost.service import WANTED_HALF, costs
from app.agree.cost.wages import set_wages
from app.agree.forms import WagesForm
from app.agree.routes.common import BASE, tools
from app.errors import Invalid
from app.web.access import Access, AdminAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter()


@router.get(BASE + "/cost")
def show_cost(request: Request, access: AdminAccess, session: SessionDep) -> Response:
    return _page(request, session, access)


def _page(
    request: Request,
    session: Session,
    access: Access,
    *,
    form: WagesForm | None = None,
    refusal: Invalid | None = None,
) -> Response:
    found = costs(session, access.project)
    common = tools(access, "cost")
    api = f"{common['api_url']}/cost"
    context = {
        **common,
        "found": found,
        "kind_parts": kind_parts(session, access.project.id),
        "unit": found.unit,
        "money": charts.money,
        "price_range": charts.price_range,
        "bases": charts.BASES,
        "one_of": charts.one_of,
        "eta_words": charts.eta_words(found.eta, found.n_open),
        "eta_range": charts.eta_range(found.eta) if found.n_open else "",
        "wanted": WANTED_HALF,
        "csv": api,
        "headline": charts.headline(found),
        "week_chart": charts.week_chart(found.weeks, found.unit, f"{api}/weeks.csv"),
        "button_chart": charts.button_chart(found.buttons, found.unit, f"{api}/parts.csv"),
        "day_chart": charts.day_chart(found.recent, f"{api}/days.csv"),
        "form": form or WagesForm.of(found.wages),
        "error": refusal.message if refusal else "",
    }
    status = refusal.status if refusal else 200
    return render(request, "agree/cost.html", context, status=status)


@router.post(BASE + "/cost/wages")
def save_wages(
    request: Request,
    access: AdminAccess,
    session: SessionDep,
    form: Annotated[WagesForm, Form()],
) -> Response:
    try:
        usual, own = form.read()
        set_wages(
            session,
            access.project,
            currency=form.currency,
            usual=usual,
            own=own,
            by=access.person.id,
        )
    except Invalid as refusal:
        return _page(request, session, access, form=form, refusal=refusal)
    url = f"/projects/{access.project.slug}/agree/cost"
    return redirect(url, "Saved. All work is priced at these wages, what was done before too.")
