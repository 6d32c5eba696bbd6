"""A flag over time as charts. Pure: figures in, markup out."""

from collections.abc import Mapping
from datetime import date

from markupsafe import Markup

from app.agree.charts import movement
from app.agree.reading import FlagFigures
from app.charts import Axis, Series, line_chart
from app.tables.projects import Flag, FlagKind, FlagScope

JUDGED = {
    FlagScope.PROMPT: "prompts",
    FlagScope.COMPLETION: "answers",
    FlagScope.COMPARISON: "pairs",
}
Weeks = Mapping[date, FlagFigures]


def agreement_chart(flag: Flag, weeks: Weeks, csv_url: str) -> Markup:
    """Alpha of each week's units with its interval; weeks are numbered from the first."""
    points = [(k, one.alpha) for k, one in _numbered(weeks)]
    band = [(k, one.alpha_range.low, one.alpha_range.high) for k, one in _numbered(weeks)]
    level = "ordinal" if flag.kind is FlagKind.RATING_7 else "nominal"
    moved = movement(f"Alpha on “{flag.label}”", points, band)
    return line_chart(
        "flag-alpha-by-week",
        moved or f"Alpha on “{flag.label}” by week",
        [Series("alpha", points, band)],
        Axis("week", is_whole=True),
        Axis(f"{level} alpha", high=1),
        description=f"Krippendorff's alpha, {level}, of the {JUDGED[flag.scope]} first judged in "
        "each week: 1 is perfect agreement, 0 is what chance gives. The shading is the 95% "
        "interval by resampling them.",
        csv_url=csv_url,
        empty="In no week have two people judged the same text.",
    )


def share_chart(flag: Flag, weeks: Weeks, csv_url: str) -> Markup:
    """How often each week's answers were yes, or their mean rating, with its interval."""
    is_mean = flag.kind is FlagKind.RATING_7
    points = [(k, one.share) for k, one in _numbered(weeks)]
    band = [(k, one.share_range.low, one.share_range.high) for k, one in _numbered(weeks)]
    what = f"Mean of “{flag.label}”" if is_mean else f"Share of yes to “{flag.label}”"
    axis = Axis("mean rating", low=1, high=7) if is_mean else Axis("share of yes", low=0, high=1)
    return line_chart(
        "flag-share-by-week",
        movement(what, points, band) or f"{what} by week",
        [Series("mean" if is_mean else "yes", points, band)],
        Axis("week", is_whole=True),
        axis,
        description="What people said, of all their answers to the flag; left unanswered is no "
        "answer. A level that moves while the texts stay alike says that the flag is read "
        "otherwise than before. The shading is the 95% interval by resampling what was judged.",
        csv_url=csv_url,
        empty="Nobody has answered this flag yet.",
    )


def _numbered(weeks: Weeks) -> list[tuple[int, FlagFigures]]:
    first = min(weeks, default=None)
    return [((week - first).days // 7 + 1, one) for week, one in weeks.items() if first]
