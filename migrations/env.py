"""Runs migrations under an advisory lock, so that two starting processes do not collide."""

import os

from alembic import context
from sqlalchemy import create_engine, pool, text

from app.db import with_driver
from app.tables import Base

LOCK = 0x70726566  # any number, the same for all of us


def database_url() -> str:
    configured = context.config.get_main_option("sqlalchemy.url")
    url = context.get_x_argument(as_dictionary=True).get("url") or configured
    return with_driver(url or os.environ["DATABASE_URL"])


def run() -> None:
    engine = create_engine(database_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()
        connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()
    engine.dispose()


run()
