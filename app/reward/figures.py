"""What a reward run says of itself, as figures and charts. Pure: rows in, words and markup out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from markupsafe import Markup

from app.charts import Axis, Dash, Guide, Series, line_chart
from app.charts.scales import format_number
from app.reward.intervals import wilson
from app.reward.queries import Curve

STRENGTHS = {"1": "close", "2": "a little better", "3": "better", "4": "far better"}
# The metrics that charts draw, of the many that a trainer reports.
DRAWN = ("loss", "accuracy", "eval_loss", "eval_accuracy")
NOW = ("loss", "accuracy", "tokens_per_second", "memory_mb")
CHANCE = Guide(0.5, "chance")


class Judged(Protocol):
    """The part of a reward run that charts read."""

    number: int
    accuracy: float | None
    n_eval: int | None
    report: dict[str, Any]


@dataclass(frozen=True)
class Strength:
    """Held-out accuracy among comparisons of one strength, with its 95% interval."""

    name: str
    n: int
    accuracy: float | None
    low: float | None
    high: float | None


def held_out(run: Judged) -> dict[str, Any]:
    """The held-out part of a run's report; empty before there is one."""
    found = run.report.get("eval")
    return found if isinstance(found, dict) else {}


def n_held_out(run: Judged) -> int | None:
    """Held-out comparisons that count: ties are left out of accuracy."""
    n = held_out(run).get("n", run.n_eval)
    return int(n) if isinstance(n, int | float) else None


def interval(accuracy: float | None, n: int | None) -> tuple[float, float] | None:
    return None if accuracy is None or not n else wilson(accuracy, n)


def interval_words(accuracy: float | None, n: int | None) -> str:
    """ "0.61 to 0.74, n 120", or why there is no interval."""
    limits = interval(accuracy, n)
    if limits is None:
        return "no held-out comparison" if accuracy is None else ""
    return f"{format_number(limits[0], 2)} to {format_number(limits[1], 2)}, n {n:,}"


def interval_short(accuracy: float | None, n: int | None) -> str:
    """ "[0.61, 0.74]"; empty without an interval."""
    limits = interval(accuracy, n)
    return f"[{format_number(limits[0], 2)}, {format_number(limits[1], 2)}]" if limits else ""


def by_strength(run: Judged) -> list[Strength]:
    """Accuracy for each strength of preference, strongest first."""
    found = held_out(run).get("by_strength")
    rows = []
    for key, one in sorted((found or {}).items(), reverse=True):
        accuracy, n = one.get("accuracy"), int(one.get("n") or 0)
        low, high = interval(accuracy, n) or (None, None)
        rows.append(Strength(STRENGTHS.get(key, f"strength {key}"), n, accuracy, low, high))
    return rows


def loss_chart(curves: dict[str, Curve], csv_url: str = "") -> Markup:
    series = _named(curves, {"loss": "training", "eval_loss": "held-out"})
    return line_chart(
        "loss",
        _movement("Training loss", curves.get("loss", []), 3) or "Training loss by step",
        series,
        Axis("step", is_whole=True),
        Axis("loss", "nats"),
        csv_url=csv_url,
        description="−log σ(score difference), weighted as the loss says, of each training batch; "
        "and its plain mean over the same held-out comparisons now and then.",
        empty="The first step has not been reported yet.",
    )


def accuracy_chart(curves: dict[str, Curve], run: Judged, csv_url: str = "") -> Markup:
    """Accuracy on each training batch, with the held-out accuracy as a level beside it."""
    guides = [CHANCE]
    if run.accuracy is not None and "eval_accuracy" not in curves:
        guides.append(Guide(run.accuracy, f"held-out {format_number(run.accuracy, 2)}"))
    title = "Accuracy on the training batches"
    if run.accuracy is not None:
        title = f"Held-out accuracy is {format_number(run.accuracy, 2)}, beside each batch's own"
    return line_chart(
        "accuracy",
        title,
        _named(curves, {"accuracy": "training", "eval_accuracy": "held-out"}),
        Axis("step", is_whole=True),
        Axis("accuracy", low=0, high=1),
        guides=guides,
        description="Share of comparisons whose preferred completion scores higher: of each "
        "training batch, and of the same held-out comparisons now and then.",
        csv_url=csv_url,
        empty="The first step has not been reported yet.",
    )


def history_chart(runs: Sequence[Judged], csv_url: str = "") -> Markup:
    """Held-out accuracy of each reward run with its interval, and “longer wins” beside it."""
    judged = sorted((one for one in runs if one.accuracy is not None), key=lambda one: one.number)
    band = []
    for one in judged:
        low, high = interval(one.accuracy, n_held_out(one)) or (None, None)
        band.append((float(one.number), low, high))
    series = [Series("reward model", [(one.number, one.accuracy) for one in judged], band)]
    baseline: Curve = [(one.number, held_out(one).get("longer_wins")) for one in judged]
    if any(value is not None for _, value in baseline):
        series.append(Series("longer wins", baseline, dash=Dash.DASHED))
    return line_chart(
        "reward-history",
        history_title(judged),
        series,
        Axis("reward run", is_whole=True),
        Axis("held-out accuracy", low=0, high=1),
        guides=[CHANCE],
        description="The band is the 95% Wilson interval. Each run is judged on its own held-out "
        "comparisons.",
        csv_url=csv_url,
        empty="The first reward model has not been trained yet.",
    )


def history_title(judged: Sequence[Judged]) -> str:
    if not judged:
        return "Accuracy of the reward models"
    last = format_number(judged[-1].accuracy, 2)
    if len(judged) == 1:
        return f"The first reward model predicts {last} of held-out comparisons"
    first = format_number(judged[0].accuracy, 2)
    return f"Held-out accuracy went from {first} to {last} over {len(judged)} reward models"


def _named(curves: dict[str, Curve], names: dict[str, str]) -> list[Series]:
    dashes = [Dash.SOLID, Dash.DASHED, Dash.DOTTED]
    found = [(name, label) for name, label in names.items() if name in curves]
    return [
        Series(label, curves[name], dash=dash)
        for (name, label), dash in zip(found, dashes, strict=False)
    ]


def _movement(what: str, curve: Curve, decimals: int) -> str:
    """ "Training loss went from 0.693 to 0.412 in 120 steps"; empty for fewer than two numbers."""
    known = [(step, value) for step, value in curve if value is not None]
    if len(known) < 2:
        return ""
    first, last = (format_number(value, decimals) for value in (known[0][1], known[-1][1]))
    return f"{what} went from {first} to {last} in {int(known[-1][0]):,} steps"


def differing(left: dict[str, Any], right: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(setting, left, right) where two configurations differ; a missing one is None."""
    return [
        (name, left.get(name), right.get(name))
        for name in sorted({*left, *right})
        if left.get(name) != right.get(name)
    ]
