"""One server, several processes of ours: whoever comes second is a guest."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from app.locks import FileLock
from app.postgres.host import find_postgres_binaries
from app.postgres.server import AlreadyRunning, EmbeddedPostgres
from app.settings import Settings


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """The URL of the database for the length of one command.

    `DATABASE_URL` when set; else the server that another process of ours runs on the data folder;
    else a server of our own, which waits at its end for guests that came in the meantime.
    Raises DomainError when there is no server and none can be started.
    """
    if settings.database_url:
        yield settings.database_url
        return
    bin_folder = find_postgres_binaries(settings.postgres_bin)
    server = EmbeddedPostgres(settings.data_folder, bin_folder=bin_folder)
    guests = FileLock(settings.data_folder / "postgres.guests")
    try:
        yield _start_or_join(server, guests)
    finally:
        if server.pid is not None:
            guests.acquire(wait=True)
        server.stop()
        guests.release()


def _start_or_join(server: EmbeddedPostgres, guests: FileLock) -> str:
    """A host that is starting or ending is waited for, a minute at the most."""
    give_up_at = time.monotonic() + 60
    while True:
        try:
            server.start()
        except AlreadyRunning:
            if guests.acquire(shared=True):
                url = running_server_url(server.data_folder)
                if url is not None:
                    return url
                guests.release()
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.1)
        else:
            return server.url


def running_server_url(data_folder: Path) -> str | None:
    """The URL of the server that another process runs on the folder, if it answers."""
    try:
        url = (data_folder / "postgres.url").read_text()
        psycopg.connect(url.replace("+psycopg", "", 1), connect_timeout=5).close()
    except (OSError, psycopg.OperationalError):
        return None
    return url
