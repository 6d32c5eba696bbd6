"""Policy runs as JSON and CSV, for scripts with a bearer token."""

import uuid
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from app import runs
from app.reward.api import metrics_as_csv, metrics_as_json
from app.reward.queries import read_metrics
from app.tables.runs import PolicyRun
from app.web.access import StaffAccess
from app.web.dependencies import SessionDep
from app.web.downloads import csv_response

router = APIRouter(prefix="/api/v1")

BASE = "/projects/{slug}/policy-runs"


@router.get(BASE)
def list_runs(access: StaffAccess, session: SessionDep) -> list[dict[str, Any]]:
    return [as_json(run) for run in runs.list_runs(session, PolicyRun, access.project.id)]


@router.get(BASE + "/{run_id}")
def show_run(run_id: uuid.UUID, access: StaffAccess, session: SessionDep) -> dict[str, Any]:
    run = runs.find(session, PolicyRun, access.project.id, run_id)
    metrics = metrics_as_json(read_metrics(session, run.id))
    more = {"configuration": run.configuration, "report": run.report, "metrics": metrics}
    return {**as_json(run), **more}


@router.get(BASE + "/{run_id}/metrics.csv")
def show_metrics(run_id: uuid.UUID, access: StaffAccess, session: SessionDep) -> Response:
    run = runs.find(session, PolicyRun, access.project.id, run_id)
    text = metrics_as_csv(read_metrics(session, run.id))
    return csv_response(text, f"policy-run-{run.number}.csv")


def as_json(run: PolicyRun) -> dict[str, Any]:
    """A run without its report; times are ISO 8601 in UTC, scores the reward model's own."""
    names = ("number", "base_model", "is_live", "artefact", "artefact_hash", "code_commit",
             "error", "score_before", "score_after", "kl", "entropy", "alarms", "sampled_at",
             "created_at", "started_at", "finished_at")  # fmt: skip
    links = ("parent_id", "reference_id", "reward_run_id")
    return {
        "id": str(run.id),
        "state": run.state.value,
        "algorithm": run.algorithm.value,
        **{name: str(getattr(run, name)) if getattr(run, name) else None for name in links},
        **{name: getattr(run, name) for name in names},
    }
