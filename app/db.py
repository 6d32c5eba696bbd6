"""The engine, the sessions, and the one place where a commit happens."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

import psycopg
from alembic import command
from alembic.config import Config
from psycopg.rows import RowMaker, namedtuple_row
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    NoResultFound,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from app.settings import REPOSITORY, get_settings

# Connections that broke, and a server that stops, starts or was told to end this session; see
# "PostgreSQL Error Codes" in its manual.
AWAY = ("08", "57P0")
# A connection that lay in the pool for longer is tried before it is used.
REST_SECONDS = 1.0
_DRIVER = "driver's connection"

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]
_NUMBERING = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


def is_server_away(error: SQLAlchemyError) -> bool:
    """Whether the server cannot be reached for now, whatever is asked of it."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError):
        return False
    # An error without a code comes from the client, which did not get as far as the server.
    code = getattr(error.orig, "sqlstate", None)
    return code is None or code.startswith(AWAY)


def is_passing(error: SQLAlchemyError) -> bool:
    """Whether the same may go well later: the server is away, or refused this one statement.

    A statement is refused for a deadlock, a timeout or a full disk.
    """
    return is_server_away(error) or isinstance(error, OperationalError)


def with_driver(url: str) -> str:
    """The URL with psycopg 3 named, whichever way it was written."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


@lru_cache
def get_engine() -> Engine:
    """The process's engine. Raises ValueError when no `DATABASE_URL` is set."""
    settings = get_settings()
    if not settings.database_url:
        raise ValueError("DATABASE_URL is not set. Start Prefloop with `prefloop run`, or set it.")
    engine = create_engine(
        with_driver(settings.database_url),
        pool_size=settings.pool_size,
        max_overflow=settings.pool_size,
        connect_args={"application_name": "prefloop"},
    )
    event.listen(engine, "checkin", _note_rest)
    event.listen(engine, "checkout", _ping_after_rest)
    return engine


def _note_rest(_: Any, record: ConnectionPoolEntry) -> None:
    record.info["rests since"] = time.monotonic()


def _ping_after_rest(
    connection: psycopg.Connection[Any], record: ConnectionPoolEntry, _: Any
) -> None:
    """SQLAlchemy's `pool_pre_ping`, spared where the connection was in use a moment ago."""
    if time.monotonic() - record.info.get("rests since", math.inf) < REST_SECONDS:
        return
    try:
        _DIALECT.do_ping(connection)  # type: ignore[no-untyped-call]
    except psycopg.Error as error:
        raise DisconnectionError from error


@lru_cache
def get_session_factory() -> sessionmaker[Session]:
    return sessionmaker(get_engine(), expire_on_commit=False)


class Statement:
    """SQL with `:names` that the driver sends itself, in the session's transaction.

    A third of what `session.execute(text(...))` costs; for the statements of the busiest request.
    Rows are named tuples. Pending changes are not flushed, and objects that the session knows do
    not learn of anything. Errors are those of SQLAlchemy.
    """

    def __init__(self, sql: str) -> None:
        self.text = sql
        # Numbered here: the driver would search a long text for its names at each execution.
        compiled = text(sql).compile(dialect=_NUMBERING)
        self._sent, self._names = str(compiled).encode(), compiled.positiontup or []
        self._make_row: RowMaker[Any] | None = None

    def run(self, session: Session, values: dict[str, Any]) -> None:
        self._execute(session, values)

    def first(self, session: Session, values: dict[str, Any]) -> Any:
        """The first row, or None."""
        return self._execute(session, values).fetchone()

    def one(self, session: Session, values: dict[str, Any]) -> Any:
        """The first row. Raises NoResultFound."""
        row = self.first(session, values)
        if row is None:
            raise NoResultFound("A row was expected, and none was found.")
        return row

    def _execute(self, session: Session, values: dict[str, Any]) -> psycopg.RawCursor[Any]:
        connection, driver = _driver_of(session)
        try:
            cursor = psycopg.RawCursor(driver, row_factory=self._rows)
            return cursor.execute(self._sent, [values[name] for name in self._names], prepare=True)
        except psycopg.Error as error:
            is_gone = driver.closed
            if is_gone:
                connection.invalidate(error)
            raise DBAPIError.instance(
                self.text, values, error, psycopg.Error,
                connection_invalidated=is_gone, dialect=connection.dialect,
            ) from error  # fmt: skip

    def _rows(self, cursor: "psycopg.Cursor[Any]") -> RowMaker[Any]:
        """`namedtuple_row`, which looks up the columns' names at each execution, once."""
        if self._make_row is None:
            self._make_row = namedtuple_row(cursor)
        return self._make_row


def _driver_of(session: Session) -> tuple[Connection, "psycopg.Connection[Any]"]:
    """The session's connection and the driver's, looked up once a transaction."""
    known = session.info.get(_DRIVER)
    if known is not None and known[0] is session.get_transaction():
        return known[1], known[2]
    connection = session.connection()
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    session.info[_DRIVER] = (session.get_transaction(), connection, driver)
    return connection, driver


@contextmanager
def session_scope() -> Iterator[Session]:
    """A session that commits at the end of the block, or rolls back when it raises."""
    with get_session_factory()() as session, session.begin():
        yield session


def alembic_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "migrations"))
    config.set_main_option("sqlalchemy.url", with_driver(url).replace("%", "%%"))
    return config


def migrate(url: str) -> None:
    """Bring the database at `url` to the newest schema; two callers at once wait for each other."""
    command.upgrade(alembic_config(url), "head")
