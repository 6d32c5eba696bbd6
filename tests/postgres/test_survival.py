"""What the embedded server survives: kills, stale files, two starts at once."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import Conflict, DomainError
from app.postgres import AlreadyRunning, EmbeddedPostgres
from tests.postgres.processes import connect, eventually, holding_server, processes_on

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel must be Linux")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def innocent() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def quick(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, fsync=False)


@linux_only
def test_kill_9_of_prefloop_leaves_no_server_and_loses_no_committed_row(folder: Path) -> None:
    with holding_server(folder, "--fsync") as holder:
        with connect(holder.url) as connection:
            connection.execute("CREATE TABLE kept (n int)")
            connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
        holder.process.kill()
        holder.process.wait()
        assert eventually(lambda: processes_on(folder) == [])
    with quick(folder) as server, connect(server.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


@linux_only
def test_a_start_right_after_kill_9_waits_for_the_old_server_to_end(folder: Path) -> None:
    with holding_server(folder) as holder:
        holder.process.kill()
        holder.process.wait()
        with quick(folder) as server, connect(server.url) as connection:
            assert server.pid != holder.server_pid
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_unrelated_process_with_the_number_in_the_pid_file_is_left_alone(
    folder: Path, innocent: subprocess.Popen[bytes]
) -> None:
    with quick(folder) as server:
        old = (server.cluster / "postmaster.pid").read_text()
    lines = [str(innocent.pid), *old.splitlines()[1:]]
    (folder / "postgres" / "postmaster.pid").write_text("\n".join(lines) + "\n")
    with quick(folder) as server, connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert innocent.poll() is None


@pytest.mark.parametrize("content", ["", "not a number\n", "-1\n", "999999999\n"])
def test_a_broken_pid_file_is_no_reason_to_signal_anyone(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / "postgres").mkdir()
    (folder / "postgres" / "postmaster.pid").write_text(content)
    from app.postgres.cluster import stale_pid

    assert stale_pid(folder / "postgres") in (None, 999999999)


def test_after_kill_9_of_the_server_an_immediate_start_gives_a_live_one(folder: Path) -> None:
    with quick(folder) as server:
        assert server.pid is not None
        with connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        server.start()
        with connect(server.url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (7,)


def test_a_second_server_on_the_same_folder_is_refused_with_a_sentence(folder: Path) -> None:
    with holding_server(folder) as holder:
        with pytest.raises(AlreadyRunning, match=rf"already run by process {holder.process.pid}\."):
            quick(folder).start()
        with connect(holder.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_that_prefloop_did_not_start_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quick(folder) as server:
        (folder / "postgres.lock").rename(folder / "moved.lock")
        monkeypatch.setattr("app.postgres.cluster.MARK", "cluster_name=another")
        with pytest.raises(Conflict, match="did not start"):
            quick(folder).start()
        assert server.pid is not None


def test_half_made_clusters_are_thrown_away(folder: Path) -> None:
    unfinished = folder / "postgres.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    with quick(folder) as server:
        assert server.pid is not None
    assert not unfinished.exists()


def test_foreign_files_where_the_database_should_be_are_not_touched(folder: Path) -> None:
    (folder / "postgres").mkdir(parents=True)
    (folder / "postgres" / "thesis.txt").write_text("years of work")
    with pytest.raises(Conflict, match="holds files but no database"):
        quick(folder).start()
    assert (folder / "postgres" / "thesis.txt").read_text() == "years of work"


def test_a_cluster_of_another_version_is_refused_with_what_to_do(folder: Path) -> None:
    (folder / "postgres").mkdir(parents=True)
    (folder / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(Conflict, match=r"made by PostgreSQL 12, .* Set PREFLOOP_POSTGRES_BIN"):
        quick(folder).start()


def test_a_server_that_cannot_start_quotes_its_log(folder: Path) -> None:
    with quick(folder):
        pass
    (folder / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(DomainError, match="no_such_setting"):
        quick(folder).start()
    (folder / "postgres" / "postgresql.conf").write_text("")
    with quick(folder) as server:
        assert server.pid is not None
