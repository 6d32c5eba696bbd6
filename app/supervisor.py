"""`prefloop run`: the database, the web server and one worker, started and ended together."""

import contextlib
import errno
import http.client
import importlib.util
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

from app.children import Child, Keeper, Say
from app.db import migrate
from app.errors import Conflict, DomainError, Invalid
from app.locks import FileLock
from app.logs import last_words
from app.postgres import EmbeddedPostgres, find_postgres_binaries
from app.settings import Settings

SECONDS_TO_ANSWER = 180  # a busy machine imports slowly
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_everything(
    settings: Settings,
    prepare: Callable[[str], list[str]] | None = None,
    *,
    children: Callable[[str], list[Child]] | None = None,
    say: Say | None = None,
) -> None:
    """Run Prefloop until Ctrl-C, SIGTERM or the end of the terminal.

    `prepare` gets the database's URL after the migration and returns lines to print once the web
    server answers. `children` makes the list of programs from that URL, the web server first;
    left out, they are the web server and the worker. A second Ctrl-C kills what has not ended.
    Raises DomainError when the folder or the port is taken, or when something does not start.
    """
    speak = say or _print
    with _one_of_us(settings), _StopSignals() as signals:
        _refuse_a_taken_port(settings)
        house = _House(settings, speak)
        try:
            url = house.open_database()
            migrate(url)
            lines = prepare(url) if prepare else []
            web, *others = children(url) if children else standard_children(settings, url, speak)
            house.start(web)
            house.wait_for_the_web_server()
            for line in [f"Prefloop runs at {address(settings)}", *lines, "Ctrl-C stops it."]:
                speak(line)
            # After the page is there: importing torch would take the processor from it.
            for other in others:
                house.start(other)
            house.keep()
        except KeyboardInterrupt:
            speak("Stopping; a second Ctrl-C kills.")
        finally:
            signals.only_count()
            house.close(signals.is_hurried)


def standard_children(settings: Settings, url: str, say: Say) -> list[Child]:
    """The web server, and one worker where torch is installed."""
    folder = settings.data_folder
    common = {"DATABASE_URL": url, "PREFLOOP_DATA": str(folder), "PYTHONUNBUFFERED": "1"}
    where = ("--host", settings.host, "--port", str(settings.port))
    proxies = ("--forwarded-allow-ips", settings.forwarded_allow_ips)
    options = ("--no-access-log", "--no-server-header", "--timeout-graceful-shutdown", "5")
    web = (sys.executable, "-m", "uvicorn", "app.main:serve_app", "--factory")
    children = [
        Child("web server", (*web, *where, *proxies, *options), common, folder / "web.log", 8)
    ]
    if importlib.util.find_spec("torch") is None:
        say("Training is off: torch is not installed. `pip install 'prefloop[train]'` brings it.")
        return children
    # Threads that spin while they wait make two programs on one machine ten times slower.
    patient = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    worker = (sys.executable, "-m", "worker.main", "run")
    return [*children, Child("worker", worker, patient | common, folder / "worker.log", 20)]


def address(settings: Settings) -> str:
    """Where a browser on this machine finds the web server."""
    host = _reachable_host(settings)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/"


class _House:
    """The database server and the children, in the order in which they need one another."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._server: EmbeddedPostgres | None = None
        self._keepers: list[Keeper] = []

    def open_database(self) -> str:
        if self._settings.database_url:
            return self._settings.database_url
        bin_folder = find_postgres_binaries(self._settings.postgres_bin)
        self._server = EmbeddedPostgres(self._settings.data_folder, bin_folder=bin_folder)
        self._server.start()
        return self._server.url

    def start(self, child: Child) -> None:
        keeper = Keeper(child, self._say)
        self._keepers.append(keeper)
        keeper.start()

    def wait_for_the_web_server(self) -> None:
        """Raises DomainError with the end of its log when it ends first or stays silent."""
        web = self._keepers[0]
        give_up_at = time.monotonic() + SECONDS_TO_ANSWER
        while not _answers(self._settings):
            if not web.is_running or time.monotonic() > give_up_at:
                log = web.child.log
                reason = last_words(log, web.log_start) if log else ""
                raise DomainError(f"The {web.child.name} did not start. {reason}")
            time.sleep(0.05)

    def keep(self) -> None:
        while True:
            if self._server is not None and self._server.pid is None:
                self._say("The database server ended; it starts again.")
                self._server.start()
            for keeper in self._keepers:
                keeper.tend()
            time.sleep(0.2)

    def close(self, is_hurried: Callable[[], bool]) -> None:
        for keeper in self._keepers:
            keeper.stop(is_hurried)
        if self._server is not None:
            self._server.stop(at_once=is_hurried())


class _StopSignals:
    """The first signal interrupts whatever is under way; later ones only make us hurry."""

    def __init__(self) -> None:
        # Each is only ever set: a count could lose a signal that falls between its read and write.
        self._interrupts = True
        self._is_hurried = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "_StopSignals":
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal() returned it

    def only_count(self) -> None:
        """From here on nothing is interrupted."""
        self._interrupts = False

    def is_hurried(self) -> bool:
        return self._is_hurried

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt
        self._is_hurried = True


@contextlib.contextmanager
def _one_of_us(settings: Settings) -> Iterator[None]:
    folder = settings.data_folder
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid(
            f"The data folder {folder} cannot be made ({error.strerror}). Set PREFLOOP_DATA to a "
            "folder of your own."
        ) from error
    lock = FileLock(folder / "prefloop.lock")
    if not lock.acquire():
        raise Conflict(
            f"Prefloop already runs on {folder} ({lock.holder()}). Stop that one first, or set "
            "PREFLOOP_DATA to another folder."
        )
    try:
        yield
    finally:
        lock.release()


def _refuse_a_taken_port(settings: Settings) -> None:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise Conflict(_port_complaint(settings, error)) from error


def _port_complaint(settings: Settings, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        other = settings.port + 1 if settings.port < 65535 else 8000
        return (
            f"Port {settings.port} is in use by another program. Set PREFLOOP_PORT to a free one, "
            f"for example PREFLOOP_PORT={other}."
        )
    if error.errno == errno.EACCES:
        return f"Port {settings.port} is for root alone. Set PREFLOOP_PORT to 1024 or above."
    return (
        f"{settings.host} is not an address of this machine ({error.strerror}). Set PREFLOOP_HOST "
        "to one, for example 127.0.0.1."
    )


def _reachable_host(settings: Settings) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104


def _answers(settings: Settings) -> bool:
    """Whether /healthz answers; a host it does not trust (400) is an answer too."""
    connection = http.client.HTTPConnection(_reachable_host(settings), settings.port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _print(line: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that went away must not end the stopping
        print(line, flush=True)
