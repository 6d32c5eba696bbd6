"""What a chart is given, and what surrounds its drawing: title, table, link to the CSV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.charts.marks import Dash, join, tag
from app.charts.scales import Point, format_number

TABLE_ROWS = 200


@dataclass(frozen=True)
class Axis:
    """A name, a unit in words, and limits where the data should not choose them."""

    name: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    is_whole: bool = False

    @property
    def label(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class Series:
    """One line or cloud: (x, y) with None or NaN for a gap, and (x, low, high) for its band."""

    name: str
    points: Sequence[Point]
    band: Sequence[tuple[float, float | None, float | None]] = ()
    dash: Dash = Dash.SOLID
    is_step: bool = False


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart; `note` stands behind the value, as in "n = 120".

    `mark` is a second value to hold the bar against; the chart says what it is.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    decimals: int = 3
    mark: float | None = None


@dataclass(frozen=True)
class Guide:
    """A level worth knowing, such as chance or a baseline."""

    value: float
    name: str


@dataclass(frozen=True)
class Frame:
    """The two sizes that a chart is drawn in, in drawing units."""

    name: str
    width: int
    height: int
    n_x_ticks: int
    label_letters: int


NARROW = Frame("narrow", 350, 250, 4, 13)
WIDE = Frame("wide", 620, 280, 8, 20)


def figure(
    key: str,
    title: str,
    description: str,
    draw: Callable[[Frame], tuple[Markup, float]],
    *,
    table: Markup,
    csv_url: str = "",
) -> Markup:
    """The whole figure. `draw` returns a frame's shapes and their height; `key` is unique."""
    drawings = join([_svg(key, title, description, frame, draw) for frame in (WIDE, NARROW)])
    csv = [tag("a", "CSV", href=csv_url, class_="chart-csv")] if csv_url else []
    numbers = tag("details", tag("summary", "The numbers"), table, class_="chart-numbers", id=key)
    return tag(
        "figure",
        tag("figcaption", title, title=description),
        drawings,
        tag("div", numbers, *csv, class_="chart-foot"),
        class_="chart",
    )


def _svg(
    key: str,
    title: str,
    description: str,
    frame: Frame,
    draw: Callable[[Frame], tuple[Markup, float]],
) -> Markup:
    inside, height = draw(frame)
    name, about = f"{key}-{frame.name}-title", f"{key}-{frame.name}-about"
    return tag(
        "svg",
        tag("title", title, id=name),
        tag("desc", description or "The numbers stand in the table below.", id=about),
        inside,
        class_=f"chart-{frame.name}",
        viewBox=f"0 0 {frame.width} {height:g}",
        role="img",
        aria_labelledby=name,
        aria_describedby=about,
        font_size="13",
        font_family="system-ui, sans-serif",
    )


def nothing(title: str, sentence: str) -> Markup:
    """A chart without a single number: its title, and why it is empty."""
    return tag(
        "figure",
        tag("figcaption", title),
        tag("p", sentence, class_="chart-empty"),
        class_="chart",
    )


def series_table(title: str, x: Axis, series: Sequence[Series]) -> Markup:
    """One row an x, one column a series; long runs show every k-th row and say so."""
    values = [dict(one.points) for one in series]
    steps = sorted({x for one in values for x in one})
    every = -(-len(steps) // TABLE_ROWS) or 1
    shown = steps[::every] + ([steps[-1]] if steps and (len(steps) - 1) % every else [])
    head = [x.name, *(one.name for one in series)]
    rows = [
        [
            format_number(at, 0 if at == int(at) else 3),
            *(format_number(one[at], 4) if at in one else "" for one in values),
        ]
        for at in shown
    ]
    note = f" (every {every}th of {len(steps):,} rows)" if every > 1 else ""
    return table(title + note, head, rows)


def bar_table(title: str, names: str, axis: Axis, bars: Sequence[Bar], marks: str) -> Markup:
    has_limits = any(bar.low is not None for bar in bars)
    head = [names, axis.label, *(["low", "high"] if has_limits else [])]
    head += [*([marks] if marks else []), "note"]
    rows = [
        [
            bar.name,
            format_number(bar.value, bar.decimals),
            *([format_number(bar.low), format_number(bar.high)] if has_limits else []),
            *([format_number(bar.mark, bar.decimals)] if marks else []),
            bar.note,
        ]
        for bar in bars
    ]
    return table(title, head, rows)


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A table in a box of its own that can be scrolled by keyboard."""
    first = tag("tr", *(tag("th", one, scope="col", class_="number") for one in head))
    body = [tag("tr", *(tag("td", one, class_="number") for one in row)) for row in rows]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", title, class_="visually-hidden"),
            tag("thead", first),
            tag("tbody", *body),
        ),
        class_="table-scroll chart-table",
        tabindex="0",
        role="region",
        aria_label=f"Numbers: {title}",
    )
