"""Start and stop one server, and survive how the last one ended."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
from sqlalchemy import make_url

from app.errors import Conflict, DomainError
from app.launch import Identity, command
from app.locks import FileLock
from app.logs import last_words, size
from app.postgres.cluster import (
    MARK,
    check_version,
    hand_over,
    make_cluster,
    stale_pid,
)
from app.postgres.host import (
    clean_environment,
    find_postgres_binaries,
    possible_identities,
    postgres_version,
    shared_memory_mb,
)

USER = DATABASE = "prefloop"
PORT = "5432"  # part of the socket file's name; no network port is opened
LONGEST_SOCKET_PATH = 100  # bytes; the kernel takes 107 on Linux, 103 on macOS
LARGEST_LOG = 10 * 2**20

TUNING = {
    "listen_addresses": "",
    "port": PORT,
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": f"{shared_memory_mb()}MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "random_page_cost": "1.1",  # solid-state disks
    "max_wal_size": "512MB",
    "wal_compression": "on",
    "jit": "off",  # compiles longer than our statements run
    "max_parallel_workers_per_gather": "0",  # would need /dev/shm, 64 MB in a container
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",  # STILL_IN_USE reads the server's messages
}
WITHOUT_FSYNC = {"fsync": "off", "full_page_writes": "off"}
STILL_IN_USE = ("shared memory block", "lock file")


class AlreadyRunning(Conflict):
    """Another live process of ours runs the server on this folder."""


class EmbeddedPostgres:
    """One Postgres server on `data_folder`/postgres, run by this process and ending with it.

    Start it from the main thread (app.launch says why). `fsync=False` is for tests: faster, and
    unsafe when the machine itself goes down. `identity` overrules whom the server runs as.
    """

    def __init__(
        self,
        data_folder: Path,
        *,
        bin_folder: Path | None = None,
        fsync: bool = True,
        identity: Identity | None = None,
    ) -> None:
        self.data_folder = Path(data_folder).expanduser().resolve()
        self.cluster = self.data_folder / "postgres"
        self.log = self.data_folder / "postgres.log"
        self.url_file = self.data_folder / "postgres.url"
        self._given_bin_folder = bin_folder
        self._given_identity = identity
        self._fsync = fsync
        self._lock = FileLock(self.data_folder / "postgres.lock")
        self._server: subprocess.Popen[bytes] | None = None
        self._socket_folder = self.cluster

    def __enter__(self) -> "EmbeddedPostgres":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the application's database."""
        # A space as %20: libpq, unlike SQLAlchemy, does not read + as one.
        host = quote(str(self._socket_folder), safe="")
        return f"postgresql+psycopg://{USER}@/{DATABASE}?host={host}&port={PORT}"

    @property
    def pid(self) -> int | None:
        """The server's process number while it runs."""
        if self._server is None or self._server.poll() is not None:
            return None
        return self._server.pid

    def start(self) -> None:
        """Make the cluster if there is none, run the server, wait until it answers.

        Raises AlreadyRunning when another process runs it, and other DomainErrors when there are
        no binaries, the cluster is of another major version, or the server does not start.
        """
        if self.pid is not None:
            return
        self._make_data_folder()
        if not self._lock.acquire():
            raise AlreadyRunning(
                f"The database in {self.data_folder} is already run by {self._lock.holder()}. "
                "Stop that one first, or set PREFLOOP_DATA to another folder."
            )
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self, *, at_once: bool = False) -> None:
        """End the server, within 30 seconds, and free the folder.

        `at_once` skips the tidy shutdown: nothing committed is lost, the next start recovers it.
        """
        if self._server is not None:
            self._end_server(self._server, at_once=at_once)
            self._server = None
            self.url_file.unlink(missing_ok=True)
            self._remove_private_socket_folder()
        self._lock.release()

    def _make_data_folder(self) -> None:
        try:
            self.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DomainError(
                f"The data folder {self.data_folder} cannot be made ({error.strerror}). Set "
                "PREFLOOP_DATA to a folder of your own."
            ) from error

    def _start(self) -> None:
        bin_folder = self._given_bin_folder or find_postgres_binaries()
        identity, version = self._identity(bin_folder)
        if not (self.cluster / "PG_VERSION").exists():
            make_cluster(
                self.cluster, bin_folder, identity, version, log=self.log, fsync=self._fsync
            )
        check_version(self.cluster, bin_folder, version)
        self._choose_socket_folder(identity)
        self._run_server(bin_folder, identity)
        self._make_database()
        self._write_url()

    def _identity(self, bin_folder: Path) -> tuple[Identity, int]:
        """Whom the server can run as here, and its major version, found out by running it."""
        complaint = ""
        given = self._given_identity
        for identity in [given] if given else possible_identities(self.cluster):
            version, complaint = postgres_version(bin_folder, identity, self.data_folder)
            if version:
                hand_over(self.cluster, identity)
                return identity, version
        raise DomainError(
            f"PostgreSQL at {bin_folder} cannot run on {self.data_folder}: {complaint}. Set "
            "PREFLOOP_DATA to a local folder of the user who runs Prefloop, or set DATABASE_URL."
        )

    def _choose_socket_folder(self, identity: Identity) -> None:
        """The cluster's own folder, or a short private one where the path would be too long."""
        if self._socket_folder != self.cluster:
            return
        if len(os.fsencode(self.cluster / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH:
            return
        self._remove_forgotten_socket_folder()
        is_short = len(tempfile.gettempdir()) < LONGEST_SOCKET_PATH // 2
        parent = None if is_short else "/tmp"  # noqa: S108 (mkdtemp makes a private folder in it)
        self._socket_folder = Path(tempfile.mkdtemp(prefix="prefloop-", dir=parent))
        hand_over(self._socket_folder, identity)

    def _remove_forgotten_socket_folder(self) -> None:
        """The one that a killed predecessor recorded, if it is what it claims to be."""
        with contextlib.suppress(OSError):
            recorded = Path(str(make_url(self.url_file.read_text()).query["host"]))
            if recorded.name.startswith("prefloop-") and recorded != self.cluster:
                shutil.rmtree(recorded)

    def _remove_private_socket_folder(self) -> None:
        if self._socket_folder != self.cluster:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = self.cluster

    def _run_server(self, bin_folder: Path, identity: Identity) -> None:
        if size(self.log) > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        give_up_at = time.monotonic() + 30
        while True:
            log_start = size(self.log)
            self._spawn(bin_folder, identity)
            if self._wait_until_it_answers():
                return
            complaint = last_words(self.log, log_start)
            # The processes of a server that was killed need a moment to notice.
            is_still_in_use = any(words in complaint for words in STILL_IN_USE)
            if not is_still_in_use or time.monotonic() > give_up_at:
                raise DomainError(f"The database did not start. {complaint}")
            time.sleep(0.1)

    def _spawn(self, bin_folder: Path, identity: Identity) -> None:
        settings = TUNING | ({} if self._fsync else WITHOUT_FSYNC)
        lines = [f"{name}={value}" for name, value in settings.items()]
        sockets = str(self._socket_folder).replace('"', '""')
        lines += [MARK, f'unix_socket_directories="{sockets}"']
        flags = [part for line in lines for part in ("-c", line)]
        environment = clean_environment()
        stale = stale_pid(self.cluster)
        if stale is not None:
            # The server takes any live process of that number for another server on its folder,
            # unless it is its own grandparent. Removing the pid file would serve as well, but
            # lose the check that no process still uses the old server's shared memory.
            environment["PG_GRANDPARENT_PID"] = str(stale)
        argv = [str(bin_folder / "postgres"), "-D", str(self.cluster), *flags]
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                command(argv, identity=identity, death_signal=signal.SIGINT),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd="/",
                process_group=0,  # Ctrl-C in the terminal is for us
            )

    def _wait_until_it_answers(self) -> bool:
        """False when the server ended instead. Recovery after a crash may take its time."""
        give_up_at = time.monotonic() + 300
        while self.pid is not None and time.monotonic() < give_up_at:
            with contextlib.suppress(psycopg.OperationalError), self._connect():
                return True
            time.sleep(0.02)
        return False

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self._socket_folder),
            port=PORT,
            user=USER,
            dbname="postgres",
            connect_timeout=5,
            autocommit=True,
        )

    def _make_database(self) -> None:
        with self._connect() as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = 'prefloop'")
            if found.fetchone() is None:
                connection.execute("CREATE DATABASE prefloop")

    def _write_url(self) -> None:
        unfinished = self.url_file.with_suffix(".unfinished")
        unfinished.touch(mode=0o600)
        unfinished.write_text(self.url)
        unfinished.replace(self.url_file)

    @staticmethod
    def _end_server(server: subprocess.Popen[bytes], *, at_once: bool) -> None:
        steps = [(signal.SIGINT, 20), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)]
        for number, seconds in steps[1:] if at_once else steps:
            if server.poll() is None:
                server.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(seconds)
                return
