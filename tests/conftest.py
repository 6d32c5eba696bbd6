"""A real Postgres, migrated once; a fresh database cloned from it for each test that asks.

`database` gives a test a database of its own and points the application at it; `session` is a
session on it that the test commits itself; `client` speaks HTTP to the real application.
"""

import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.update(
    OMP_NUM_THREADS="1",
    OMP_WAIT_POLICY="PASSIVE",
    HF_HUB_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
)

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app import db
from app.postgres import EmbeddedPostgres
from app.settings import get_settings
from tests.support import Browsing

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A throw-away Postgres for this test process, with a migrated database named `template`."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("pg"), fsync=False) as server:
        run_sql(server.url, "create database template")
        db.migrate(named(server.url, "template"))
        yield server.url


def named(url: str, database: str) -> str:
    """The same server's URL with another database."""
    address, _, query = url.partition("?")
    return f"{address.rpartition('/')[0]}/{database}?{query}"


def run_sql(url: str, statement: str) -> None:
    plain = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def pointed_at(url: str, data: str) -> Iterator[None]:
    """The whole application reads its settings anew, with this database and this data folder."""
    before = {name: os.environ.get(name) for name in ("DATABASE_URL", "PREFLOOP_DATA")}
    os.environ.update(DATABASE_URL=url, PREFLOOP_DATA=data)
    forget()
    try:
        yield
    finally:
        if db.get_engine.cache_info().currsize:
            db.get_engine().dispose()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        forget()


def forget() -> None:
    for cached in (get_settings, db.get_engine, db.get_session_factory):
        cached.cache_clear()


@pytest.fixture
def database(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a fresh, migrated database that only this test uses."""
    name = f"test_{next(_numbers)}"
    run_sql(server_url, f"create database {name} template template")
    url = named(server_url, name)
    with pointed_at(url, str(tmp_path_factory.mktemp("data"))):
        yield url
    run_sql(server_url, f"drop database {name} with (force)")


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    """A session on the test's database. Commit it before another connection should see anything."""
    with db.get_session_factory()() as session:
        yield session


@pytest.fixture
def client(database: str) -> Iterator[TestClient]:
    """A browser-like HTTP client on the real application; redirects are not followed."""
    from app.main import create_app

    with TestClient(create_app(), follow_redirects=False) as client:
        client.headers["sec-fetch-site"] = "same-origin"
        yield client


@pytest.fixture
def browsing(client: TestClient, session: Session) -> Browsing:
    """Signs people in on the client: `browsing.sign_in(person)`, `browsing.post(url, {...})`."""
    return Browsing(client, session)


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = {thread.ident for thread in threading.enumerate()}
    yield
    left = [
        thread
        for thread in threading.enumerate()
        if thread.ident not in before and not thread.daemon and thread.is_alive()
    ]
    for thread in left:
        thread.join(timeout=5)
