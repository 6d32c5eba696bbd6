"""One child kept alive by its keeper."""

import os
import signal
import sys
from pathlib import Path

import pytest

from app.children import Child, Keeper
from tests.postgres.processes import eventually

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True); time.sleep(60)"
)


def python(code: str, folder: Path, seconds_to_stop: float = 5) -> Child:
    return Child("clerk", (sys.executable, "-c", code), {}, folder / "clerk.log", seconds_to_stop)


@pytest.fixture(autouse=True, params=["waitid", "no waitid"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that can tell the end of a child without reaping it, and one that cannot."""
    if request.param == "no waitid":
        monkeypatch.delattr(os, "waitid")


def test_a_child_that_crashes_is_started_again_later_each_time_and_says_why(tmp_path: Path) -> None:
    said: list[str] = []
    child = python("raise SystemExit('no paper left')", tmp_path)
    keeper = Keeper(child, said.append, first_pause=0.01, longest_pause=10)
    keeper.start()

    def has_crashed_three_times() -> bool:
        keeper.tend()
        return len(said) == 3

    assert eventually(has_crashed_three_times)
    assert said == [
        f"The clerk ended with status 1 (no paper left); it starts again in {pause} s."
        for pause in ("0.01", "0.02", "0.04")
    ]


def test_a_killed_child_is_said_to_be_killed(tmp_path: Path) -> None:
    said: list[str] = []
    keeper = Keeper(python("import time; time.sleep(60)", tmp_path), said.append)
    keeper.start()
    assert keeper.pid is not None
    os.kill(keeper.pid, signal.SIGKILL)
    assert eventually(lambda: not keeper.is_running)
    keeper.tend()
    assert said == ["The clerk was killed by SIGKILL; it starts again in 1 s."]
    keeper.stop()


def test_a_child_that_ignores_sigterm_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    keeper = Keeper(python(STUBBORN, tmp_path, seconds_to_stop=0.2), print)
    keeper.start()
    pid = keeper.pid
    assert pid is not None
    assert eventually(lambda: "ready" in (tmp_path / "clerk.log").read_text())
    keeper.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_being_hurried_kills_at_once(tmp_path: Path) -> None:
    keeper = Keeper(python(STUBBORN, tmp_path, seconds_to_stop=60), print)
    keeper.start()
    assert eventually(lambda: "ready" in (tmp_path / "clerk.log").read_text())
    keeper.stop(lambda: True)
    assert not keeper.is_running


def test_what_a_child_started_does_not_survive_it(tmp_path: Path) -> None:
    code = (
        "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True); "
        "import time; time.sleep(60)"
    )
    keeper = Keeper(python(code, tmp_path), print)
    keeper.start()
    log = tmp_path / "clerk.log"
    assert eventually(lambda: log.read_text().strip().isdigit())
    grandchild = int(log.read_text())
    keeper.stop()

    def is_gone() -> bool:
        try:
            return "sleep" not in Path(f"/proc/{grandchild}/cmdline").read_text()
        except OSError:
            return True

    assert eventually(is_gone)
