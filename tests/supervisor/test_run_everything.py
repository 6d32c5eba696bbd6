"""`prefloop run` as a whole, with small real programs in place of the web server and worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.settings import Settings
from app.supervisor import standard_children
from tests.postgres.processes import eventually, processes_on

HERE = Path(__file__).parent
WEB = ["web server", json.dumps([str(HERE / "small_web.py")])]
WAITS = ["worker", json.dumps(["-c", "import time; time.sleep(600)"])]
CRASHES = ["worker", json.dumps(["-c", "raise SystemExit('no work left')"])]
STUBBORN = [
    "worker",
    json.dumps(
        [
            "-c",
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            "print('ready', flush=True); time.sleep(600)",
        ]
    ),
]
NOTES_WHO_IS_LEFT = """
import os, pathlib, signal, socket, sys, time
folder = pathlib.Path(sys.argv[1])
def end(*_):
    with socket.socket() as probe:
        is_web_gone = probe.connect_ex(("127.0.0.1", int(os.environ["PORT"]))) != 0
    is_database_there = (folder / "postgres" / "postmaster.pid").exists()
    (folder / "worker.end").write_text(f"{is_web_gone} {is_database_there}")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def supervisor(folder: Path, port: int, *programs: str) -> Iterator["subprocess.Popen[str]"]:
    argv = [sys.executable, str(HERE / "run_supervisor.py"), str(folder), str(port), *programs]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: "subprocess.Popen[str]", words: str) -> str:
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if words in line:
            break
    return text


def test_it_prints_the_address_once_the_web_server_answers(tmp_path: Path, port: int) -> None:
    with supervisor(tmp_path, port, *WEB, *WAITS) as process:
        text = read_until(process, "Ctrl-C stops it")
        assert text.index(f"runs at http://127.0.0.1:{port}/") < text.index("prepared postgresql")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            assert answer.read().decode().startswith("postgresql+psycopg://")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert processes_on(tmp_path) == []


def test_sigterm_ends_the_web_server_then_the_worker_then_the_database(
    tmp_path: Path, port: int
) -> None:
    noting = json.dumps(["-c", NOTES_WHO_IS_LEFT, str(tmp_path)])
    with supervisor(tmp_path, port, *WEB, "worker", noting) as process:
        read_until(process, "Ctrl-C stops it")
        log = tmp_path / "worker.log"
        assert eventually(lambda: log.exists() and "ready" in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert (tmp_path / "worker.end").read_text() == "True True"
    assert "database system is shut down" in (tmp_path / "postgres.log").read_text()
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel must be Linux")
def test_kill_9_of_the_supervisor_leaves_nothing_running(tmp_path: Path, port: int) -> None:
    code = "import time; print('ready', flush=True); time.sleep(600)"
    marked = ["worker", json.dumps(["-c", code, f"{tmp_path}/mark"])]
    with supervisor(tmp_path, port, *WEB, *marked) as process:
        read_until(process, "Ctrl-C stops it")
        log = tmp_path / "worker.log"
        assert eventually(lambda: log.exists() and "ready" in log.read_text())
        process.kill()
        process.wait()
        assert eventually(lambda: processes_on(tmp_path) == [])
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
def test_a_second_ctrl_c_kills_what_does_not_end(tmp_path: Path, port: int) -> None:
    with supervisor(tmp_path, port, *WEB, *STUBBORN) as process:
        read_until(process, "Ctrl-C stops it")
        log = tmp_path / "worker.log"
        assert eventually(lambda: log.exists() and "ready" in log.read_text())
        process.send_signal(signal.SIGINT)
        read_until(process, "a second Ctrl-C kills")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert processes_on(tmp_path) == []


@pytest.mark.slow
def test_a_crashed_worker_is_started_again_and_said_so_in_one_line(
    tmp_path: Path, port: int
) -> None:
    with supervisor(tmp_path, port, *WEB, *CRASHES) as process:
        said = read_until(process, "starts again in 2 s")
        assert said.count("The worker ended with status 1 (no work left)") == 2


@pytest.mark.slow
def test_a_killed_database_server_is_started_again(tmp_path: Path, port: int) -> None:
    with supervisor(tmp_path, port, *WEB) as process:
        read_until(process, "Ctrl-C stops it")
        pid_file = tmp_path / "postgres" / "postmaster.pid"
        first = int(pid_file.read_text().splitlines()[0])
        os.kill(first, signal.SIGKILL)
        read_until(process, "The database server ended; it starts again.")
        assert eventually(lambda: pid_file.exists() and f"{first}\n" not in pid_file.read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0


@pytest.mark.slow
def test_a_second_run_on_the_same_folder_is_refused_with_a_sentence(
    tmp_path: Path, port: int
) -> None:
    with supervisor(tmp_path, port, *WEB) as first:
        read_until(first, "Ctrl-C stops it")
        with supervisor(tmp_path, port, *WEB) as second:
            text, _ = second.communicate(timeout=20)
            assert second.returncode == 3
        assert f"already runs on {tmp_path} (process {first.pid})" in text


def test_a_taken_port_is_a_sentence_that_names_the_setting(tmp_path: Path, port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with supervisor(tmp_path, port, *WEB) as process:
            text, _ = process.communicate(timeout=20)
    assert process.returncode == 3
    assert f"Port {port} is in use by another program. Set PREFLOOP_PORT" in text


@pytest.mark.slow
def test_a_web_server_that_does_not_start_quotes_its_log(tmp_path: Path, port: int) -> None:
    broken = ["web server", json.dumps(["-c", "raise SystemExit('the template is missing')"])]
    with supervisor(tmp_path, port, *broken, *WAITS) as process:
        text, _ = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "The web server did not start." in text
    assert "the template is missing" in text
    assert processes_on(tmp_path) == []


def test_the_worker_is_left_out_in_one_sentence_where_torch_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    children = standard_children(Settings(data=tmp_path), "postgresql://x/y", said.append)
    assert [child.name for child in children] == ["web server"]
    assert len(said) == 1
    assert said[0].startswith("Training is off: torch is not installed.")


def test_the_worker_waits_without_spinning_and_knows_the_database(tmp_path: Path) -> None:
    children = standard_children(Settings(data=tmp_path), "postgresql://x/y", print)
    worker = next(child for child in children if child.name == "worker")
    assert worker.env["OMP_WAIT_POLICY"] == "PASSIVE"
    assert worker.env["GOMP_SPINCOUNT"] == "0"
    assert worker.env["DATABASE_URL"] == "postgresql://x/y"
    assert worker.seconds_to_stop == 20


def test_the_web_server_believes_the_proxies_that_the_setting_names(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, forwarded_allow_ips="10.0.0.0/8")
    web, *_ = standard_children(settings, "postgresql://x/y", print)
    assert "--forwarded-allow-ips 10.0.0.0/8" in " ".join(web.argv)
