"""One person's work as charts and as sentences. Pure: figures in, words and markup out."""

from collections.abc import Sequence

from markupsafe import Markup

from app.agree.calibration import Claim
from app.agree.charts import percent
from app.agree.person import Block
from app.charts import Axis, Bar, Series, bar_chart, line_chart


def history_chart(history: Sequence[Block], csv_url: str) -> Markup:
    """A person's agreement with most of the others, in parts of their own history."""
    return line_chart(
        "own-history",
        history_title(history),
        [
            Series(
                "same side",
                [(one.last, one.share) for one in history],
                [(one.last, one.low, one.high) for one in history],
            )
        ],
        Axis("shared answer", is_whole=True),
        Axis("same side as most others", low=0, high=1),
        description="Each point is twenty answers or more, with Wilson's 95% interval. Against "
        "this person's own history; nobody is ranked.",
        csv_url=csv_url,
        empty="Agreement is shown from 20 shared answers on.",
    )


def history_title(history: Sequence[Block]) -> str:
    if not history:
        return "Agreement over time"
    last = history[-1]
    if len(history) == 1:
        return f"{percent(last.share)} of the first {last.n} shared answers are with most others"
    first = history[0]
    moved = last.low > first.high or last.high < first.low
    words = "" if moved else ", which chance may do"
    return (
        f"From {percent(first.share)} in the first {first.n} shared answers to "
        f"{percent(last.share)} in the last {last.n}{words}"
    )


def claims_chart(what: str, claims: Sequence[Claim], csv_url: str) -> Markup:
    """How often most others bore out each claim; `what` is "firm" or "sure"."""
    bars = [Bar(one.name, one.share, one.low, one.high, f"n {one.n:,}", 2) for one in claims]
    return bar_chart(
        f"own-{what}",
        claims_title(what, claims),
        bars,
        "how firm the rating was" if what == "firm" else "how sure they said they were",
        Axis("same side as most others", low=0, high=1),
        description="Of the answers that can be set against what most others chose, how many are "
        "on their side, by what the answer claimed, with Wilson's 95% interval. Whoever uses the "
        "scale as it is meant is borne out more often where they claim more.",
        csv_url=csv_url,
    )


def claims_title(what: str, claims: Sequence[Claim]) -> str:
    """Whether more was borne out where most was claimed than where least was."""
    known = [one for one in claims if one.share is not None]
    if len(known) < 2:
        return f"Every answer was equally {what}, so it says nothing more"
    least, most = known[0], known[-1]
    sentence = (
        f"Most others agree with {percent(least.share)} of the least {what} answers and with "
        f"{percent(most.share)} of the most {what}"
    )
    is_apart = (least.high or 0) < (most.low or 0) or (most.high or 0) < (least.low or 0)
    return sentence if is_apart else f"{sentence}, which chance may do"
