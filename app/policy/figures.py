"""What a policy run says of itself, as figures and charts. Pure: rows in, words and markup out."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from app.charts import Axis, Dash, Guide, Series, line_chart
from app.charts.scales import format_number
from app.reward.queries import Curve
from app.tables.runs import Algorithm, PolicyRun

STEP = Axis("step", is_whole=True)
NOT_YET = "The first step has not been reported yet."
# The metrics that charts draw, of the many that a trainer reports.
DRAWN = ("score_mean", "reward_mean", "kl", "entropy", "loss")
WAYS = {
    Algorithm.BASE: "the base model as it came",
    Algorithm.SFT: "supervised fine-tuning",
    Algorithm.PPO: "PPO",
}


def end(run: PolicyRun, which: str) -> dict[str, Any]:
    """The report's `before` or `after`; empty where there is none."""
    found = run.report.get(which)
    return found if isinstance(found, dict) else {}


def score_words(run: PolicyRun, which: str) -> str:
    """ "0.84 ± 0.05": a score with its standard error, or undefined."""
    value = run.score_before if which == "before" else run.score_after
    error = end(run, which).get("standard_error")
    if value is None or error is None:
        return format_number(value, 2)
    return f"{format_number(value, 2)}\u00a0±\u00a0{format_number(error, 2)}"


def alarm_words(run: PolicyRun) -> list[str]:
    """The sentences of a run's alarms."""
    return [_sentence(alarm) for alarm in run.alarms]


def _sentence(alarm: object) -> str:
    if isinstance(alarm, dict):
        where = f"Step {alarm['step']}: " if "step" in alarm else ""
        return f"{where}{alarm.get('message', alarm.get('kind', ''))}"
    return str(alarm)


def score_chart(run: PolicyRun, curves: dict[str, Curve], csv_url: str = "") -> Markup:
    """Score by step on the training batches, and on held-out prompts with a 95% band."""
    series = []
    held_out = [one for one in run.report.get("evaluations", []) if "score_mean" in one]
    if held_out:
        points = [(one["step"], one["score_mean"]) for one in held_out]
        series.append(Series("held-out", points, [_limits(one) for one in held_out]))
    if "score_mean" in curves:
        series.append(Series("training", curves["score_mean"], dash=Dash.DASHED))
    return line_chart(
        "score",
        score_title(run, curves.get("score_mean", [])),
        series,
        STEP,
        Axis("score"),
        description="The reward model's opinion of what the policy writes. The band is ± 1.96 "
        "standard errors.",
        csv_url=csv_url,
        empty=NOT_YET,
    )


def _limits(one: dict[str, Any]) -> tuple[float, float | None, float | None]:
    error, mean = one.get("standard_error"), one["score_mean"]
    if error is None or mean is None:
        return one["step"], None, None
    return one["step"], mean - 1.96 * error, mean + 1.96 * error


def score_title(run: PolicyRun, training: Curve) -> str:
    if run.score_before is not None and run.score_after is not None:
        verb = "rose" if run.score_after > run.score_before else "fell"
        ends = f"from {score_words(run, 'before')} to {score_words(run, 'after')}"
        return f"The score on held-out prompts {verb} {ends}"
    known = [value for _, value in training if value is not None]
    if len(known) < 2:
        return "Score by step"
    first, last = format_number(known[0], 2), format_number(known[-1], 2)
    return f"The training score went from {first} to {last} so far"


