"""What a run left on disk, as far as a page may show it: small text files of its own folder."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app import runs
from app.errors import NotFound
from app.settings import get_settings
from app.tables.runs import Algorithm, PolicyRun

READABLE = {
    "manifest.json": "application/json",
    "README.md": "text/markdown",
    "held_out.jsonl": "text/plain",
}
MOST_BYTES = 4 * 2**20


def find_folder(run: runs.Run) -> Path | None:
    """The folder of a run's artefact; None if it is not there, or not in the run's own folder.

    A base model has none: its artefact is a name, which people write into a project's settings.
    """
    if not run.artefact or (isinstance(run, PolicyRun) and run.algorithm is Algorithm.BASE):
        return None
    folder = (get_settings().runs_folder / run.artefact).resolve()
    is_own = folder.is_relative_to(runs.run_folder(run.id).resolve())
    return folder if is_own and folder.is_dir() else None


def read_text(run: runs.Run, name: str) -> str:
    """One of the READABLE files of a run. Raises NotFound with what became of it."""
    folder = find_folder(run)
    if name not in READABLE or folder is None or not (folder / name).is_file():
        raise NotFound("This run has no such file, or its folder was moved away.")
    with (folder / name).open(encoding="utf-8", errors="replace") as stream:
        return stream.read(MOST_BYTES)


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
