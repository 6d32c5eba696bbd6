"""One run of one stage as a child process that speaks JSON lines, and cannot outlive its worker.

The child holds a lock on its run's folder for as long as it lives, however it was orphaned. A
worker that takes a run over kills whatever still holds that lock: two trainers in one folder
would overwrite each other's checkpoints.
"""

import contextlib
import fcntl
import json
import math
import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from app.children import has_ended, kill_group
from app.errors import Conflict
from app.launch import command
from app.logs import last_lines, size
from app.settings import REPOSITORY
from worker.progress import JOURNAL

LOG, LOCK, KEPT = "trainer.log", "trainer.lock", "metrics.jsonl"
MOST_KEPT = 5_000  # steps
SECONDS_TO_DIE = 10.0
# OpenMP threads that spin while they wait turned a 7-second job into 77 on a busy machine.
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "TOKENIZERS_PARALLELISM": "false"}
# The trainer reads files and writes files; what leads to the database is none of its business.
WITHHELD = ("DATABASE_URL",)
LONGEST_LINE = 4 * 2**20


@dataclass
class Heard:
    """What a child has said so far. The reading thread writes it, the worker reads it."""

    done: int = 0
    total: int = 0
    message: str = ""
    error: str = ""
    result: dict[str, Any] | None = None
    # A deque, because one thread appends while the other takes.
    metrics: deque[tuple[int, dict[str, float | None]]] = field(default_factory=deque)

    @property
    def is_over(self) -> bool:
        """Whether it came to a result or refused."""
        return self.result is not None or bool(self.error)

    def take(self, line: bytes) -> bool:
        """Take in one line; False where it is not an event, whatever it is."""
        try:
            event = json.loads(line)
            return isinstance(event, dict) and self._take_event(event)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False

    def _take_event(self, event: dict[str, Any]) -> bool:
        kind = event.get("event")
        if kind == "progress":
            done, total = int(event["done"]), int(event["total"])
            self.done, self.total, self.message = done, total, str(event["message"])
        elif kind == "metrics":
            values = {str(name): _number(value) for name, value in event["values"].items()}
            self.metrics.append((int(event["step"]), values))
        elif kind == "note":
            self.message = str(event["message"])
        elif kind == "error":
            self.error = str(event["message"])
        elif kind == "result":
            self.result = dict(event["report"])
        else:
            return False
        return True

    def hand_over_metrics(self) -> list[tuple[int, dict[str, float | None]]]:
        """The metrics heard since the last call."""
        return [self.metrics.popleft() for _ in range(len(self.metrics))]


def read_kept(path: Path) -> list[tuple[int, dict[str, float | None]]]:
    """The metrics of the last steps that earlier trainers kept in a folder, torn lines left out."""
    heard = Heard(metrics=deque(maxlen=MOST_KEPT))
    with contextlib.suppress(OSError), path.open("rb") as stream:
        for line in stream:
            heard.take(line)
    return heard.hand_over_metrics()


def _number(value: Any) -> float | None:
    number = None if value is None else float(value)
    return number if number is not None and math.isfinite(number) else None


class Child:
    """A running stage. Start it from the main thread (see app.launch).

    `kept` is what trainers before it measured: where a worker was killed, no row may hold it.
    `wake` is called from the reading thread when the child comes to a result, refuses, or closes
    its output. One that `listens` is asked line by line, and ends when nobody is there to ask.
    Raises Conflict when a trainer on another machine holds the folder.
    """

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        wake: Callable[[], None],
        *,
        listens: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.heard = Heard()
        self.log = folder / LOG
        self._log_start = size(self.log)
        self._wake = wake
        lock = _lock_folder(folder)
        try:
            self.kept = read_kept(folder / KEPT)
            self._process = self._start(argv, lock, listens)
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{socket.gethostname()} {self._process.pid}".encode(), 0)
        finally:
            os.close(lock)
        self._reader = threading.Thread(target=self._read, name="trainer output", daemon=True)
        self._reader.start()

    def _start(self, argv: Sequence[str], lock: int, listens: bool) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if name not in WITHHELD}
        path = os.pathsep.join(filter(None, (str(REPOSITORY), kept.get("PYTHONPATH"))))
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command(argv, death_signal=signal.SIGKILL),
                stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=PATIENT
                | kept
                | {
                    "PYTHONPATH": path,
                    "PYTHONUNBUFFERED": "1",
                    JOURNAL: str(self.log.with_name(KEPT)),
                },
                process_group=0,
                pass_fds=(lock,),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether it is over. It is not reaped yet, so nobody else can have its number."""
        if not self._reader.is_alive():
            # Its output is closed, so the end is a matter of moments.
            self._wait_for_the_end(seconds=0.2)
        return has_ended(self._process)

    def ask(self, line: str) -> None:
        """Send a line to a child that listens; what it says from now on is heard anew.

        Raises OSError where it is over.
        """
        self.heard = Heard()
        if self._process.stdin is not None:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def terminate(self) -> None:
        """Ask it to save and end."""
        if not has_ended(self._process):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it started, now."""
        kill_group(self._process)

    def finish(self) -> int:
        """Wait until it has ended and everything it said is heard; its status."""
        self._wait_for_the_end()
        self.kill()
        status = self._process.wait()
        self._reader.join(timeout=SECONDS_TO_DIE)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        return status

    def _wait_for_the_end(self, seconds: float = math.inf) -> None:
        give_up_at = time.monotonic() + seconds
        while not has_ended(self._process) and time.monotonic() < give_up_at:
            time.sleep(0.005)

    def obituary(self, status: int) -> str:
        """Why it ended without a result, as a sentence for people."""
        if self.heard.error:
            return self.heard.error
        if status == -signal.SIGKILL:
            return (
                "The trainer was killed by the system (SIGKILL). Most often the machine ran out of "
                "memory: use a smaller model or batch, or give the machine more memory."
            )
        if status < 0:
            return f"The trainer was ended by the signal {_signal_name(-status)}.{self._quote()}"
        if status == 0:
            return f"The trainer ended without a result.{self._quote()}"
        return f"The trainer ended with status {status}.{self._quote()}"

    def _quote(self) -> str:
        lines = last_lines(self.log, self._log_start, most=1)
        return f" Its last words: {lines[0].strip()[:500]}" if lines else " It said nothing."

    def _read(self) -> None:
        stream: IO[bytes] | None = self._process.stdout
        if stream is None:
            return
        with stream, self.log.open("ab") as log:
            while line := stream.readline(LONGEST_LINE):
                if line.strip() and not self.heard.take(line):
                    log.write(line)
                    log.flush()
                elif self.heard.is_over:
                    self._wake()
        self._wake()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _lock_folder(folder: Path) -> int:
    """A descriptor that holds the folder's lock, after the end of whoever held it.

    Raises Conflict when that one runs on another machine or does not die.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    give_up_at = time.monotonic() + SECONDS_TO_DIE
    while not _try_lock(descriptor):
        if not _kill_holder(folder) or time.monotonic() > give_up_at:
            os.close(descriptor)
            raise Conflict(
                "A trainer that lost this run still works in its folder on another machine. "
                "Stop it there, then try again."
            )
        time.sleep(0.05)
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kill_holder(folder: Path) -> bool:
    """Kill the orphaned trainer named in the lock; False where it is out of reach.

    The lock is held, so the number in it is still that process's.
    """
    host, _, number = (folder / LOCK).read_text("utf-8").partition(" ")
    if number and (host != socket.gethostname() or not number.isdigit()):
        return False
    if number:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(int(number), signal.SIGKILL)
    return True
