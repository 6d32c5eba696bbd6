"""Where the embedded server runs, and as whom."""

import os
import pwd
import sys
from pathlib import Path

import pytest

from app.errors import DomainError
from app.launch import Identity
from app.postgres import EmbeddedPostgres, find_postgres_binaries
from app.postgres.host import possible_identities, postgres_version
from tests.postgres.processes import connect, holding_server

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
NOBODY = pwd.getpwnam("nobody")


def answers(server: EmbeddedPostgres) -> bool:
    with connect(server.url) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def modes(folder: Path) -> dict[Path, tuple[int, int]]:
    return {p: (p.stat().st_mode, p.stat().st_uid) for p in [folder, *folder.parents]}


def test_a_path_with_spaces_quotes_and_percents_works(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "a b'c%20\"d", fsync=False) as server:
        assert answers(server)


def test_a_path_too_long_for_a_socket_gets_a_short_private_folder(tmp_path: Path) -> None:
    long = tmp_path / ("deep" * 20) / ("deeper" * 20)
    with EmbeddedPostgres(long, fsync=False) as server:
        sockets = server._socket_folder
        assert answers(server)
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert len(str(sockets)) < 60
    assert not sockets.exists()


@pytest.mark.slow
def test_the_short_folder_of_a_killed_process_is_removed_at_the_next_start(tmp_path: Path) -> None:
    long = tmp_path / ("deep" * 20) / ("deeper" * 20)
    with holding_server(long) as holder:
        before = (long / "postgres.url").read_text()
        holder.process.kill()
        holder.process.wait()
    with EmbeddedPostgres(long, fsync=False) as server:
        assert answers(server)
        assert server.url != before
    left = before.split("host=")[1].split("&")[0].replace("%2F", "/")
    assert not Path(left).exists()


def test_nothing_but_the_owner_can_open_the_socket(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "data", fsync=False) as server:
        socket = server.cluster / ".s.PGSQL.5432"
        assert socket.stat().st_mode & 0o777 == 0o700
        with connect(server.url) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


@as_root
def test_root_runs_it_below_a_private_folder_and_opens_no_parent(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    folder = private / "inner" / "data"
    folder.mkdir(mode=0o700, parents=True)
    before = modes(folder)
    with EmbeddedPostgres(folder, fsync=False) as server:
        assert answers(server)
        assert server.pid is not None
        if Path("/proc").exists():
            status = Path(f"/proc/{server.pid}/status").read_text()
            capabilities = next(x for x in status.splitlines() if x.startswith("CapEff"))
            assert int(capabilities.split()[1], 16) in (0, 2)
    assert modes(folder) == before


@as_root
@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux")
def test_without_user_namespaces_root_is_dropped_and_still_no_parent_is_opened(
    tmp_path: Path,
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    before = modes(private / "..")
    dropped = Identity("reader", NOBODY.pw_uid, NOBODY.pw_gid)
    with EmbeddedPostgres(private / "data", fsync=False, identity=dropped) as server:
        assert answers(server)
        assert server.cluster.stat().st_uid == NOBODY.pw_uid
        assert Path(f"/proc/{server.pid}").stat().st_uid == NOBODY.pw_uid
    assert modes(private / "..") == before
    with EmbeddedPostgres(private / "data", fsync=False) as server:
        assert answers(server)


@as_root
def test_a_plain_user_runs_it(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    # Passage through the private folders above a checkout is all that it has over a plain user.
    plain = Identity("reader", NOBODY.pw_uid, NOBODY.pw_gid)
    with holding_server(folder, identity=plain) as holder:
        with connect(holder.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert Path(f"/proc/{holder.server_pid}").stat().st_uid == NOBODY.pw_uid
    assert (folder / "postgres").stat().st_uid == NOBODY.pw_uid


@as_root
def test_a_cluster_keeps_its_owner_when_root_comes_by(tmp_path: Path) -> None:
    cluster = tmp_path / "postgres"
    cluster.mkdir()
    os.chown(cluster, 4321, 4321)
    assert possible_identities(cluster)[0] == Identity("user", 4321, 4321)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DomainError, match="Set PREFLOOP_DATA"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


def test_the_wheel_brings_binaries_that_run(tmp_path: Path) -> None:
    folder = find_postgres_binaries()
    identity = possible_identities(tmp_path / "postgres")[0]
    version, complaint = postgres_version(folder, identity, tmp_path)
    assert version >= 15, complaint


def test_a_named_folder_without_binaries_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DomainError, match=r"PREFLOOP_POSTGRES_BIN is .* holds no `postgres`"):
        find_postgres_binaries(str(tmp_path))


def test_without_any_binaries_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("app.postgres.host._known_folders", list)
    with pytest.raises(DomainError, match=r"prefloop\[postgres\]"):
        find_postgres_binaries()
