"""The pages of one's own answers: in one project, and in all."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from app.collect.history.entries import KINDS
from app.collect.history.forms import RATING_CHOICES, SAID, HistoryForm, place_of
from app.collect.history.queries import Entry, Page, Place, answers_of
from app.collect.kinds.service import LETTERS
from app.collect.pairing import shown
from app.projects.queries import flags_of, projects_of
from app.tables.accounts import Person
from app.tables.projects import Project
from app.web.access import AnnotatorAccess
from app.web.dependencies import SessionDep
from app.web.login import LoginDep
from app.web.templating import render

router = APIRouter(include_in_schema=False)

Asked = Annotated[HistoryForm, Query()]


@router.get("/projects/{slug}/collect/history")
def history_in_project(
    request: Request, session: SessionDep, access: AnnotatorAccess, form: Asked
) -> Response:
    context = _context(session, access.person, [access.project], form)
    context["flags"] = flags_of(session, access.project.id, is_archived=None)
    return render(request, "collect/history.html", {**context, "access": access})


@router.get("/history")
def history(request: Request, session: SessionDep, login: LoginDep, form: Asked) -> Response:
    """Every project that the person is in; one that they were removed from is not theirs."""
    mine = [member.project for member in projects_of(session, login.person)]
    chosen = [project for project in mine if project.slug == form.project] or mine
    context = _context(session, login.person, chosen, form)
    context["flags"] = []
    context["projects"] = mine
    return render(request, "collect/history.html", {**context, "access": None})


def _context(
    session: Session, person: Person, projects: Sequence[Project], form: HistoryForm
) -> dict[str, Any]:
    place = form.place()
    page = answers_of(session, person.id, [one.id for one in projects], form.wanted(), place=place)
    return {
        "form": form,
        "projects": [],
        "page": page,
        "rows": [(one, _rating(one)) for one in page.rows],
        "kinds": KINDS,
        "letters": LETTERS,
        "names": {one.slug: one.name for one in projects},
        "rating_choices": RATING_CHOICES,
        "said_choices": SAID,
        **_ways(form, page, place),
    }


def _rating(entry: Entry) -> int | None:
    """A comparison's rating as it was shown."""
    one = entry.comparison
    return shown(one.rating, one.is_flipped) if one else None


def _ways(form: HistoryForm, page: Page, place: Place | None) -> dict[str, str]:
    """The addresses of the pages before and after this one; empty where there is none."""
    older = newer = ""
    if place is not None and place.is_back:
        # Whoever walks back came from older answers: they begin below what is shown here.
        edge = _edge(page, -1) or place_of(place.at, place.answer_id)
        older = form.url(before=edge)
        newer = form.url(after=_further(page)) if page.next else ""
    else:
        older = form.url(before=_further(page)) if page.next else ""
        newer = form.url(after=_edge(page, 0)) if place and page.rows else ""
    return {"older": older, "newer": newer}


def _edge(page: Page, end: int) -> str:
    return place_of(page.rows[end].at, page.rows[end].id) if page.rows else ""


def _further(page: Page) -> str:
    return place_of(page.next.at, page.next.answer_id) if page.next else ""
