"""Pages of reward runs: all of them, one of them, two side by side."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from app import runs
from app.reward import figures, queries, service
from app.reward.routes.frame import RunPages, run_router
from app.tables.projects import Project
from app.tables.runs import RewardRun

FIGURES = (
    ("accuracy", "Held-out accuracy", 3),
    ("log_loss", "Log-loss (nats)", 3),
    ("ece", "Calibration error", 3),
)


def _list_values(project: Project, found: Sequence[RewardRun]) -> dict[str, Any]:
    csv_url = f"/api/v1/projects/{project.slug}/reward-runs.csv"
    return {
        "chart": figures.history_chart(found, csv_url),
        "interval_words": figures.interval_words,
        "n_held_out": figures.n_held_out,
        "held_out": figures.held_out,
    }


def _run_values(session: Session, run: RewardRun, csv_url: str) -> dict[str, Any]:
    curves = queries.read_metrics(session, run.id, figures.DRAWN)
    n = figures.n_held_out(run)
    return {
        "held_out": figures.held_out(run),
        "n_held_out": n,
        "interval": figures.interval_words(run.accuracy, n),
        "strengths": figures.by_strength(run),
        "strength_chart": figures.strength_chart(run),
        "loss_chart": figures.loss_chart(curves, csv_url),
        "accuracy_chart": figures.accuracy_chart(curves, run, csv_url),
        "preference_set": queries.find_set(session, run),
        "uses": queries.list_uses(session, run.id),
        "comparable": runs.list_comparable(session, run),
    }


def _compare_values(session: Session, pair: Sequence[RewardRun]) -> dict[str, Any]:
    return {
        "charts": [figures.strength_chart(one) for one in pair],
        "rows": list(FIGURES),
        "held_out": [figures.held_out(one) for one in pair],
        "sets": [queries.find_set(session, one) for one in pair],
        "intervals": [figures.interval_words(r.accuracy, figures.n_held_out(r)) for r in pair],
    }


router = run_router(
    RunPages(
        kind=RewardRun,
        name="reward",
        is_now_live="Reward model {number} is live: policies are optimised against it from now on.",
        make_live=lambda session, run, by: service.make_live(session, run, by=by),
        list_values=_list_values,
        run_values=_run_values,
        compare_values=_compare_values,
    )
)
