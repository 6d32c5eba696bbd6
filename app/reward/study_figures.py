"""Studies as charts and words. Pure: a report in, markup out."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from app.charts import Axis, Bar, Guide, bar_chart
from app.charts.scales import format_number
from app.reward.account import Table
from app.reward.studies import Worth

KINDS = {"flag": "flag", "group": "group", "annotator": "annotator"}


def subset_chart(report: dict[str, Any], csv_url: str) -> Markup:
    """The score of each subset with its interval; the diamond is chance."""
    subsets = report.get("subsets") or {}
    bars = [
        Bar(name, one["score"], one["low"], one["high"], f"n {one['n']}", mark=one.get("chance"))
        for name, one in subsets.items()
    ]
    return bar_chart(
        "subsets",
        _sentence(report),
        bars,
        "subset",
        Axis("score", low=0, high=1),
        marks="chance" if any(bar.mark is not None for bar in bars) else "",
        description="Share of items whose best-scored completion is a right one; completions that "
        "tie for the first place count in shares. Ties of RewardBench 2 is 60% accuracy and 40% "
        "margin (arXiv 2506.01937). Intervals resample items, in Ties prompts, 95%.",
        csv_url=csv_url,
        empty="Nothing was scored yet.",
    )


def _sentence(report: dict[str, Any]) -> str:
    overall = report.get("overall")
    if not overall:
        return "Score by subset"
    value, low, high = (format_number(overall[name], 3) for name in ("score", "low", "high"))
    return f"Overall it scores {value} ({low} to {high}) on {report['n']:,} items"


def subset_table(report: dict[str, Any]) -> Table:
    parts = {**(report.get("subsets") or {}), "overall": report.get("overall") or {}}
    return ["subset", "n", "score", "low", "high", "chance"], [
        [name, one.get("n"), one.get("score"), one.get("low"), one.get("high"), one.get("chance")]
        for name, one in parts.items()
    ]


def worth_chart(rows: Sequence[Worth], csv_url: str) -> Markup:
    """What each part brings in log-loss, with its interval."""
    bars = [
        Bar(f"{KINDS.get(one.kind, one.kind)} {one.name}", one.log_loss.value, one.log_loss.low,
            one.log_loss.high, f"n {one.n:,}", decimals=4)
        for one in rows
        if one.log_loss is not None
    ]  # fmt: skip
    clear = [one for one in rows if one.log_loss and one.log_loss.is_clear]
    title = "What each part of the data brings on held-out comparisons"
    if bars and not clear:
        title = "No part of the data is clearly missed where it is left out"
    elif clear:
        best = clear[0]
        title = f"The {best.kind} {best.name} is missed most where it is left out"
        if best.log_loss is not None and best.log_loss.value < 0:
            title = f"Without the {clear[-1].kind} {clear[-1].name} the model would be better"
    return bar_chart(
        "worth",
        title,
        bars,
        "part",
        Axis("log-loss without it, less with it", "nats"),
        guides=[Guide(0.0, "worth nothing")],
        description="Learnt once from all training comparisons and once without the part, judged "
        "on the same held-out comparisons. Intervals resample those, 95%. Right of 0 "
        "the part helps.",
        csv_url=csv_url,
        empty="Nothing was left out yet.",
    )


def worth_table(rows: Sequence[Worth]) -> Table:
    figures = ("log_loss", "accuracy", "beyond_random")
    head = ["kind", "key", "name", "n"]
    head += [f"{one}{end}" for one in figures for end in ("", "_low", "_high")]
    found: list[list[object]] = []
    for row in rows:
        line: list[object] = [row.kind, row.key, row.name, row.n]
        for name in figures:
            effect = getattr(row, name)
            line += [effect.value, effect.low, effect.high] if effect else [None, None, None]
        found.append(line)
    return head, found
