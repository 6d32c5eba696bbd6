"""One picture of the product's point: what the reward model thinks, and what is true."""

from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 860, 430
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 78, 52


@dataclass(frozen=True)
class Curve:
    """A line of (step, value) points with its name; `is_dashed` tells it apart without colour."""

    name: str
    points: list[tuple[float, float]]
    colour: str
    is_dashed: bool = False


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About `n` round numbers between `low` and `high`."""
    span = max(high - low, 1e-9)
    raw = span / n
    size = 10.0 ** len(str(int(raw))) / 10 if raw >= 1 else 10.0 ** -len(str(int(1 / raw)))
    step = next(size * k for k in (1, 2, 2.5, 5, 10, 20) if size * k >= raw)
    first = int(low / step) - 1
    marks = [round((first + i) * step, 10) for i in range(n * 4 + 4)]
    return [mark for mark in marks if low <= mark <= high]


def draw(title: str, subtitle: str, curves: list[Curve], x_name: str = "PPO step") -> str:
    """An SVG of the curves on one pair of axes, readable in black and white.

    Raises ValueError when there is no point at all.
    """
    values = [y for curve in curves for _, y in curve.points]
    steps = [x for curve in curves for x, _ in curve.points]
    if not values:
        raise ValueError("A picture needs at least one point.")
    pad = 0.06 * (max(values) - min(values)) or 1.0
    low, high = min(values) - pad, max(values) + pad
    first = min(steps)
    last = max(first + 1, *steps)

    def x(step: float) -> float:
        return LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_frame(title, subtitle, x_name)]
    parts += [_level(mark, y(mark)) for mark in ticks(low, high)]
    parts += [
        f'<text x="{x(mark):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{mark:g}</text>'
        for mark in ticks(first, last, 8)
    ]
    ends = _spread([y(curve.points[-1][1]) for curve in curves if curve.points])
    for curve, end in zip([c for c in curves if c.points], ends, strict=True):
        parts.append(_line(curve, [(x(a), y(b)) for a, b in curve.points], end))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _frame(title: str, subtitle: str, x_name: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="#3c3d42">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<text x="{LEFT}" y="30" font-size="18" font-weight="600" fill="#1c1d20">'
        f"{escape(title)}</text>"
        f'<text x="{LEFT}" y="52">{escape(subtitle)}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{escape(x_name)}</text>'
    )


def _level(mark: float, height: float) -> str:
    label = f"{mark:g}".replace("-", "−")
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}" '
        f'stroke="#dddcd8"/><text x="{LEFT - 8}" y="{height + 4:.1f}" '
        f'text-anchor="end">{label}</text>'
    )


def _line(curve: Curve, points: list[tuple[float, float]], label_height: float) -> str:
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    dash = ' stroke-dasharray="7 5"' if curve.is_dashed else ""
    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{curve.colour}"/>' for a, b in points
    )
    return (
        f'<polyline points="{path}" fill="none" stroke="{curve.colour}" '
        f'stroke-width="2.5"{dash}/>{dots}'
        f'<text x="{points[-1][0] + 10:.1f}" y="{label_height + 4:.1f}" fill="{curve.colour}" '
        f'font-weight="600">{escape(curve.name)}</text>'
    )


def _spread(heights: list[float], apart: float = 16) -> list[float]:
    """Label heights, moved down where two would overlap."""
    placed: list[tuple[int, float]] = []
    for index, height in sorted(enumerate(heights), key=lambda one: one[1]):
        above = placed[-1][1] if placed else float("-inf")
        placed.append((index, max(height, above + apart)))
    return [height for _, height in sorted(placed)]
