"""Child processes that are kept alive, and ended in good order."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.launch import command
from app.logs import last_lines, size

Say = Callable[[str], None]


@dataclass(frozen=True)
class Child:
    """A program to keep running. `argv[0]` is an absolute path; `env` is added to our own."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None
    seconds_to_stop: float = 10


class Keeper:
    """Keeps one child running: starts it again when it ends, later each time.

    Every child leads a process group of its own, so that Ctrl-C in the terminal reaches us alone
    and that nothing it started survives it. Start it from the main thread (see app.launch).
    """

    def __init__(
        self, child: Child, say: Say, *, first_pause: float = 1, longest_pause: float = 60
    ) -> None:
        self.child = child
        self._say = say
        self._first_pause = self._pause = first_pause
        self._longest_pause = longest_pause
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_again_at = 0.0
        self.log_start = 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and not has_ended(self._process)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        log = self.child.log
        self.log_start = size(log) if log else 0
        self._started_at = time.monotonic()
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(log.open("ab")) if log else None
            self._process = subprocess.Popen(
                command(self.child.argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | self.child.env,
                process_group=0,
            )

    def tend(self) -> None:
        """Start the child again if it has ended and its pause is over; never blocks."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._start_again_at:
                self.start()
        elif has_ended(self._process):
            if now - self._started_at > self._longest_pause:
                self._pause = self._first_pause
            self._say(self._obituary(self._bury(self._process)))
            self._process = None
            self._start_again_at = now + self._pause
            self._pause = min(2 * self._pause, self._longest_pause)

    def stop(self, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """End the child: SIGTERM, and SIGKILL when its time is over or we are hurried."""
        process = self._process
        if process is None:
            return
        give_up_at = time.monotonic() + self.child.seconds_to_stop
        if not has_ended(process):
            process.send_signal(signal.SIGTERM)
        while not has_ended(process) and not is_hurried() and time.monotonic() < give_up_at:
            time.sleep(0.02)
        self._bury(process)
        self._process = None

    def _bury(self, process: subprocess.Popen[bytes]) -> int:
        """Kill what is left of the group and return the child's status.

        In this order: while the child is not reaped, nobody else can have its number.
        """
        kill_group(process)
        return process.wait()

    def _obituary(self, status: int) -> str:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else "ended"
        detail = f" with status {status}" if status > 0 else ""
        lines = last_lines(self.child.log, self.log_start, most=1) if self.child.log else []
        words = f" ({lines[0].strip()})" if lines else ""
        return f"The {self.child.name} {how}{detail}{words}; it starts again in {self._pause:g} s."


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it is over, without reaping it where the system can tell.

    Before Python 3.13 macOS cannot. There it is reaped, and its group killed at once: its number
    is free from then on.
    """
    if process.returncode is not None:
        return True
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    if process.poll() is None:
        return False
    _kill_group_of(process)
    return True


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill it and all that it started; nothing where it is reaped, as another may be it by now."""
    if process.returncode is None:
        _kill_group_of(process)


def _kill_group_of(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
