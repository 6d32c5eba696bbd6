"""How a stage tells what it does: a bar for people, JSON lines for the daemon, lists for tests."""

import json
import math
import sys
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from worker.errors import TrainerError


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

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def _write(self, event: str, **fields: Any) -> None:
        line = json.dumps({"event": event, **finite(fields)}, ensure_ascii=False, allow_nan=False)
        self.stream.write(line + "\n")
        self.stream.flush()

    def advance(self, done: int, total: int, message: str) -> None:
        self._write("progress", done=done, total=total, message=message)

    def metrics(self, step: int, values: dict[str, float]) -> None:
        self._write("metrics", step=step, values=values)

    def note(self, message: str) -> None:
        self._write("note", message=message)

    def result(self, report: dict[str, Any]) -> None:
        self._write("result", report=report)

    def error(self, message: str) -> None:
        self._write("error", message=message)


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
        return JsonProgress(sys.stdout)
    if kind == "bar":
        return BarProgress()
    if kind == "none":
        return SilentProgress()
    raise TrainerError(f"“{kind}” is no way to show progress. Use bar, json or none.")
