"""Real processes of ours for the tests, and a look at what they leave behind."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from app.launch import Identity, command

HOLD_SERVER = Path(__file__).with_name("hold_server.py")


@dataclass
class Holder:
    process: subprocess.Popen[str]
    server_pid: int
    url: str


@contextlib.contextmanager
def holding_server(
    folder: Path, *options: str, identity: Identity | None = None
) -> Iterator[Holder]:
    """Another process that runs a server on the folder; killed at the end if it still lives."""
    argv = command([sys.executable, str(HOLD_SERVER), str(folder), *options], identity=identity)
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        try:
            assert process.stdout is not None
            pid, _, url = process.stdout.readline().strip().partition(" ")
            assert pid.isdigit(), f"{pid} {url}"
            yield Holder(process, int(pid), url)
        finally:
            process.kill()


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True)


def eventually(is_so: Callable[[], bool], seconds: float = 10) -> bool:
    give_up_at = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.02)
    return True


def processes_on(folder: Path) -> list[int]:
    """Live processes whose command line or working folder names the folder (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                where = str((entry / "cwd").readlink()) if words else ""
                if words and (f"{folder}/" in words or where.startswith(f"{folder}/")):
                    found.append(int(entry.name))
    return found
