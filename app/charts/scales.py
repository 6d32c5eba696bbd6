"""From numbers to positions: round ticks, number formats, gaps, and thinning that keeps peaks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float | None]
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


def known(value: float | None) -> bool:
    """True for a number that can be drawn: neither None nor NaN nor infinite."""
    return value is not None and math.isfinite(value)


@dataclass(frozen=True)
class Scale:
    """A linear map from [low, high] to [start, end] in drawing units, with its round ticks."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def label(self, tick: float) -> str:
        """The tick in words, with as many decimals as the distance between ticks needs."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else abs(tick) or 1.0
        return format_number(tick, decimals_of(step))


def decimals_of(step: float) -> int:
    """The fewest decimals that show a step exactly: 0.25 needs 2, 20 needs none."""
    for decimals in range(9):
        if math.isclose(round(step, decimals), step, rel_tol=1e-9):
            return decimals
    return 9


def format_number(value: float | None, decimals: int = 3) -> str:
    """A number for people, with a true minus sign; a gap is "undefined"."""
    if value is None or not math.isfinite(value):
        return "undefined"
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.1f} M".replace(".0 M", " M").replace("-", "−")
    text = f"{value:,.{decimals}f}".replace("-", "−")
    is_zero = not text.strip("−0.,")
    return text.lstrip("−") if is_zero else text


def round_step(span: float, n: int, *, is_whole: bool = False) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that cuts `span` into at most `n` parts."""
    raw = span / max(n, 1)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(one * magnitude for one in _ROUND if one * magnitude >= raw * (1 - 1e-9))
    return max(1.0, math.ceil(step)) if is_whole else step


def make_scale(
    values: Sequence[float],
    start: float,
    end: float,
    *,
    n_ticks: int = 5,
    low: float | None = None,
    high: float | None = None,
    is_whole: bool = False,
) -> Scale:
    """A scale over finite `values` that ends at round ticks, or at `low` and `high` where given.

    A limit that would cut values off is ignored. Values that are all equal get room above and
    below; no values at all get 0 to 1.
    """
    low = None if low is None or min(values, default=low) < low else low
    high = None if high is None or max(values, default=high) > high else high
    bottom = min(values, default=0.0) if low is None else low
    top = max(values, default=1.0) if high is None else high
    if bottom == top:
        room = 1.0 if is_whole else (abs(bottom) * 0.1 or 1.0)
        bottom = bottom - room if low is None else bottom
        top = top + room
    step = round_step(top - bottom, n_ticks, is_whole=is_whole)
    first, last = math.floor(bottom / step + 1e-9), math.ceil(top / step - 1e-9)
    ticks = tuple(round(one * step, 12) for one in range(first, last + 1))
    bottom = ticks[0] if low is None else low
    top = ticks[-1] if high is None else high
    return Scale(bottom, top, start, end, tuple(t for t in ticks if bottom <= t <= top))


def segments(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """Runs of drawable points; a gap (None, NaN, infinity) ends one and begins the next."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None and math.isfinite(y) and math.isfinite(x):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def thin(points: Sequence[tuple[float, float]], n_columns: int) -> list[tuple[float, float]]:
    """At most four points a column (first, lowest, highest, last), so that no peak is lost."""
    if len(points) <= 4 * n_columns:
        return list(points)
    first, last = points[0][0], points[-1][0]
    width = (last - first) / n_columns or 1.0
    columns: dict[int, list[tuple[float, float]]] = {}
    for point in points:
        columns.setdefault(min(n_columns - 1, int((point[0] - first) / width)), []).append(point)
    kept: list[tuple[float, float]] = []
    for column in columns.values():
        lowest = min(column, key=lambda point: point[1])
        highest = max(column, key=lambda point: point[1])
        chosen = {column[0], lowest, highest, column[-1]}
        kept.extend(point for point in dict.fromkeys(column) if point in chosen)
    return kept
