"""Pages of reward runs: all of them, one of them, two side by side."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from app.reward import artefacts, figures, queries, service
from app.reward.progress import read_progress, seconds_of
from app.tables.runs import RewardRun, RunState
from app.web.access import ResearcherAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import is_htmx, render

router = APIRouter()

BASE = "/projects/{slug}/reward"
UNFINISHED = (RunState.QUEUED, RunState.RUNNING)
FIGURES = (
    ("accuracy", "Held-out accuracy", 3),
    ("log_loss", "Log-loss (nats)", 3),
    ("ece", "Calibration error", 3),
)


@router.get(BASE)
def show_runs(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    runs = queries.list_reward_runs(session, access.project.id)
    csv_url = f"/api/v1/projects/{access.project.slug}/reward-runs.csv"
    context = {
        "access": access,
        "runs": runs,
        "chart": figures.history_chart(runs, csv_url),
        "interval_words": figures.interval_words,
        "n_held_out": figures.n_held_out,
        "held_out": figures.held_out,
    }
    return render(request, "reward/list.html", context)


@router.get(BASE + "/{run_id}")
def show_run(
    run_id: uuid.UUID,
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    other: Annotated[uuid.UUID | None, Query(alias="with")] = None,
) -> Response:
    run = queries.find_reward_run(session, access.project.id, run_id)
    if other is not None:
        return _compare(request, access, session, run, other)
    context = {"access": access, **_run_context(session, access.project.slug, run)}
    return render(request, "reward/run.html", context, block="live" if is_htmx(request) else None)


@router.post(BASE + "/{run_id}/live")
def make_live(run_id: uuid.UUID, access: ResearcherAccess, session: SessionDep) -> Response:
    run = queries.find_reward_run(session, access.project.id, run_id)
    service.make_live(session, run, by=access.person.id)
    said = f"Reward model {run.number} is live: policies are optimised against it from now on."
    return redirect(f"/projects/{access.project.slug}/reward/{run.id}", notice=said)


@router.get(BASE + "/{run_id}/files/{name}")
def show_file(run_id: uuid.UUID, name: str, access: StaffAccess, session: SessionDep) -> Response:
    """The manifest or the model card, as plain text that no browser would run."""
    run = queries.find_reward_run(session, access.project.id, run_id)
    return PlainTextResponse(artefacts.read_text(run, name))


def _run_context(session: Session, slug: str, run: RewardRun) -> dict[str, Any]:
    curves = queries.read_metrics(session, run.id, figures.DRAWN)
    csv_url = f"/api/v1/projects/{slug}/reward-runs/{run.id}/metrics.csv"
    n = figures.n_held_out(run)
    return {
        "run": run,
        "progress": read_progress(session, run.id),
        "is_unfinished": run.state in UNFINISHED,
        "held_out": figures.held_out(run),
        "n_held_out": n,
        "interval": figures.interval_words(run.accuracy, n),
        "strengths": figures.by_strength(run),
        "strength_chart": figures.strength_chart(run),
        "loss_chart": figures.loss_chart(curves, csv_url),
        "accuracy_chart": figures.accuracy_chart(curves, run, csv_url),
        "preference_set": queries.find_set(session, run),
        "uses": queries.list_uses(session, run.id),
        "comparable": queries.list_comparable(session, run),
        "has_files": artefacts.find_folder(run) is not None,
        "seconds": seconds_of(run),
    }


def _compare(
    request: Request, access: StaffAccess, session: Session, run: RewardRun, other: uuid.UUID
) -> Response:
    if other == run.id:
        return RedirectResponse(request.url.path, status_code=303)
    second = queries.find_reward_run(session, access.project.id, other)
    pair = sorted((run, second), key=lambda one: one.number)
    context = {
        "access": access,
        "runs": pair,
        "charts": [figures.strength_chart(one) for one in pair],
        "rows": [(name, label, digits) for name, label, digits in FIGURES],
        "held_out": [figures.held_out(one) for one in pair],
        "sets": [queries.find_set(session, one) for one in pair],
        "intervals": [figures.interval_words(r.accuracy, figures.n_held_out(r)) for r in pair],
        "differences": figures.differing(pair[0].configuration, pair[1].configuration),
        "seconds": [seconds_of(one) for one in pair],
    }
    return render(request, "reward/compare.html", context)
