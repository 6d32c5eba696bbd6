"""The agreement of researchers and annotators as a chart. Pure: figures in, markup out."""

from markupsafe import Markup

from app.agree.charts import PUBLISHED
from app.agree.researchers import Researchers, Source
from app.charts import Axis, Dash, Guide, Series, line_chart

NAMES = {
    Source.OWN: "own answers",
    Source.GOLD: "gold items",
    Source.DECIDED: "decided pairs",
}
DASHES = {Source.OWN: Dash.SOLID, Source.GOLD: Dash.DASHED, Source.DECIDED: Dash.DOTTED}


def researcher_chart(found: Researchers, csv_url: str) -> Markup:
    series = []
    every = sorted({one.week for weeks in found.weeks.values() for one in weeks})
    number = {week: (week - every[0]).days // 7 + 1 for week in every}
    for source, weeks in found.weeks.items():
        if weeks:
            points = [(number[one.week], one.match.share) for one in weeks]
            band = [(number[one.week], one.match.low, one.match.high) for one in weeks]
            series.append(Series(NAMES[source], points, band, dash=DASHES[source]))
    # A line alone bears no name.
    where = f"on {series[0].name}, " if len(series) == 1 else ""
    return line_chart(
        "researchers-by-week",
        f"Researchers and annotators on the same side, {where}by week",
        series,
        Axis("week", is_whole=True),
        Axis("same side", low=0.4, high=1),
        guides=[Guide(PUBLISHED[0], "published: 0.63"), Guide(PUBLISHED[1], "published: 0.77")],
        description="How often an annotator chose the side that a researcher chose on the same "
        "pair, by the week of the annotator's answer. The shading is the 95% interval; others "
        "report 63 to 77%.",
        csv_url=csv_url,
        empty="No researcher and annotator have answered the same pair yet.",
    )
