"""Tables as files that a spreadsheet opens."""

import csv
import io
from collections.abc import Iterable


def as_csv(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table as CSV. A cell that a spreadsheet would run as a formula gets an apostrophe first."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(head)
    writer.writerows([[_cell(one) for one in row] for row in rows])
    return stream.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value
