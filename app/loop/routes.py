"""The loop page: where the loop stands, live, and the few things that may be done about it."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.loop import queries, service
from app.loop.forms import JobForm, StartForm, SwitchForm
from app.loop.stages import build_stages, headline
from app.loop.state import read_facts
from app.loop.switch import switch
from app.policy import figures as policy_figures
from app.reward import figures as reward_figures
from app.reward.queries import read_metrics
from app.runs import list_runs
from app.tables.runs import RewardRun
from app.web.access import Access, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import is_htmx, render

router = APIRouter()

BASE = "/projects/{slug}/loop"
EVERY, EVERY_WHILE_IDLE = 2, 10  # seconds


@router.get(BASE)
def show_loop(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    context = _context(session, access)
    return render(request, "loop/loop.html", context, block="live" if is_htmx(request) else None)


@router.post(BASE + "/start")
def start_step(
    access: StaffAccess, session: SessionDep, form: Annotated[StartForm, Form()]
) -> Response:
    said = service.start_step(session, access.project, form.step, by=access.person.id)
    return _back(access, said)


@router.post(BASE + "/retry")
def try_again(
    access: StaffAccess, session: SessionDep, form: Annotated[JobForm, Form()]
) -> Response:
    said = service.try_again(session, access.project, form.job_id, by=access.person.id)
    return _back(access, said)


@router.post(BASE + "/stop")
def stop_job(
    access: StaffAccess, session: SessionDep, form: Annotated[JobForm, Form()]
) -> Response:
    said = service.stop_job(session, access.project, form.job_id, by=access.person.id)
    return _back(access, said)


@router.post(BASE + "/automatic")
def switch_loop(
    access: StaffAccess, session: SessionDep, form: Annotated[SwitchForm, Form()]
) -> Response:
    said = switch(session, access.project, is_automatic=form.is_automatic, by=access.person.id)
    return _back(access, said)


def _back(access: Access, said: str) -> Response:
    return redirect(f"/projects/{access.project.slug}/loop", notice=said)


def _context(session: Session, access: Access) -> dict[str, Any]:
    project = access.project
    facts = read_facts(session, project)
    jobs = queries.read_jobs(session, [job.id for job in facts.jobs])
    stages = build_stages(
        facts,
        queries.read_activity(session, project.id),
        queries.read_last_runs(session, project.id),
        jobs,
    )
    return {
        "access": access,
        "facts": facts,
        "headline": headline(facts),
        "stages": stages,
        "rounds": queries.list_rounds(session, project.id),
        "every": EVERY if facts.jobs else EVERY_WHILE_IDLE,
        "interval_short": reward_figures.interval_short,
        "n_held_out": reward_figures.n_held_out,
        "score_words": policy_figures.score_words,
        **_charts(session, access),
    }


def _charts(session: Session, access: Access) -> dict[str, Any]:
    project = access.project
    api = f"/api/v1/projects/{project.slug}"
    rewards = list_runs(session, RewardRun, project.id)
    policy = queries.find_charted_policy(session, project.id)
    charts = []
    if policy is not None:
        curves = read_metrics(session, policy.id, policy_figures.DRAWN)
        csv_url = f"{api}/policy-runs/{policy.id}/metrics.csv"
        charts = policy_figures.main_charts(policy, curves, csv_url)
    return {
        "reward_chart": reward_figures.history_chart(rewards, f"{api}/reward-runs.csv"),
        "charted_policy": policy,
        "policy_charts": charts,
    }
