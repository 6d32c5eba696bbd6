"""Pages of policy runs: all of them, one of them, two side by side."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from app import runs
from app.policy import figures, queries, service
from app.policy.samples import read_samples
from app.reward.queries import read_metrics
from app.reward.routes.frame import UNFINISHED, RunPages, run_router
from app.tables.projects import Project
from app.tables.runs import PolicyRun


def _list_values(project: Project, found: Sequence[PolicyRun]) -> dict[str, Any]:
    del project, found
    return {"score_words": figures.score_words, "ways": figures.WAYS}


def _run_values(session: Session, run: PolicyRun, csv_url: str) -> dict[str, Any]:
    curves = read_metrics(session, run.id, figures.DRAWN)
    return {
        "way": figures.WAYS[run.algorithm],
        "alarms": figures.alarm_words(run),
        "before": figures.end(run, "before"),
        "after": figures.end(run, "after"),
        "score_before": figures.score_words(run, "before"),
        "score_after": figures.score_words(run, "after"),
        "charts": figures.all_charts(run, curves, csv_url),
        "provenance": queries.read_provenance(session, run),
        "comparable": runs.list_comparable(session, run, PolicyRun.algorithm == run.algorithm),
        "samples": [] if run.state in UNFINISHED else read_samples(run),
    }


def _compare_values(session: Session, pair: Sequence[PolicyRun]) -> dict[str, Any]:
    return {
        "ways": figures.WAYS,
        "scores": [
            (figures.score_words(one, "before"), figures.score_words(one, "after")) for one in pair
        ],
        "provenance": [queries.read_provenance(session, one) for one in pair],
        "alarms": [figures.alarm_words(one) for one in pair],
        "charts": [
            figures.overlay(pair, [read_metrics(session, one.id, figures.DRAWN) for one in pair])
        ],
    }


router = run_router(
    RunPages(
        kind=PolicyRun,
        name="policy",
        is_now_live="Policy {number} is live: it writes the next completions that people compare.",
        make_live=lambda session, run, by: service.make_live(session, run, by=by),
        list_values=_list_values,
        run_values=_run_values,
        compare_values=_compare_values,
    )
)
