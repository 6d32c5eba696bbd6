"""Verdicts on pairs: the list, the most diverging first, and one pair with its answers."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.agree import charts
from app.agree.opinions import PAGE, Show, list_verdicts, read_pair
from app.agree.routes.common import BASE, tools
from app.agree.versions import versions
from app.tables.collect import Comparison
from app.web.access import StaffAccess
from app.web.dependencies import SessionDep
from app.web.templating import render

router = APIRouter()


@router.get(BASE + "/verdicts")
def show_verdicts(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    show: Show = Show.ALL,
    page: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> Response:
    found = list_verdicts(session, access.project, show, page)
    context = {
        **tools(access, "verdicts"),
        "found": found,
        "show": show,
        "page": page,
        "is_last": (page + 1) * PAGE >= found.n_shown,
    }
    return render(request, "agree/verdicts.html", context)


@router.get(BASE + "/verdicts/{pair_id}")
def show_pair(
    pair_id: uuid.UUID, request: Request, access: StaffAccess, session: SessionDep
) -> Response:
    found = read_pair(session, access.project, pair_id)
    csv_url = f"/api/v1/projects/{access.project.slug}/agreement/verdicts/{pair_id}.csv"
    chart = charts.verdict_chart(found.verdict, csv_url) if found.verdict else ""
    changed = {
        one.id: versions(session, session.get_one(Comparison, one.id))
        for one in found.answers
        if one.revision > 1
    }
    context = {**tools(access, "verdicts"), "found": found, "chart": chart, "changed": changed}
    return render(request, "agree/pair.html", context)
