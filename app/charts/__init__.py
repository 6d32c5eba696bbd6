"""Charts as pure functions from data to markup, drawn on the server.

Each is a figure with a sentence for a title, drawn for a wide and for a narrow page (charts.css
shows the one that fits), with the numbers behind it in a table and, where given, as CSV.
"""

from app.charts.figures import bar_chart, line_chart, scatter_chart
from app.charts.marks import Dash
from app.charts.parts import Axis, Bar, Guide, Series

__all__ = [
    "Axis",
    "Bar",
    "Dash",
    "Guide",
    "Series",
    "bar_chart",
    "line_chart",
    "scatter_chart",
]
