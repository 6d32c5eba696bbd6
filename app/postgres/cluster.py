"""The folder that a server runs on: made once, of one version, owned by one user."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from app.errors import Conflict, DomainError
from app.launch import Identity, command
from app.logs import last_words, size
from app.postgres.host import clean_environment, initdb_locale, is_server_on

MARK = "cluster_name=prefloop"


def hand_over(folder: Path, identity: Identity) -> None:
    """Give a folder that is ours alone to the user whom the server will run as."""
    if identity.how not in ("user", "reader") or not folder.exists():
        return
    if folder.stat().st_uid != identity.uid:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, identity.uid, identity.gid, follow_symlinks=False)


def make_cluster(
    cluster: Path, bin_folder: Path, identity: Identity, version: int, *, log: Path, fsync: bool
) -> None:
    """Run initdb under a temporary name first: a half-made cluster is never taken for one.

    Raises Conflict when the folder holds something else, DomainError when initdb fails.
    """
    if cluster.exists() and any(cluster.iterdir()):
        raise Conflict(
            f"{cluster} holds files but no database. Move them away, or set PREFLOOP_DATA to "
            "another folder."
        )
    unfinished = cluster.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    hand_over(unfinished, identity)
    argv = [str(bin_folder / "initdb"), "-D", str(unfinished), "-U", "prefloop", "-E", "UTF8"]
    argv += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
    argv += [*initdb_locale(version), *([] if fsync else ["--no-sync"])]
    start = size(log)
    with log.open("ab") as output:
        status = subprocess.run(
            command(argv, identity=identity, death_signal=signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=clean_environment(),
            check=False,
        ).returncode
    if status != 0:
        raise DomainError(f"The database could not be made. {last_words(log, start)}")
    unfinished.rename(cluster)


def check_version(cluster: Path, bin_folder: Path, version: int) -> None:
    """Raise Conflict when the cluster is of another major version than the binaries."""
    made_by = (cluster / "PG_VERSION").read_text().strip()
    if made_by != str(version):
        raise Conflict(
            f"The database in {cluster} was made by PostgreSQL {made_by}, but the one at "
            f"{bin_folder} is PostgreSQL {version}. Set PREFLOOP_POSTGRES_BIN to the bin folder "
            f"of PostgreSQL {made_by}; or, to change over, save the data with its pg_dump, move "
            "the folder away, start Prefloop and load it with psql."
        )


def stale_pid(cluster: Path) -> int | None:
    """The process number in the pid file, once it is no live server on the cluster.

    An orphan of ours is asked to end and waited for; any other process is left alone. Call it
    under the folder's lock. Raises Conflict when a server stays.
    """
    give_up_at = time.monotonic() + 30
    is_asked = False
    while (pid := _recorded_pid(cluster)) is not None and is_server_on(cluster, pid):
        if not is_server_on(cluster, pid, marked=MARK):
            raise Conflict(
                f"A PostgreSQL server that Prefloop did not start (process {pid}) runs on "
                f"{cluster}. Stop it first."
            )
        if time.monotonic() > give_up_at:
            raise Conflict(
                f"The last database server on {cluster} (process {pid}) does not end. Stop it "
                "first."
            )
        if not is_asked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGINT)
            is_asked = True
        time.sleep(0.05)
    return pid


def _recorded_pid(cluster: Path) -> int | None:
    try:
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None
    return pid if pid > 0 else None
