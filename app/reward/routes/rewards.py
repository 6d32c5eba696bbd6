"""Pages of reward runs: all of them, one of them, two side by side."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from sqlalchemy.orm import Session

from app import runs
from app.reward import account, asking, doubt, figures, judgements, queries, service, tried
from app.reward.paired import contest
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
    names = queries.flag_names(session, run.project_id)
    return {
        "held_out": figures.held_out(run),
        "n_held_out": n,
        "interval": figures.interval_words(run.accuracy, n),
        "loss_chart": figures.loss_chart(curves, csv_url),
        "accuracy_chart": figures.accuracy_chart(curves, run, csv_url),
        "now": queries.read_latest(session, run.id, figures.NOW),
        "preference_set": queries.find_set(session, run),
        "wish": asking.describe_wish(run.configuration, names),
        "heads": asking.list_heads(run.report, names),
        "uses": queries.list_uses(session, run.id),
        "comparable": runs.list_comparable(session, run),
        **(_account_values(session, run, csv_url) if run.report else NO_ACCOUNT),
        **doubt.values_of(session, run),
        "scores_csv": csv_url.removesuffix("metrics.csv") + "scores.csv",
    }


NO_ACCOUNT: dict[str, Any] = {
    "alarms": [],
    "charts": [],
    "surprises": [],
    "ceiling": None,
    "tried": [],
}


def _account_values(session: Session, run: RewardRun, csv_url: str) -> dict[str, Any]:
    """What a finished run's page says beyond its curves: charts, alarms, surprises."""
    base = csv_url.removesuffix("metrics.csv") + "account/"
    flags = account.by_flag(run, queries.flag_names(session, run.project_id))
    people = account.by_annotator(run)
    charts = [
        account.strength_chart(run, base + "strength.csv"),
        account.calibration_chart(run, base + "calibration.csv"),
        account.growth_chart(run, base + "growth.csv"),
        account.taste_chart(run, base + "tastes.csv"),
        account.shares_chart(
            "flags", account.spread_sentence("flag", flags), flags, "flag",
            csv_url=base + "flags.csv",
            about="A comparison counts for every flag that was raised in it.",
        ),
        account.shares_chart(
            "annotators", account.spread_sentence("annotator", people), people, "annotator",
            csv_url=base + "annotators.csv",
            about="Under the names that the preference set gives, most answers first.",
        ),
        *_group_chart(session, run, base + "groups.csv"),
        *_topic_charts(session, run, base + "topics.csv"),
    ]  # fmt: skip
    return {
        "alarms": account.alarms(run),
        "charts": charts,
        "ceiling": account.ceiling(run),
        "surprises": judgements.list_surprises(session, run),
        "surprises_csv": base + "surprises.csv",
        "tried": tried.list_tried(run.report),
        "tried_csv": base + "losses.csv",
    }


def _group_chart(session: Session, run: RewardRun, csv_url: str) -> list[Markup]:
    """Accuracy by group of annotators, where the project has groups."""
    rows = [account.share(*one) for one in judgements.by_group(session, run)]
    if not rows:
        return []
    title = account.spread_sentence("group", rows)
    about = "Of annotators; one who is in several groups counts in each."
    return [account.shares_chart("groups", title, rows, "group", csv_url=csv_url, about=about)]


def _topic_charts(session: Session, run: RewardRun, csv_url: str) -> list[Markup]:
    """A chart for each key of the prompts' metadata that sorts them into groups."""
    charts = []
    for index, (key, found) in enumerate(judgements.by_topic(session, run).items()):
        rows = [account.share(value, n, accuracy) for value, n, accuracy in found]
        title = account.spread_sentence(key, rows)
        charts.append(account.shares_chart(f"topic-{index}", title, rows, key, csv_url=csv_url))
    return charts[:4]


def _compare_values(session: Session, pair: Sequence[RewardRun]) -> dict[str, Any]:
    one, two = pair
    # What a flag says is another question than what people preferred: no comparison of margins.
    asks_alike = one.configuration.get("flag") == two.configuration.get("flag")
    return {
        "charts": [account.strength_chart(run) for run in pair],
        "rows": list(FIGURES),
        "held_out": [figures.held_out(run) for run in pair],
        "sets": [queries.find_set(session, run) for run in pair],
        "intervals": [figures.interval_words(r.accuracy, figures.n_held_out(r)) for r in pair],
        "asks_alike": asks_alike,
        "contest": contest(judgements.list_couples(session, one, two)) if asks_alike else None,
        "tastes": _tastes(pair),
    }


def _tastes(pair: Sequence[RewardRun]) -> list[tuple[str, list[float | None]]]:
    """Feature → each run's gap, for those that either knows."""
    found = [{taste.name: taste.gap for taste in account.tastes(run)} for run in pair]
    names = list(dict.fromkeys(name for one in found for name in one))
    return [(name, [one.get(name) for one in found]) for name in names]


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
