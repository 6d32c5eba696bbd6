"""The shapes of a chart as SVG: axes, lines, bands, dots and labels.

Only presentation attributes and class names: the content security policy allows no inline style.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from markupsafe import Markup, escape

from app.charts.scales import Scale, format_number, known, segments, thin

LETTER = 6.9  # the mean width of a letter in drawing units, at the size that charts.css sets
LINE_HEIGHT = 16


class Dash(StrEnum):
    """How a line is drawn, so that a chart reads in black and white."""

    SOLID = ""
    DASHED = "7 4"
    DOTTED = "1.5 4"


def tag(name: str, *inside: str | Markup, **attributes: object) -> Markup:
    """An element with escaped attributes; `class_` and `stroke_width` lose and gain a dash."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value not in (None, "")
    )
    body = "".join(str(escape(one)) for one in inside)
    return Markup(f"<{name}{words}>{body}</{name}>")  # noqa: S704  (all parts are escaped above)


def join(parts: Sequence[Markup]) -> Markup:
    return Markup("").join(parts)


def shorten(text: str, n_letters: int) -> str:
    return text if len(text) <= n_letters else text[: max(1, n_letters - 1)].rstrip() + "…"


@dataclass(frozen=True)
class Plot:
    """The area inside the axes, and the two scales that lead into it."""

    x: Scale
    y: Scale

    @property
    def left(self) -> float:
        return self.x.start

    @property
    def right(self) -> float:
        return self.x.end

    @property
    def top(self) -> float:
        return self.y.end

    @property
    def bottom(self) -> float:
        return self.y.start


def text(x: float, y: float, words: str, *, anchor: str = "start", class_: str = "") -> Markup:
    return tag("text", words, x=x, y=y, text_anchor=anchor, class_=class_, fill="currentColor")


def axes(plot: Plot, x_label: str, y_label: str) -> Markup:
    """Grid lines at the y ticks, ticks below, and both labels: y above its axis, x at its end."""
    parts = []
    for tick in plot.y.ticks:
        y = plot.y(tick)
        parts.append(_line((plot.left, y), (plot.right, y), "grid"))
        parts.append(text(plot.left - 6, y + 4, plot.y.label(tick), anchor="end", class_="tick"))
    for tick in plot.x.ticks:
        x = plot.x(tick)
        parts.append(_line((x, plot.bottom), (x, plot.bottom + 4), "axis"))
        parts.append(text(x, plot.bottom + 18, plot.x.label(tick), anchor="middle", class_="tick"))
    parts.append(_line((plot.left, plot.bottom), (plot.right, plot.bottom), "axis"))
    if y_label:
        parts.append(text(0, 13, y_label, class_="axis-label"))
    parts.append(text(plot.right, plot.bottom + 36, x_label, anchor="end", class_="axis-label"))
    return join(parts)


def _line(
    start: tuple[float, float], end: tuple[float, float], class_: str, dash: str = ""
) -> Markup:
    ends = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
    return tag("line", **ends, class_=class_, stroke="currentColor", stroke_dasharray=dash)


def guide(plot: Plot, value: float) -> Markup:
    """A level worth knowing (chance, a budget): a thin dotted line."""
    y = plot.y(value)
    return _line((plot.left, y), (plot.right, y), "guide", str(Dash.DOTTED))


def guide_label(
    plot: Plot, value: float, label: str, points: Sequence[tuple[float, float | None]]
) -> Markup:
    """A level's name on its line, at the end and on the side where least of `points` is."""
    y, width = plot.y(value), len(label) * LETTER
    places = [
        (end, below)
        for end in ("end", "start")
        for below in (-5.0, 14.0)
        if plot.top < y + below < plot.bottom
    ] or [("end", -5.0)]

    def n_covered(place: tuple[str, float]) -> int:
        end, below = place
        left = plot.right - 4 - width if end == "end" else plot.left + 4
        spots = [(plot.x(x), plot.y(v)) for x, v in points if known(v) for v in [float(v or 0)]]
        return sum(left <= x <= left + width and abs(y + below - 4 - at) < 9 for x, at in spots)

    end, below = min(places, key=n_covered)
    x = plot.right - 4 if end == "end" else plot.left + 4
    return text(x, y + below, label, anchor=end, class_="guide-label")


