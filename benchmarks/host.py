"""The real application in two processes, and what processes cost by /proc (Linux only)."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from app.settings import REPOSITORY

TICKS = os.sysconf("SC_CLK_TCK")
WORKERS = 2


class Web:
    """`uvicorn --workers 2`, as a user runs it; ends with the block."""

    def __init__(self, url: str, folder: Path) -> None:
        self._environment = {**os.environ, "DATABASE_URL": url, "PREFLOOP_DATA": str(folder)}
        self._environment["PYTHONPATH"] = str(REPOSITORY)
        self._log = folder / "web.log"
        self.port = _free_port()
        self.start()

    def start(self) -> None:
        command = (
            sys.executable, "-m", "uvicorn", "app.main:serve_app", "--factory",
            "--workers", str(WORKERS), "--port", str(self.port), "--no-access-log",
            "--no-server-header",
        )  # fmt: skip
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL to every one of its processes at once."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> "Web":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def _wait(self) -> None:
        for _ in range(1800):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request("GET", "/healthz")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            if self._process.poll() is not None:
                raise RuntimeError(self._log.read_text("utf-8"))
            time.sleep(0.1)
        raise RuntimeError("The server did not answer within three minutes.")


def tree(root: int) -> set[int]:
    """A process and all that descends from it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            parents[int(folder.name)] = int(fields[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def cpu_seconds(pids: set[int]) -> float:
    """Processor time of these processes and of their ended children."""
    return sum(sum(int(n) for n in fields[11:15]) for pid in pids if (fields := _stat(pid))) / TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, …; see proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
