"""The start page."""

from fastapi import APIRouter, Request, Response

from app.collect.home.pace import in_hours, pace_chart, pace_csv, pace_of
from app.collect.home.queues import queues_of
from app.projects.overviews import overviews
from app.projects.queries import projects_of
from app.web.dependencies import SessionDep
from app.web.downloads import csv_response
from app.web.login import LoginDep
from app.web.templating import render

router = APIRouter(include_in_schema=False)


@router.get("/")
def start(request: Request, session: SessionDep, login: LoginDep) -> Response:
    members = projects_of(session, login.person)
    active = [member for member in members if not member.project.is_archived]
    queues = queues_of(session, login.person, active)
    pace = pace_of(session, login.person.id, [member.project.id for member in members])
    context = {
        "queues": queues,
        "next": next((queue for queue in queues if queue.is_open), None),
        "pace": pace if queues or pace.week.n else None,
        "chart": pace_chart(pace, "/pace.csv") if pace.week.n else "",
        "in_hours": in_hours,
        "overviews": overviews(session, [member for member in active if member.is_staff]),
        "archived": [m.project for m in members if m.project.is_archived and m.is_staff],
        "has_password": login.person.password_hash is not None,
    }
    return render(request, "collect/home/start.html", context)


@router.get("/pace.csv")
def download_pace(session: SessionDep, login: LoginDep) -> Response:
    """One's own days, as the start page draws them."""
    projects = [member.project.id for member in projects_of(session, login.person)]
    return csv_response(pace_csv(pace_of(session, login.person.id, projects)), "pace.csv")
