"""Agreement as charts and as sentences. Pure: figures in, words and markup out."""

from collections.abc import Sequence

from markupsafe import Markup

from app.agree.intervals import Interval
from app.agree.opinions import Verdict
from app.agree.reading import Figures
from app.agree.service import Cut
from app.charts import Axis, Bar, Dash, Guide, Series, bar_chart, line_chart
from app.charts.scales import format_number

# Raw agreement on the better side between people, as published for data of this kind: from Bai et
# al. (2022) at the low end to the held-out annotators of Ouyang et al. (2022) at the high one.
PUBLISHED = (0.63, 0.77)


def range_words(interval: Interval) -> str:
    """ "0.52 to 0.61", or an empty text where there is no interval."""
    if interval.low is None or interval.high is None:
        return ""
    return f"{format_number(interval.low, 2)} to {format_number(interval.high, 2)}"


def percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.0f}%"


def headline(found: Figures) -> str:
    """What the figures come to, in a sentence."""
    raw, n = found.reading.raw_side_agreement, found.n_shared
    if raw is None:
        return "No pair has two answers yet, so there is no agreement to measure."
    many = "1 pair" if n == 1 else f"{n:,} pairs"
    start = (
        f"On {many} answered by two or more, people choose the same side {percent(raw)} of the time"
    )
    if n < 20:
        return f"{start}. That is too few pairs to say more."
    low, high = PUBLISHED
    if raw < low:
        return f"{start}, less than the {percent(low)} to {percent(high)} that others report."
    if raw > high:
        return f"{start}, more than the {percent(low)} to {percent(high)} that others report."
    return f"{start}, within the {percent(low)} to {percent(high)} that others report."


def week_chart(weeks: Sequence[Cut], csv_url: str) -> Markup:
    """Alpha of each week's pairs with its interval; weeks are numbered from the first."""
    points, band = [], []
    for number, one in _numbered(weeks):
        limits = one.figures.reading.alpha_range
        points.append((number, one.figures.reading.alpha))
        band.append((number, limits.low, limits.high))
    return line_chart(
        "alpha-by-week",
        movement("Alpha", points, band) or "Alpha of each week’s pairs",
        [Series("alpha", points, band)],
        Axis("week", is_whole=True),
        Axis("ordinal alpha", high=1),
        description="Krippendorff's alpha, ordinal, of the pairs first answered in each week. The "
        "shading is the 95% interval by resampling pairs.",
        csv_url=csv_url,
        empty="No week has a pair with two answers yet.",
    )


def raw_chart(weeks: Sequence[Cut], csv_url: str) -> Markup:
    """Raw side agreement by week, with the published band drawn."""
    points, band = [], []
    for number, one in _numbered(weeks):
        points.append((number, one.figures.reading.raw_side_agreement))
        band.append((number, one.figures.raw_range.low, one.figures.raw_range.high))
    spots = [number for number, _ in points]
    ends = [float(spot) for spot in (spots[:1] + spots[-1:])]
    published = Series(
        "published, 63 to 77%", [], [(at, *PUBLISHED) for at in ends], dash=Dash.DOTTED
    )
    return line_chart(
        "raw-by-week",
        movement("Raw side agreement", points, band) or "Raw side agreement of each week’s pairs",
        [Series("same side", points, band), published],
        Axis("week", is_whole=True),
        Axis("same side", low=0.4, high=1),
        guides=[Guide(PUBLISHED[0], "published: 0.63"), Guide(PUBLISHED[1], "published: 0.77")],
        description="How often two people who answered one pair chose the same side. The level "
        "band is what others report, 63 to 77%.",
        csv_url=csv_url,
        empty="No week has a pair with two answers yet.",
    )


def version_chart(versions: Sequence[Cut], csv_url: str) -> Markup:
    bars = [
        Bar(
            one.name,
            one.figures.reading.alpha,
            one.figures.reading.alpha_range.low,
            one.figures.reading.alpha_range.high,
            f"n {one.figures.n_shared:,}",
        )
        for one in versions
    ]
    return bar_chart(
        "alpha-by-version",
        version_title(versions),
        bars,
        "guideline version",
        Axis("ordinal alpha", high=1),
        description="Both answers were given under the version. Intervals are 95%, by resampling "
        "pairs; n counts pairs with two answers or more.",
        csv_url=csv_url,
        empty="No pair has two answers under one guideline version yet.",
    )


def version_title(versions: Sequence[Cut]) -> str:
    known = [one for one in versions if one.figures.reading.alpha is not None]
    if len(known) < 2:
        return "Alpha under each guideline version"
    before, now = (one.figures.reading for one in known[-2:])
    was, became = format_number(before.alpha, 2), format_number(now.alpha, 2)
    sentence = (
        f"Alpha went from {was} under {known[-2].name.lower()} "
        f"to {became} under {known[-1].name.lower()}"
    )
    is_chance = _overlap(before.alpha_range, now.alpha_range)
    return f"{sentence}, which chance may do" if is_chance else sentence


def _overlap(one: Interval, other: Interval) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


def _numbered(weeks: Sequence[Cut]) -> list[tuple[int, Cut]]:
    """Weeks counted from the first, so that a week without answers leaves a gap."""
    dated = [(one.week, one) for one in weeks if one.week is not None]
    return [((week - dated[0][0]).days // 7 + 1, one) for week, one in dated]


def movement(
    what: str,
    points: Sequence[tuple[int, float | None]],
    band: Sequence[tuple[int, float | None, float | None]],
) -> str:
    """What happened from the first week to the last, in a sentence; empty for less than two."""
    known = [k for k, (_, value) in enumerate(points) if value is not None]
    if len(known) < 2:
        return ""
    start, end = known[0], known[-1]
    first, last = (format_number(points[k][1], 2) for k in (start, end))
    sentence = f"{what} went from {first} in week {points[start][0]} to {last}"
    is_chance = _overlap(Interval(*band[start][1:]), Interval(*band[end][1:]))
    end_words = f" in week {points[end][0]}{', which chance may do' if is_chance else ''}"
    return sentence + end_words


def verdict_chart(verdict: Verdict, csv_url: str) -> Markup:
    """The posterior over the eight ratings as bars."""
    ends = {1: "1, A far better", 4: "4", 5: "5", 8: "8, B far better"}
    bars = [Bar(ends.get(k, str(k)), share) for k, share in enumerate(verdict.posterior, start=1)]
    for_a = sum(verdict.posterior[:4])
    return bar_chart(
        "verdict",
        f"The next person who reads prefers A with a chance of {percent(for_a)}",
        bars,
        "rating",
        Axis("chance", low=0),
        description="What the next person who reads would answer, from all answers weighed by "
        "their annotators' reliability.",
        csv_url=csv_url,
    )
