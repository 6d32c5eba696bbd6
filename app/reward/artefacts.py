"""What a run left on disk, as far as a page may show it: small text files of its own folder."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from app.errors import NotFound
from app.settings import get_settings

READABLE = {"manifest.json": "application/json", "README.md": "text/markdown"}
MOST_BYTES = 4 * 2**20


def find_folder(artefact: str) -> Path | None:
    """The folder of an artefact, named from the folder of runs; None if it is not there.

    A name that leads out of the data folder leads nowhere.
    """
    if not artefact:
        return None
    settings = get_settings()
    folder = (settings.runs_folder / artefact).resolve()
    is_inside = folder.is_relative_to(settings.data_folder)
    return folder if is_inside and folder.is_dir() else None


def read_text(artefact: str, name: str) -> str:
    """One of the READABLE files. Raises NotFound with what became of it."""
    folder = find_folder(artefact)
    if name not in READABLE or folder is None or not (folder / name).is_file():
        raise NotFound("This run has no such file, or its folder was moved away.")
    with (folder / name).open(encoding="utf-8", errors="replace") as stream:
        return stream.read(MOST_BYTES)


def read_manifest(artefact: str) -> dict[str, Any]:
    """The manifest of a finished artefact; empty where it is missing or broken."""
    try:
        found = json.loads(read_text(artefact, "manifest.json"))
    except (NotFound, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_json_lines(path: Path, limit: int) -> Iterator[dict[str, Any]]:
    """At most `limit` objects of a JSON lines file; a torn or broken line is left out."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as stream:
        for _, line in zip(range(limit), stream, strict=False):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found


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
