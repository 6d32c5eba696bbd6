"""The workforce, and one person's page, which the person sees too."""

import uuid
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from app.accounts.groups import find_group, groups_by_person
from app.agree import person_charts
from app.agree.decisions import (
    DECISIONS,
    find_seen,
    find_worker,
    is_paused,
    standing_exclusion,
)
from app.agree.evidence import Kind
from app.agree.forms import read_group
from app.agree.person import portrait
from app.agree.routes.common import BASE, group_choices, tools
from app.agree.scrutiny import FEWEST_SHARED
from app.agree.versions import changed_by
from app.agree.workforce import WINDOW, survey
from app.errors import NotFound
from app.tables.accounts import Person, Role
from app.web.access import Access, AdminAccess, AnnotatorAccess, MemberAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter()

KINDS = {
    Kind.AGREEMENT: "Agreement with the others",
    Kind.POSITION: "Side of the page",
    Kind.SAMENESS: "One and the same rating",
    Kind.SPEED: "Speed",
    Kind.GOLD: "Gold items",
    Kind.DRIFT: "Drift to the model",
}
SAID = {
    "exclude": "The answers of {name} are left out of preference sets from now on.",
    "lift": "The answers of {name} count again.",
    "pause": "{name} gets no more pairs until you resume.",
    "resume": "{name} gets pairs again.",
    "note": "Noted. {name} can read it.",
}


@router.get(BASE + "/workforce")
def show_workforce(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    group: Annotated[uuid.UUID | None, Depends(read_group)],
) -> Response:
    found = survey(session, access.project)
    held = groups_by_person(session, access.project.id)
    if group is not None:
        find_group(session, access.project.id, group)
        rows = [
            row for row in found.rows if any(one.id == group for one in held.get(row.person.id, ()))
        ]
        found = replace(found, rows=rows)
    context = {
        **tools(access, "workforce"),
        "found": found,
        "groups": held,
        "group": str(group or ""),
        "group_choices": group_choices(session, access),
        "kinds": KINDS,
        "fewest": FEWEST_SHARED,
        "window": WINDOW,
    }
    return render(request, "agree/workforce.html", context)


@router.get(BASE + "/mine")
def show_mine(request: Request, access: AnnotatorAccess, session: SessionDep) -> Response:
    """One's own page, at an address that every annotator knows."""
    return render(request, "agree/person.html", _context(session, access, access.person))


@router.get(BASE + "/workforce/{person_id}")
def show_person(
    person_id: uuid.UUID, request: Request, access: MemberAccess, session: SessionDep
) -> Response:
    """Someone's work: for staff, and for that person with the same numbers."""
    worker = find_seen(
        session, access.project, person_id, by=access.person, is_staff=access.is_staff
    )
    return render(request, "agree/person.html", _context(session, access, worker))


def _context(session: SessionDep, access: Access, worker: Person) -> dict[str, Any]:
    found = portrait(session, access.project, worker)
    is_own = access.person.id == worker.id
    csv = f"/api/v1/projects/{access.project.slug}/agreement/people/{worker.id}"
    return {
        **tools(access, "mine" if is_own else "workforce"),
        "found": found,
        "is_own": is_own,
        "changed": changed_by(session, access.project.id, worker.id) if access.is_staff else [],
        "may_decide": Role.ADMIN in access.roles,
        "exclusion": standing_exclusion(session, access.project.id, worker.id),
        "is_paused": is_paused(session, access.project.id, worker.id),
        "csv": csv,
        "history_chart": person_charts.history_chart(found.history, f"{csv}/history.csv"),
        "claims_charts": [
            person_charts.claims_chart(what, claims, f"{csv}/{what}.csv")
            for what, claims in (("firm", found.firm), ("sure", found.sure))
            if claims
        ],
        "kinds": KINDS,
        "fewest": FEWEST_SHARED,
    }


@router.post(BASE + "/workforce/{person_id}/{decision}")
def decide(
    person_id: uuid.UUID,
    decision: str,
    access: AdminAccess,
    session: SessionDep,
    reason: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    if decision not in DECISIONS:
        raise NotFound("There is no such decision.")
    worker = find_worker(session, access.project, person_id)
    DECISIONS[decision](session, access.project, worker, reason=reason, by=access.person.id)
    url = f"/projects/{access.project.slug}/agree/workforce/{person_id}"
    return redirect(url, notice=SAID[decision].format(name=worker.name))