def path(plot: Plot, run: Sequence[tuple[float, float]], *, is_step: bool) -> str:
    """The `d` of one unbroken run of points; a step chart holds each value until the next."""
    spots = [(plot.x(x), plot.y(y)) for x, y in run]
    words = [f"M{spots[0][0]:g} {spots[0][1]:g}"]
    for x, y in spots[1:]:
        words.append(f"H{x:g}V{y:g}" if is_step else f"L{x:g} {y:g}")
    return "".join(words)


def curve(
    plot: Plot,
    points: Sequence[tuple[float, float | None]],
    *,
    class_: str,
    dash: Dash = Dash.SOLID,
    is_step: bool = False,
) -> Markup:
    """A line with its gaps left open; a point alone between two gaps is a dot."""
    n_columns = max(1, int(plot.right - plot.left))
    parts = []
    for run in segments(points):
        if len(run) == 1:
            parts.append(dot(plot, *run[0], class_=class_))
            continue
        d = path(plot, thin(run, n_columns), is_step=is_step)
        line = {"stroke": "currentColor", "stroke_width": 2, "stroke_linejoin": "round"}
        looks = {"class_": f"curve {class_}", "fill": "none", "stroke_dasharray": str(dash)}
        parts.append(tag("path", d=d, **line, **looks))
    return join(parts)


def dot(plot: Plot, x: float, y: float, *, class_: str, words: str = "") -> Markup:
    title = [tag("title", words)] if words else []
    place = {"cx": plot.x(x), "cy": plot.y(y), "r": 3.5}
    return tag("circle", *title, **place, class_=f"dot {class_}", fill="currentColor")


def band(
    plot: Plot, limits: Sequence[tuple[float, float | None, float | None]], *, class_: str
) -> Markup:
    """The area between a lower and an upper limit; where either is missing it is left open."""
    n_columns = max(1, int(plot.right - plot.left) // 2)
    lows = segments([(x, low if high is not None else None) for x, low, high in limits])
    highs = segments([(x, high if low is not None else None) for x, low, high in limits])
    parts = []
    for below, above in zip(lows, highs, strict=False):
        edge = thin(above, n_columns) + thin(below, n_columns)[::-1]
        corners = " ".join(f"{plot.x(x):g},{plot.y(y):g}" for x, y in edge)
        parts.append(tag("polygon", points=corners, class_=f"band {class_}", fill="currentColor"))
    return join(parts)


def mark(scale: Scale, y: float, value: float | None, words: str) -> Markup:
    """A second value of a row, as an upright stroke with a diamond; nothing where it is missing."""
    if value is None:
        return Markup("")
    x = scale(value)
    title = tag("title", f"{words} {format_number(value, 3)}")
    d = f"M{x:g} {y - 12:g}l4 4-4 4-4-4zM{x:g} {y - 4:g}V{y + 11:g}"
    return tag("path", title, d=d, class_="bar-mark", stroke="currentColor", fill="currentColor")


def whisker(scale: Scale, y: float, low: float, high: float) -> Markup:
    """A horizontal interval: a line from low to high with two short ends."""
    left, right = scale(low), scale(high)
    return join(
        [
            _line((left, y), (right, y), "whisker"),
            _line((left, y - 4), (left, y + 4), "whisker"),
            _line((right, y - 4), (right, y + 4), "whisker"),
        ]
    )


def end_labels(plot: Plot, ends: Sequence[tuple[float, str, str]], n: int) -> Markup:
    """Names beside the last points, pushed apart so that none covers another.

    `ends` holds (height in drawing units, name, class) of each line; names keep `n` letters.
    """
    placed: list[tuple[float, str, str]] = []
    for y, name, class_ in sorted(ends):
        floor = placed[-1][0] + LINE_HEIGHT if placed else plot.top + 4
        placed.append((max(y, floor), name, class_))
    overflow = max(0.0, placed[-1][0] - plot.bottom) if placed else 0.0
    return join(
        [
            text(plot.right + 8, y + 4 - overflow, shorten(name, n), class_=f"name {class_}")
            for y, name, class_ in placed
        ]
    )


def spoken(x_name: str, x: float, name: str, value: float | None) -> str:
    """What a point says when asked: "step 12: score 0.41"."""
    return f"{x_name} {format_number(x, 0 if x == int(x) else 2)}: {name} {format_number(value)}"
