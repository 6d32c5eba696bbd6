"""How a stage tells what it does: a bar for people, JSON lines for the daemon, lists for tests."""

import contextlib
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from worker.errors import TrainerError

JOURNAL = "PREFLOOP_JOURNAL"  # of the environment: where a trainer keeps its metrics


class Progress(Protocol):
    """What every stage reports to."""

    def advance(self, done: int, total: int, message: str) -> None: ...

    def metrics(self, step: int, values: dict[str, float]) -> None: ...

    def note(self, message: str) -> None: ...

    def result(self, report: dict[str, Any]) -> None: ...


def finite(value: Any) -> Any:
    """The value with every NaN and infinity, at any depth, as None: JSON has no such numbers."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class JsonProgress:
    """One JSON object a line, flushed, so that a reader sees each event as it happens."""

    def __init__(self, stream: TextIO, journal: Path | None = None) -> None:
        """With a `journal`, metrics are kept in that file as well, before they are told: who reads
        the stream may be killed with what was not passed on."""
        self.stream = stream
        self.journal = journal
        self._gap = "\n"  # ends a line that an earlier trainer was killed within

    def _write(self, event: str, **fields: Any) -> None:
        self._tell(_line(event, fields))

    def _tell(self, line: str) -> None:
        self.stream.write(line)
        self.stream.flush()

    def advance(self, done: int, total: int, message: str) -> None:
        self._write("progress", done=done, total=total, message=message)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        line = _line("metrics", {"step": step, "values": values})
        if self.journal is not None:
            # A full disk stops a run at its next checkpoint, which says so.
            with contextlib.suppress(OSError), self.journal.open("a", encoding="utf-8") as kept:
                kept.write(self._gap + line)
                self._gap = ""
        self._tell(line)

    def note(self, message: str) -> None:
        self._write("note", message=message)

    def result(self, report: dict[str, Any]) -> None:
        self._write("result", report=report)

    def error(self, message: str) -> None:
        self._write("error", message=message)


def _line(event: str, fields: dict[str, Any]) -> str:
    return (
        json.dumps({"event": event, **finite(fields)}, ensure_ascii=False, allow_nan=False) + "\n"
    )


class BarProgress:
    """A bar on standard error with the newest metrics beside it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.console = Console(stderr=True)
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[latest]}"),
            console=self.console,
        )
        self.task: Any = None
        self.latest = ""

    def advance(self, done: int, total: int, message: str) -> None:
        if self.task is None:
            self.bar.start()
            self.task = self.bar.add_task(message, total=total, latest="")
        self.bar.update(
            self.task, completed=done, total=total, description=message, latest=self.latest
        )

    def metrics(self, step: int, values: dict[str, float]) -> None:  # noqa: ARG002
        self.latest = "  ".join(f"{name} {value:.3g}" for name, value in list(values.items())[:4])

    def note(self, message: str) -> None:
        self.console.print(message, markup=False, highlight=False)

    def result(self, report: dict[str, Any]) -> None:  # noqa: ARG002
        self.bar.stop()


class SilentProgress:
    """Says nothing and remembers everything."""

    def __init__(self) -> None:
        self.advances: list[tuple[int, int, str]] = []
        self.steps: list[tuple[int, dict[str, float]]] = []
        self.notes: list[str] = []
        self.results: list[dict[str, Any]] = []

    def advance(self, done: int, total: int, message: str) -> None:
        self.advances.append((done, total, message))

    def metrics(self, step: int, values: dict[str, float]) -> None:
        self.steps.append((step, dict(values)))

    def note(self, message: str) -> None:
        self.notes.append(message)

    def result(self, report: dict[str, Any]) -> None:
        self.results.append(report)


def make_progress(kind: str) -> Progress:
    """`bar` (standard error), `json` (lines on standard output) or `none`."""
    if kind == "json":
        journal = os.environ.get(JOURNAL)
        return JsonProgress(sys.stdout, Path(journal) if journal else None)
    if kind == "bar":
        return BarProgress()
    if kind == "none":
        return SilentProgress()
    raise TrainerError(f"“{kind}” is no way to show progress. Use bar, json or none.")
