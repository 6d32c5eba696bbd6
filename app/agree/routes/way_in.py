"""The way into a project: one's own, and everyone's for admins."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from app.accounts.groups import find_group, groups_by_person
from app.agree.forms import read_group
from app.agree.newcomers import Newcomer, newcomers, way_of
from app.agree.routes.common import group_choices
from app.agree.way_in import Step
from app.spreadsheet import as_csv
from app.web.access import AdminAccess, AnnotatorAccess
from app.web.dependencies import SessionDep
from app.web.downloads import csv_response
from app.web.templating import render

router = APIRouter()
NAMES = {
    Step.CONSENT: "Consent",
    Step.LANGUAGES: "Languages",
    Step.GUIDELINES: "Guidelines",
    Step.TRAINING: "Training",
    Step.QUALIFICATION: "Qualification",
    Step.WORK: "Work",
}
GroupDep = Annotated[uuid.UUID | None, Depends(read_group)]


@router.get("/projects/{slug}/begin")
def show_way(request: Request, access: AnnotatorAccess, session: SessionDep) -> Response:
    way = way_of(session, access.project, access.person)
    base = f"/projects/{access.project.slug}"
    pages = {
        Step.CONSENT: (f"/consents/{access.project.slug}", "Read and agree"),
        Step.LANGUAGES: ("/account#languages-section", "Name your languages"),
        Step.GUIDELINES: (f"{base}/guidelines/since", "Read the guidelines"),
        Step.TRAINING: (f"{base}/agree/qualify", "Begin the training"),
        Step.QUALIFICATION: (f"{base}/agree/qualify", "See how to qualify"),
        Step.WORK: (f"{base}/collect", "Compare"),
    }
    context = {"access": access, "way": way, "names": NAMES, "pages": pages}
    return render(request, "agree/way_in.html", context)


@router.get("/projects/{slug}/people/onboarding")
def show_newcomers(
    request: Request, access: AdminAccess, session: SessionDep, group: GroupDep
) -> Response:
    held = groups_by_person(session, access.project.id)
    rows = newcomers(session, access.project)
    if group is not None:
        find_group(session, access.project.id, group)
        rows = [row for row in rows if any(g.id == group for g in held.get(row.person.id, ()))]
    context = {
        "access": access,
        "rows": rows,
        "steps": _steps(rows),
        "names": NAMES,
        "waiting": {step: sum(row.way.next.step is step for row in rows) for step in Step},
        "group": str(group or ""),
        "group_choices": group_choices(session, access),
    }
    return render(request, "agree/newcomers.html", context)


def _steps(rows: list[Newcomer]) -> list[Step]:
    """Those that the project has, which are the same for everyone."""
    return [one.step for one in rows[0].way.places] if rows else []


@router.get("/projects/{slug}/people/onboarding.csv")
def download_newcomers(access: AdminAccess, session: SessionDep) -> Response:
    rows = newcomers(session, access.project)
    steps = _steps(rows)
    states = [
        [row.person.name, *(place.state.value for place in row.way.places), row.is_paused]
        for row in rows
    ]
    text = as_csv(("person", *(step.value for step in steps), "is_paused"), states)
    return csv_response(text, f"{access.project.slug}-onboarding.csv")