def kl_chart(run: PolicyRun, curves: dict[str, Curve], csv_url: str = "") -> Markup:
    """KL from the reference by step; the budget is drawn once the policy comes near it."""
    curve = curves.get("kl", [])
    known = [value for _, value in curve if value is not None]
    budget = run.configuration.get("kl_budget")
    is_near = bool(known) and isinstance(budget, int | float) and max(known) > budget / 3
    last = run.kl if run.kl is not None else (known[-1] if known else None)
    title = "Distance from the reference by step"
    if last is not None:
        title = f"The policy is {format_number(last, 2)} nats from its reference"
    return line_chart(
        "kl",
        title,
        [Series("KL", curve)],
        STEP,
        Axis("KL", "nats a completion"),
        guides=[Guide(float(budget or 0), f"budget {budget:g}")] if is_near else [],
        description="How far the policy has moved from its reference policy (k1 estimate).",
        csv_url=csv_url,
        empty=NOT_YET,
    )


def entropy_chart(curves: dict[str, Curve], csv_url: str = "") -> Markup:
    return line_chart(
        "entropy",
        _from_to("Entropy", curves.get("entropy", [])) or "Entropy by step",
        [Series("entropy", curves.get("entropy", []))],
        STEP,
        Axis("entropy", "nats a token"),
        description="How undecided the policy is at each token; near 0 it says one thing only.",
        csv_url=csv_url,
        empty=NOT_YET,
    )


def reward_chart(curves: dict[str, Curve], csv_url: str = "") -> Markup:
    return line_chart(
        "reward",
        _from_to("Reward (score minus KL penalty)", curves.get("reward_mean", []))
        or "Reward by step",
        [Series("reward", curves.get("reward_mean", []))],
        STEP,
        Axis("reward", "sd of the first scores"),
        description="What the policy is optimised for: the normalised score minus the KL penalty.",
        csv_url=csv_url,
        empty=NOT_YET,
    )


def loss_chart(run: PolicyRun, curves: dict[str, Curve], csv_url: str = "") -> Markup:
    """The loss of supervised fine-tuning by step."""
    before, after = end(run, "before").get("loss"), end(run, "after").get("loss")
    title = _from_to("Training loss", curves.get("loss", [])) or "Training loss by step"
    if before is not None and after is not None:
        ends = f"from {format_number(before, 2)} to {format_number(after, 2)}"
        title = f"The loss on held-out answers went {ends} nats a token"
    return line_chart(
        "loss",
        title,
        [Series("training", curves.get("loss", []))],
        STEP,
        Axis("loss", "nats a token"),
        csv_url=csv_url,
        empty=NOT_YET,
    )


def main_charts(run: PolicyRun, curves: dict[str, Curve], csv_url: str = "") -> list[Markup]:
    """The charts that say most about a run of this kind."""
    if run.algorithm is Algorithm.BASE:
        return []
    if run.algorithm is Algorithm.SFT:
        return [loss_chart(run, curves, csv_url)]
    return [score_chart(run, curves, csv_url), kl_chart(run, curves, csv_url)]


def all_charts(run: PolicyRun, curves: dict[str, Curve], csv_url: str = "") -> list[Markup]:
    """Every chart that a run of this kind has."""
    charts = main_charts(run, curves, csv_url)
    if run.algorithm in (Algorithm.BASE, Algorithm.SFT):
        return charts
    return [*charts, reward_chart(curves, csv_url), entropy_chart(curves, csv_url)]


def overlay(runs: Sequence[PolicyRun], metrics: Sequence[dict[str, Curve]]) -> Markup:
    """The training scores of two runs over one axis of steps."""
    dashes = (Dash.SOLID, Dash.DASHED, Dash.DOTTED)
    series = [
        Series(f"policy {run.number}", curves.get("score_mean", []), dash=dash)
        for run, curves, dash in zip(runs, metrics, dashes, strict=False)
    ]
    return line_chart(
        "overlay",
        "Training score of both runs by step",
        series,
        STEP,
        Axis("score"),
        description="Scores of different reward models have different scales.",
        empty="Neither run has reported a score.",
    )


def _from_to(what: str, curve: Curve) -> str:
    known = [value for _, value in curve if value is not None]
    if len(known) < 2:
        return ""
    return f"{what} went from {format_number(known[0], 2)} to {format_number(known[-1], 2)}"
