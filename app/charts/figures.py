"""The kinds of chart: lines and steps, clouds of dots, and bars with intervals."""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from app.charts.marks import (
    LETTER,
    Plot,
    axes,
    band,
    curve,
    dot,
    end_labels,
    guide,
    guide_label,
    join,
    mark,
    shorten,
    spoken,
    tag,
    text,
    whisker,
)
from app.charts.parts import (
    Axis,
    Bar,
    Frame,
    Guide,
    Series,
    bar_table,
    figure,
    nothing,
    series_table,
)
from app.charts.scales import Scale, format_number, known, make_scale

NO_NUMBERS = "No numbers yet."
DOTS_UP_TO = 24
_TOP, _BELOW, _ROW = 26, 42, 30


def line_chart(
    key: str,
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    description: str = "",
    guides: Sequence[Guide] = (),
    csv_url: str = "",
    empty: str = NO_NUMBERS,
) -> Markup:
    """Lines over x, each named at its end; `key` is unique on the page and names its ids."""

    def marks(plot: Plot) -> list[Markup]:
        parts = [band(plot, one.band, class_=f"series-{i}") for i, one in enumerate(series)]
        for index, one in enumerate(series):
            class_ = f"series-{index}"
            line = curve(plot, one.points, class_=class_, dash=one.dash, is_step=one.is_step)
            parts += [line, _dots(plot, one, class_, x)]
        return parts

    return _over_axes(
        key, title, series, (x, y), marks,
        description=description, guides=guides, csv_url=csv_url, empty=empty,
    )  # fmt: skip


def scatter_chart(
    key: str,
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    description: str = "",
    guides: Sequence[Guide] = (),
    csv_url: str = "",
    empty: str = NO_NUMBERS,
) -> Markup:
    """Clouds of dots; what a dot is stands in its tooltip and in the table."""

    def marks(plot: Plot) -> list[Markup]:
        return [
            _dots(plot, one, f"series-{index}", x, is_every=True)
            for index, one in enumerate(series)
        ]

    return _over_axes(
        key, title, series, (x, y), marks,
        description=description, guides=guides, csv_url=csv_url, empty=empty,
    )  # fmt: skip


def bar_chart(
    key: str,
    title: str,
    bars: Sequence[Bar],
    names: str,
    axis: Axis,
    *,
    marks: str = "",
    description: str = "",
    guides: Sequence[Guide] = (),
    csv_url: str = "",
    empty: str = NO_NUMBERS,
) -> Markup:
    """Horizontal bars from zero, one a row, with intervals; `names` says what a row is.

    `marks` says what the marks of the bars are, where they have some.
    """
    if not any(known(bar.value) for bar in bars):
        return nothing(title, empty)

    def draw(frame: Frame) -> tuple[Markup, float]:
        letters = min(frame.label_letters + 4, max(len(bar.name) for bar in bars))
        notes = max((len(_value(bar)) for bar in bars), default=0)
        left, right = letters * LETTER + 10, frame.width - notes * LETTER - 12
        bottom = float(_TOP + _ROW * len(bars))
        scale = _bar_scale(bars, axis, guides, ends=(left, right), n_ticks=frame.n_x_ticks - 1)
        rows = [_bar(scale, bar, _TOP + _ROW * (i + 0.5), left) for i, bar in enumerate(bars)]
        rows += [
            mark(scale, _TOP + _ROW * (i + 0.5), bar.mark, f"{marks}: {bar.name}")
            for i, bar in enumerate(bars)
        ]
        plot = Plot(scale, Scale(0.0, 1.0, bottom, _TOP, ()))
        levels = [_level(scale, one, bottom) for one in guides]
        return join([axes(plot, axis.label, ""), *rows, *levels]), bottom + _BELOW

    numbers = bar_table(title, names, axis, bars, marks)
    return figure(key, title, description, draw, table=numbers, csv_url=csv_url)


def _over_axes(
    key: str,
    title: str,
    series: Sequence[Series],
    axis_pair: tuple[Axis, Axis],
    marks: Callable[[Plot], list[Markup]],
    *,
    description: str,
    guides: Sequence[Guide],
    csv_url: str,
    empty: str,
) -> Markup:
    """Axes (x, y), guides and `marks`, with a name at the end of each of several series."""
    x, y = axis_pair
    if not any(known(value) for one in series for _, value in one.points):
        return nothing(title, empty)

    def draw(frame: Frame) -> tuple[Markup, float]:
        plot = _plot(frame, series, x, y, guides)
        parts = [axes(plot, x.label, y.label)]
        parts += [guide(plot, one.value) for one in guides]
        parts += marks(plot)
        points = [point for one in series for point in one.points]
        parts += [guide_label(plot, one.value, one.name, points) for one in guides]
        if len(series) > 1:
            parts.append(end_labels(plot, _ends(plot, series), frame.label_letters))
        return join(parts), frame.height

    numbers = series_table(title, x, series)
    return figure(key, title, description, draw, table=numbers, csv_url=csv_url)


