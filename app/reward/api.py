"""Reward runs as JSON and CSV, for scripts with a bearer token."""

import uuid
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app import runs
from app.datasets.service import find_set
from app.errors import NotFound
from app.reward import account, doubt, figures, judgements, queries, tried
from app.reward.forms import RunIn
from app.reward.queries import Curve
from app.reward.service import request_run
from app.spreadsheet import as_csv
from app.tables.runs import RewardRun
from app.web.access import StaffAccess
from app.web.dependencies import SessionDep
from app.web.downloads import csv_response

router = APIRouter(prefix="/api/v1")

BASE = "/projects/{slug}/reward-runs"


@router.get(BASE)
def list_runs(access: StaffAccess, session: SessionDep) -> list[dict[str, Any]]:
    return [as_json(run) for run in runs.list_runs(session, RewardRun, access.project.id)]


@router.post(BASE, status_code=201)
def post_run(asked: RunIn, access: StaffAccess, session: SessionDep) -> dict[str, Any]:
    """Train on a preference set. Status 409 while a run of the project waits."""
    project = access.project
    run = request_run(
        *(session, project, find_set(session, project, asked.preference_set)),
        configuration=asked.options(project),
        requested_by=access.person.id,
    )
    return as_json(run) | {"configuration": run.configuration}


@router.get(BASE + ".csv")
def list_runs_as_csv(access: StaffAccess, session: SessionDep) -> Response:
    found = runs.list_runs(session, RewardRun, access.project.id)
    head = ["number", "state", "n_train", "n_eval", "accuracy", "longer_wins", "log_loss", "ece"]
    rows = [
        [
            *(run.number, run.state.value, run.n_train, figures.n_held_out(run), run.accuracy),
            *(figures.held_out(run).get("longer_wins"), run.log_loss, run.ece),
        ]
        for run in reversed(found)
    ]
    return csv_response(as_csv(head, rows), "reward-runs.csv")


@router.get(BASE + "/{run_id}")
def show_run(run_id: uuid.UUID, access: StaffAccess, session: SessionDep) -> dict[str, Any]:
    run = runs.find(session, RewardRun, access.project.id, run_id)
    metrics = queries.read_metrics(session, run.id)
    return {**as_json(run), "configuration": run.configuration, "report": run.report,
            "metrics": metrics_as_json(metrics)}  # fmt: skip


@router.get(BASE + "/{run_id}/metrics.csv")
def show_metrics(run_id: uuid.UUID, access: StaffAccess, session: SessionDep) -> Response:
    run = runs.find(session, RewardRun, access.project.id, run_id)
    text = metrics_as_csv(queries.read_metrics(session, run.id))
    return csv_response(text, f"reward-run-{run.number}.csv")


@router.get(BASE + "/{run_id}/scores.csv")
def show_scores(run_id: uuid.UUID, access: StaffAccess, session: SessionDep) -> Response:
    """Every completion that the run read, with its score and standard error, best first."""
    run = runs.find(session, RewardRun, access.project.id, run_id)
    head = ["completion", "score", "standard_error"]
    rows = [[str(one), score, error] for one, score, error in doubt.list_scores(session, run)]
    return csv_response(as_csv(head, rows), f"reward-run-{run.number}-scores.csv")


@router.get(BASE + "/{run_id}/account/{what}.csv")
def show_account(
    run_id: uuid.UUID, what: str, access: StaffAccess, session: SessionDep
) -> Response:
    """One chart of a run's page as CSV: strength, calibration, growth, tastes, losses, flags,
    annotators, groups, topics or surprises. Raises NotFound for another."""
    run = runs.find(session, RewardRun, access.project.id, run_id)
    table = _database_table(session, run, what) or (
        tried.as_rows(run.report) if what == "losses" else account.as_table(run, what)
    )
    if table is None:
        raise NotFound("There is no such table of a reward run.")
    return csv_response(as_csv(*table), f"reward-run-{run.number}-{what}.csv")


def _database_table(session: Session, run: RewardRun, what: str) -> account.Table | None:
    if what == "surprises":
        found = judgements.list_surprises(session, run, 1000)
        return ["pair", "rating", "probability", "margin", "annotator", "prompt"], [
            [str(s.pair_id), s.rating, s.probability, s.margin, s.annotator, s.prompt]
            for s in found
        ]
    if what == "groups":
        shares = [account.share(*one) for one in judgements.by_group(session, run)]
        return account.share_table("group", shares)
    if what == "topics":
        rows: list[list[object]] = [
            [key, value, n, accuracy]
            for key, found in judgements.by_topic(session, run).items()
            for value, n, accuracy in found
        ]
        return ["key", "value", "n", "accuracy"], rows
    return None


def as_json(run: RewardRun) -> dict[str, Any]:
    """A run without its report; times are ISO 8601 in UTC."""
    names = ("number", "base_model", "is_live", "artefact", "artefact_hash", "code_commit",
             "error", "n_train", "n_eval", "accuracy", "log_loss", "ece", "created_at",
             "started_at", "finished_at")  # fmt: skip
    return {
        "id": str(run.id),
        "state": run.state.value,
        "objective": run.objective.value,
        "preference_set_id": str(run.preference_set_id),
        **{name: getattr(run, name) for name in names},
    }


def metrics_as_json(metrics: dict[str, Curve]) -> dict[str, list[dict[str, float | None]]]:
    return {
        name: [{"step": step, "value": value} for step, value in curve]
        for name, curve in metrics.items()
    }


def metrics_as_csv(metrics: dict[str, Curve]) -> str:
    """One row a step, one column a metric; a gap is an empty cell."""
    names = sorted(metrics)
    values = {name: dict(metrics[name]) for name in names}
    steps = sorted({step for curve in values.values() for step in curve})
    return as_csv(["step", *names], [[s, *(values[n].get(s) for n in names)] for s in steps])
