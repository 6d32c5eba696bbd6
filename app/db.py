"""The engine, the sessions, and the one place where a commit happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.settings import REPOSITORY, get_settings

# Connections that broke, and a server that stops, starts or was told to end this session; see
# "PostgreSQL Error Codes" in its manual.
AWAY = ("08", "57P0")


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
    return create_engine(
        with_driver(settings.database_url),
        pool_size=settings.pool_size,
        max_overflow=settings.pool_size,
        pool_pre_ping=True,
        connect_args={"application_name": "prefloop"},
    )


@lru_cache
def get_session_factory() -> sessionmaker[Session]:
    return sessionmaker(get_engine(), expire_on_commit=False)


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
