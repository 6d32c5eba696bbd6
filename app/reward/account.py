"""The honest account of a reward model as charts and rows: markup out of its report. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.charts import Axis, Bar, Dash, Guide, Series, bar_chart, line_chart
from app.charts.scales import format_number
from app.reward.figures import STRENGTHS, Judged, by_strength, held_out, interval

ALARMING_GAP = 0.2
MOST_ROWS = 12
FEWEST_TO_NAME = 5
CEILING = "people agree"
Table = tuple[list[str], list[list[object]]]


@dataclass(frozen=True)
class Ceiling:
    """How often a second person takes the side of the first, with its standard error."""

    share: float | None
    error: float | None
    n_pairs: int


def ceiling(run: Judged, strength: str | None = None) -> Ceiling:
    """People's own agreement, in all or for first answers of one strength ("1" to "4")."""
    found = _part(held_out(run), "agreement")
    if strength is not None:
        found = _part(_part(found, "by_strength"), strength)
    return Ceiling(found.get("share"), found.get("standard_error"), int(found.get("n_pairs") or 0))


def _part(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def strength_chart(run: Judged, csv_url: str = "") -> Markup:
    """Accuracy by strength of preference, each beside how often people agree there."""
    keys = {name: key for key, name in STRENGTHS.items()}
    rows = by_strength(run)
    bars = [
        Bar(one.name, one.accuracy, one.low, one.high, f"n {one.n}",
            mark=ceiling(run, keys.get(one.name, "")).share)
        for one in rows
    ]  # fmt: skip
    longer = held_out(run).get("longer_wins")
    guide = Guide(longer, f"longer wins {format_number(longer, 2)}") if longer else Guide(0.5, "½")
    return bar_chart(
        f"by-strength-{run.number}",
        _strength_title(run),
        bars,
        "strength of preference",
        Axis("held-out accuracy", low=0, high=1),
        marks=CEILING if any(bar.mark is not None for bar in bars) else "",
        guides=[guide],
        description="Accuracy on held-out comparisons with 95% Wilson intervals. The diamond is "
        "how often a second person takes the side of the first: the most that any model can reach.",
        csv_url=csv_url,
        empty="No held-out comparison was judged yet.",
    )


def _strength_title(run: Judged) -> str:
    top = ceiling(run)
    if run.accuracy is None:
        return "Accuracy by strength of preference"
    mine = format_number(run.accuracy, 2)
    if top.share is None:
        return f"It predicts {mine} of answers; how often people agree is not known yet"
    return f"It predicts {mine} of answers; people agree with each other on " + format_number(
        top.share, 2
    )


def calibration_chart(run: Judged, csv_url: str = "") -> Markup:
    """What share is right where it says so: honest is the dashed line."""
    bins = held_out(run).get("calibration") or []
    points = [(one["confidence"], one["accuracy"]) for one in bins]
    band = []
    for one in bins:
        low, high = interval(one["accuracy"], int(one["n"])) or (None, None)
        band.append((one["confidence"], low, high))
    ece = held_out(run).get("ece")
    series = [
        Series("the model", points, band),
        Series("honest", [(0.5, 0.5), (1.0, 1.0)], dash=Dash.DASHED),
    ]
    return line_chart(
        f"calibration-{run.number}",
        f"Its confidence is {format_number(ece, 3)} away from its accuracy" if ece is not None
        else "Confidence and accuracy",
        series if points else [],
        Axis("stated confidence", low=0.5, high=1),
        Axis("accuracy", low=0, high=1),
        description="Held-out comparisons in ten bins of stated confidence, max(p, 1 − p) with "
        "p = σ(score difference). The distance from the dashed line, each bin by its size, is the "
        "calibration error (ECE). Bands are 95% Wilson intervals.",
        csv_url=csv_url,
        empty="No held-out comparison was judged yet.",
    )  # fmt: skip


def growth_chart(run: Judged, csv_url: str = "") -> Markup:
    """The learning curve, its fit, and the ceiling."""
    found = run.report.get("learning_curve") or {}
    points = found.get("points") or []
    measured = Series(
        "heads", [(float(one["n"]), one["accuracy"]) for one in points],
        [(float(one["n"]), one["low"], one["high"]) for one in points],
    )  # fmt: skip
    series = [measured] if points else []
    if points and found.get("fit"):
        series.append(Series("fit", _fitted(found), dash=Dash.DASHED))
    top = ceiling(run).share
    guides = [Guide(top, f"{CEILING} {format_number(top, 2)}")] if top is not None else []
    return line_chart(
        f"growth-{run.number}",
        growth_sentence(run),
        series,
        Axis("comparisons learnt from", is_whole=True),
        Axis("held-out accuracy"),
        guides=guides,
        description="Heads on frozen features of the untrained network, trained on random subsets: "
        "a cheap stand-in whose bend carries over, not its height. The fit is a − b·n^−c. The band "
        "and the interval of the next doubling resample held-out comparisons and subsets, 95%.",
        csv_url=csv_url,
        empty="It takes 64 comparisons to learn from and 20 held out to draw a learning curve.",
    )


def _fitted(found: dict[str, Any]) -> list[tuple[float, float | None]]:
    a, b, c = (found["fit"][name] for name in "abc")
    start, end = found["points"][0]["n"], found["doubling"]["to"]
    steps = [start * (end / start) ** (k / 32) for k in range(33)]
    return [(n, min(1.0, a - b * n**-c)) for n in steps]


def growth_sentence(run: Judged) -> str:
    """What the next doubling of answers is worth, in points of accuracy with its interval."""
    doubling = (run.report.get("learning_curve") or {}).get("doubling")
    if not doubling:
        return "What more answers would bring"
    gain, low, high = (_points(doubling[name]) for name in ("gain", "low", "high"))
    return (
        f"The next doubling, to {doubling['to']:,} comparisons, is worth {gain} points of accuracy "
        f"({low} to {high})"
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−") if abs(share) >= 0.0005 else "0.0"


@dataclass(frozen=True)
class Taste:
    """How a feature goes with the model's score and with people's rating, and the gap between."""

    name: str
    model: float
    people: float
    gap: float
    low: float
    high: float
    n_differ: int
    is_alarming: bool


def tastes(run: Judged) -> list[Taste]:
    """Features that differ in some held-out pair, the widest gap first."""
    found = [
        Taste(name, one["model"], one["people"], one["gap"], one["low"], one["high"],
              one["n_differ"], bool(one["is_alarming"]))
        for name, one in _part(held_out(run), "features").items()
        if one.get("gap") is not None
    ]  # fmt: skip
    return sorted(found, key=lambda one: -abs(one.gap))


def taste_chart(run: Judged, csv_url: str = "") -> Markup:
    rows = tastes(run)
    bars = [
        Bar(one.name, one.model, note=f"gap {_signed(one.gap)}", decimals=2, mark=one.people)
        for one in rows
    ]
    widest = rows[0] if rows else None
    return bar_chart(
        f"tastes-{run.number}",
        "Length and format" if widest is None else
        f"Its taste is furthest from people's in {widest.name}: a gap of {_signed(widest.gap)}",
        bars,
        "feature",
        Axis("correlation with the score difference", low=-1, high=1),
        marks="with people's rating",
        description="Correlation over held-out pairs of the difference in a feature with the "
        "model's score difference (bar) and with people's rating (diamond). A gap beyond 0.2 whose "
        "95% interval leaves out 0 is an alarm: published reward models had +0.36 where people "
        "had −0.12 (arXiv 2506.05339).",
        csv_url=csv_url,
        empty="No held-out pair differs in length or format.",
    )  # fmt: skip


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def alarms(run: Judged) -> list[str]:
    """Sentences for features that the model rewards for themselves."""
    return [
        f"The model {'likes' if one.gap > 0 else 'dislikes'} {one.name} more than people do: "
        f"correlation {_signed(one.model)} with its scores, {_signed(one.people)} with people's "
        f"ratings; the gap is {_signed(one.gap)} ({_signed(one.low)} to {_signed(one.high)}), and "
        f"{ALARMING_GAP} is where hacking was seen."
        for one in tastes(run)
        if one.is_alarming
    ]


@dataclass(frozen=True)
class Share:
    """Accuracy among held-out comparisons of one kind, with its 95% Wilson interval."""

    name: str
    n: int
    accuracy: float | None
    low: float | None
    high: float | None


def share(name: str, n: int, accuracy: float | None) -> Share:
    low, high = interval(accuracy, n) or (None, None)
    return Share(name, n, accuracy, low, high)


def by_flag(run: Judged, names: Mapping[str, str]) -> list[Share]:
    """Accuracy where a flag was raised; `names` is flag key → name."""
    return _shares(run, "by_flag", lambda key: names.get(key, key) if key else "no flag")


def by_annotator(run: Judged) -> list[Share]:
    """Accuracy for each annotator of the set, under the name that the set gives them."""
    return _shares(run, "by_annotator", lambda key: key[:6] if key else "unknown")


def _shares(run: Judged, name: str, call: Any) -> list[Share]:
    return [
        share(call(key), int(one.get("n") or 0), one.get("accuracy"))
        for key, one in _part(held_out(run), name).items()
    ]


def shares_chart(
    key: str, title: str, rows: Sequence[Share], names: str, *, csv_url: str = "", about: str = ""
) -> Markup:
    bars = [
        Bar(one.name, one.accuracy, one.low, one.high, f"n {one.n}", decimals=2)
        for one in rows[:MOST_ROWS]
    ]
    return bar_chart(
        key,
        title,
        bars,
        names,
        Axis("held-out accuracy", low=0, high=1),
        guides=[Guide(0.5, "chance")],
        description=f"{about} Bars show 95% Wilson intervals.".strip(),
        csv_url=csv_url,
        empty="No held-out comparison was judged yet.",
    )


def spread_sentence(what: str, rows: Sequence[Share]) -> str:
    """ "Accuracy by flag goes from 0.61 (rude) to 0.78 (no flag)"; plain where there is but one."""
    known = sorted(
        (one.accuracy, one.name)
        for one in rows[:MOST_ROWS]
        if one.accuracy is not None and one.n >= FEWEST_TO_NAME
    )
    if len(known) < 2:
        return f"Accuracy by {what}"
    (low, lowest), (high, highest) = known[0], known[-1]
    return (
        f"Accuracy by {what} goes from {format_number(low, 2)} ({lowest}) to "
        f"{format_number(high, 2)} ({highest})"
    )


def as_table(run: Judged, what: str) -> Table | None:
    """One part of the account as head and rows, for CSV; None for a part that there is not."""
    eval_ = held_out(run)
    if what == "strength":
        rows: list[list[object]] = [
            [one.name, one.n, one.accuracy, one.low, one.high] for one in by_strength(run)
        ]
        keys = {name: key for key, name in STRENGTHS.items()}
        for row in rows:
            top = ceiling(run, keys.get(str(row[0]), ""))
            row += [top.share, top.error, top.n_pairs]
        head = ["strength", "n", "accuracy", "low", "high", "people_agree", "standard_error",
                "pairs_of_several_answers"]  # fmt: skip
        return head, rows
    if what == "calibration":
        bins = eval_.get("calibration") or []
        return ["confidence", "accuracy", "n"], [
            [one["confidence"], one["accuracy"], one["n"]] for one in bins
        ]
    if what == "growth":
        points = (run.report.get("learning_curve") or {}).get("points") or []
        return ["n", "accuracy", "low", "high"], [
            [one["n"], one["accuracy"], one["low"], one["high"]] for one in points
        ]
    if what == "tastes":
        return ["feature", "model", "people", "gap", "low", "high", "pairs_that_differ"], [
            [t.name, t.model, t.people, t.gap, t.low, t.high, t.n_differ] for t in tastes(run)
        ]
    if what in ("flags", "annotators"):
        shares = by_flag(run, {}) if what == "flags" else by_annotator(run)
        return share_table(what[:-1], shares)
    return None


def share_table(name: str, rows: Sequence[Share]) -> Table:
    return [name, "n", "accuracy", "low", "high"], [
        [one.name, one.n, one.accuracy, one.low, one.high] for one in rows
    ]