def _plot(
    frame: Frame, series: Sequence[Series], x: Axis, y: Axis, guides: Sequence[Guide]
) -> Plot:
    at = [a for one in series for a, value in one.points if known(value) and known(a)]
    heights = [value for one in series for _, value in one.points if known(value)]
    limits = [v for one in series for _, *pair in one.band for v in pair if known(v)]
    levels = [one.value for one in guides]
    drawn = [float(v) for v in [*heights, *limits, *levels] if v is not None]
    bottom = frame.height - _BELOW
    up = make_scale(drawn, bottom, _TOP, n_ticks=5, low=y.low, high=y.high, is_whole=y.is_whole)
    left = max(len(up.label(tick)) for tick in up.ticks) * LETTER + 8
    longest = min(frame.label_letters, max(len(one.name) for one in series))
    right = frame.width - (longest * LETTER + 12 if len(series) > 1 else 12)
    along = make_scale(
        at,
        round(left, 1),
        round(right, 1),
        n_ticks=frame.n_x_ticks,
        is_whole=x.is_whole,
        low=_limit(x.low, min(at), at),
        high=_limit(x.high, max(at), at),
    )
    return Plot(along, up)


def _limit(wanted: float | None, found: float, at: Sequence[float]) -> float | None:
    """The x axis ends where the data ends, unless all of it stands at one place."""
    return wanted if wanted is not None or min(at) == max(at) else found


def _ends(plot: Plot, series: Sequence[Series]) -> list[tuple[float, str, str]]:
    ends = []
    for index, one in enumerate(series):
        heights = [value for _, value in one.points if value is not None and math.isfinite(value)]
        if heights:
            ends.append((plot.y(heights[-1]), one.name, f"series-{index}"))
    return ends


def _dots(plot: Plot, one: Series, class_: str, x: Axis, *, is_every: bool = False) -> Markup:
    spots = [(a, v) for a, v in one.points if v is not None and math.isfinite(v)]
    if len(spots) > DOTS_UP_TO and not is_every:
        return Markup("")
    return join(
        [dot(plot, a, v, class_=class_, words=spoken(x.name, a, one.name, v)) for a, v in spots]
    )


def _bar_scale(
    bars: Sequence[Bar],
    axis: Axis,
    guides: Sequence[Guide],
    *,
    ends: tuple[float, float],
    n_ticks: int,
) -> Scale:
    found = [v for bar in bars for v in (bar.value, bar.low, bar.high, bar.mark) if v is not None]
    values = [0.0, *(v for v in found if math.isfinite(v)), *(one.value for one in guides)]
    return make_scale(
        values, *ends, n_ticks=n_ticks, low=axis.low, high=axis.high, is_whole=axis.is_whole
    )


def _bar(scale: Scale, bar: Bar, y: float, left: float) -> Markup:
    n_letters = int((left - 4) / LETTER)
    parts = [text(left - 8, y + 4, shorten(bar.name, n_letters), anchor="end", class_="bar-name")]
    if bar.value is not None and math.isfinite(bar.value):
        zero, end = scale(min(max(0.0, scale.low), scale.high)), scale(bar.value)
        words = tag("title", f"{bar.name}: {_value(bar)}")
        place = {"x": min(zero, end), "y": y - 9, "width": round(abs(end - zero), 2)}
        parts.append(tag("rect", words, **place, height=18, class_="bar", fill="currentColor"))
        if bar.low is not None and bar.high is not None:
            parts.append(whisker(scale, y, bar.low, bar.high))
    parts.append(text(scale.end + 8, y + 4, _value(bar), class_="bar-value"))
    return join(parts)


def _value(bar: Bar) -> str:
    return " ".join(one for one in (format_number(bar.value, bar.decimals), bar.note) if one)


def _level(scale: Scale, one: Guide, bottom: float) -> Markup:
    x = scale(one.value)
    ends = {"x1": x, "y1": _TOP - 6, "x2": x, "y2": bottom}
    looks = {"class_": "guide", "stroke": "currentColor", "stroke_dasharray": "4 3"}
    line = tag("line", **ends, **looks)
    is_right = x > (scale.start + scale.end) / 2
    return line + text(x, 14, one.name, anchor="end" if is_right else "start", class_="guide-label")
