"""Several processes of ours, one database."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.postgres import database_url
from app.settings import Settings
from tests.postgres.processes import connect, eventually, holding_server, processes_on

GUEST = """
import sys
from pathlib import Path
from app.postgres import database_url
from app.settings import Settings
with database_url(Settings(data=Path(sys.argv[1]), database_url="")) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def settings(folder: Path) -> Settings:
    return Settings(data=folder, database_url="")


def test_a_named_server_is_used_and_nothing_is_started(tmp_path: Path) -> None:
    named = Settings(data=tmp_path / "data", database_url="postgresql://elsewhere/prefloop")
    with database_url(named) as url:
        assert url == "postgresql://elsewhere/prefloop"
    assert not (tmp_path / "data").exists()


def test_a_command_uses_the_server_that_already_runs(tmp_path: Path) -> None:
    with holding_server(tmp_path) as holder:
        with database_url(settings(tmp_path)) as url, connect(url) as connection:
            assert url == holder.url
            connection.execute("CREATE TABLE seen ()")
        with connect(holder.url) as connection:
            assert connection.execute("SELECT count(*) FROM seen").fetchone() == (0,)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_command_without_a_server_starts_one_for_its_own_length(tmp_path: Path) -> None:
    with database_url(settings(tmp_path)) as url, connect(url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert processes_on(tmp_path) == []


@pytest.mark.slow
def test_the_first_command_keeps_its_server_until_the_second_is_done(tmp_path: Path) -> None:
    def command() -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", GUEST, str(tmp_path)]
        return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with command() as first:
        assert first.stdout is not None
        url = first.stdout.readline().strip()
        with command() as second:
            assert second.stdout is not None
            assert second.stdout.readline().strip() == url
            assert first.stdin is not None
            first.stdin.close()
            assert not eventually(lambda: first.poll() is not None, seconds=0.5)
            connect(url).close()
            assert second.stdin is not None
            second.stdin.close()
            assert second.wait(10) == 0
        assert first.wait(10) == 0
