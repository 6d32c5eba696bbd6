"""Costs as charts, sentences and rows. Pure: figures in, words and markup out."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup

from app.agree.cost.eta import Eta
from app.agree.cost.price import Basis, Price
from app.agree.cost.service import Button, Costs, Week
from app.charts import Axis, Bar, Series, bar_chart, line_chart
from app.charts.scales import format_number
from app.tables.base import utc_now
from app.tables.projects import FlagScope

BASES = {
    Basis.DAYS: "The 95% interval resamples whole days of people: it holds for the same people on "
    "other days.",
    Basis.ANSWERS: "The 95% interval takes each answer to be on its own, for there are fewer than "
    "ten days of people; it is too narrow where answers of one day resemble each other.",
    Basis.NOTHING: "There are too few answers for an interval.",
}
_ONE = {FlagScope.COMPLETION: "per answer judged", FlagScope.PROMPT: "per prompt"}


def money(value: float | None, unit: str) -> str:
    """ "0.42 EUR", "12.3 s", "undefined": three digits that count, two decimals at least."""
    if value is None:
        return "undefined"
    if unit == "s":
        return f"{value:,.1f} s"
    decimals = 2 if abs(value) >= 0.1 or value == 0 else 4
    return f"{value:,.{decimals}f} {unit}"


def price_range(price: Price, unit: str) -> str:
    """ "0.40 to 0.44", or an empty text."""
    if price.low is None or price.high is None:
        return ""
    low, high = (money(one, unit).removesuffix(f" {unit}") for one in (price.low, price.high))
    return f"{low} to {high}"


def headline(found: Costs) -> str:
    if found.each.value is None:
        return "No active time was measured yet, so nothing has a price."
    answers = "answer" if found.n == 1 else "answers"
    start = f"{found.n:,} {answers} took {_took(found.seconds)} of active time"
    if not found.wages.is_any:
        return f"{start}. Give a wage, and times become costs."
    return (
        f"{start} and {money(found.total, found.unit)}: {money(found.each.value, found.unit)} each."
    )


def _took(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:,.1f} hours"
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.1f} seconds"


def eta_words(eta: Eta, n_open: int) -> str:
    """When the open work is done, with its interval in days."""
    if n_open == 0:
        return "nothing is open"
    if eta.days is None:
        return "undefined"
    return f"{utc_now().date() + timedelta(days=eta.days):%-d %b %Y}"


def eta_range(eta: Eta) -> str:
    if eta.days is None or eta.low is None:
        return eta.reason
    late = f"{eta.high:,}" if eta.high is not None else "more than five years of"
    return f"in {eta.days:,} days, 95%: {eta.low:,} to {late} days"


def week_chart(weeks: Sequence[Week], unit: str, csv_url: str) -> Markup:
    """The price of one answer by week; weeks are numbered from the first."""
    numbered = [((one.day - weeks[0].day).days // 7 + 1, one.each) for one in weeks]
    points = [(at, each.value) for at, each in numbered]
    what = "active seconds" if unit == "s" else unit
    return line_chart(
        "price-by-week",
        _movement(points, unit) or "What one answer costs, by week",
        [Series("one answer", points, [(at, each.low, each.high) for at, each in numbered])],
        Axis("week", is_whole=True),
        Axis("one answer", what, low=0),
        description="Active time of a week's answers, at the wages of today, over their number. "
        "The shading is the 95% interval.",
        csv_url=csv_url,
        empty="No week has an answer with measured time yet.",
    )


def _movement(points: Sequence[tuple[int, float | None]], unit: str) -> str:
    known = [(at, value) for at, value in points if value is not None]
    if len(known) < 2:
        return ""
    first, last = known[0], known[-1]
    return (
        f"One answer went from {money(first[1], unit)} in week {first[0]} "
        f"to {money(last[1], unit)} in week {last[0]}"
    )


def button_chart(buttons: Sequence[Button], unit: str, csv_url: str) -> Markup:
    """The price of one use of each control, the dearest first."""
    known = sorted(
        (one for one in buttons if one.each.value is not None),
        key=lambda one: -(one.each.value or 0),
    )
    decimals = 1 if unit == "s" else 4
    bars = [
        Bar(
            one.name,
            one.each.value,
            one.each.low,
            one.each.high,
            f"n {one.each.n:,}",
            decimals,
        )
        for one in known
    ]
    dearest = next((one for one in known if one.flag is not None), None)
    title = (
        f"The dearest flag is {dearest.name}, at {money(dearest.each.value, unit)} an answer"
        if dearest
        else "What one use of each part of the page costs"
    )
    return bar_chart(
        "price-of-buttons",
        title,
        bars,
        "part of the page",
        Axis("one use", "active seconds" if unit == "s" else unit, low=0),
        description="Active time on the part, at the wages of today, over how often it was used: a "
        "flag answered, a comment written, an answer given. Intervals are 95%.",
        csv_url=csv_url,
        empty="No answer has its time by part of the page yet.",
    )


def day_chart(recent: Sequence[tuple[date, int]], csv_url: str) -> Markup:
    """The recent days that the end of the open work is read from, counted back from today."""
    points = [(float(k - len(recent)), float(n)) for k, (_, n) in enumerate(recent)]
    n = sum(count for _, count in recent)
    mean = format_number(n / len(recent), 1) if recent else "0"
    return line_chart(
        "recent-days",
        f"{n:,} answers that count in the last {len(recent)} days, {mean} a day"
        if recent
        else "Answers that count, by day",
        [Series("answers", points, is_step=True)],
        Axis("days from today", is_whole=True),
        Axis("answers", low=0, is_whole=True),
        description="Of people who can still answer. The end of the open work is drawn from these "
        "days.",
        csv_url=csv_url,
        empty="No whole day has passed since the first answer.",
    )


def one_of(button: Button) -> str:
    """What one use is: "per answer judged", "per comment"."""
    if button.flag is not None:
        return _ONE.get(button.flag.scope, "per comparison")
    return "per comment" if button.name == "Comment" else "per comparison"


def week_rows(found: Costs) -> tuple[list[str], list[list[Any]]]:
    head = ["week", "answers", "active_seconds", "cost", "each", "each_low", "each_high", "unit"]
    return head, [
        [one.day.isoformat(), one.n, one.seconds, one.cost, *_three(one.each), found.unit]
        for one in found.weeks
    ]


def button_rows(found: Costs) -> tuple[list[str], list[list[Any]]]:
    head = ["part", "flag", "per", "each", "each_low", "each_high", "unit", "basis"]
    tail = ["n", "seconds_each", "share_of_time", "alpha", "worth", "worth_low", "worth_high"]
    return [*head, *tail], [
        [
            one.name,
            one.flag.key if one.flag else "",
            one_of(one),
            *_three(one.each),
            found.unit,
            one.each.basis.value,
            one.each.n,
            one.seconds_each,
            one.share,
            one.alpha,
            *((one.worth.value, one.worth.low, one.worth.high) if one.worth else (None,) * 3),
        ]
        for one in found.buttons
    ]


def people_rows(found: Costs) -> tuple[list[str], list[list[Any]]]:
    head = [
        "person",
        "can_answer",
        "answers",
        "active_seconds",
        "wage_per_hour",
        "cost",
        "currency",
    ]
    last = ["recent_answers", "seconds_each", "seconds_each_low", "seconds_each_high", "per_day"]
    return [*head, *last], [
        [
            one.person.name,
            one.can_answer,
            one.n,
            one.seconds,
            found.wages.own.get(one.person.id, found.wages.usual),
            one.cost,
            found.wages.currency,
            one.n_recent,
            *_three(one.seconds_each),
            one.per_day,
        ]
        for one in found.people
    ]


def day_rows(found: Costs) -> tuple[list[str], list[list[Any]]]:
    return ["day", "answers"], [[day.isoformat(), n] for day, n in found.recent]


def _three(price: Price) -> tuple[float | None, float | None, float | None]:
    return price.value, price.low, price.high


def as_values(found: Costs) -> dict[str, Any]:
    """Every figure by its name, for JSON; what is undefined is None."""
    tables = {
        "weeks": week_rows(found),
        "parts": button_rows(found),
        "people": people_rows(found),
        "recent_days": day_rows(found),
    }
    return {
        "unit": found.unit,
        "answers": found.n,
        "answers_that_count": found.n_fresh,
        "active_seconds": found.seconds,
        "unpriced_seconds": found.unpriced,
        "cost": found.total,
        **{f"each{end}": one for end, one in zip(_ENDS, _three(found.each), strict=True)},
        **{f"each_counted{end}": v for end, v in zip(_ENDS, _three(found.each_fresh), strict=True)},
        "alpha_half_width": found.certainty.half,
        "pairs_to_know_alpha": found.certainty.n_pairs,
        "cost_to_know_alpha": found.certainty.cost,
        "open_answers": found.n_open,
        "eta_days": found.eta.days,
        "eta_days_low": found.eta.low,
        "eta_days_high": found.eta.high,
        "eta_undefined_because": found.eta.reason,
        **{
            name: [dict(zip(head, row, strict=True)) for row in rows]
            for name, (head, rows) in tables.items()
        },
    }


_ENDS = ("", "_low", "_high")
