"""Migrations up, down and up again on a throw-away server, and no table they forgot.

Run by `make check`: `python -m tests.migrations_check`.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.util import CommandError
from sqlalchemy import create_engine, inspect

from app.db import alembic_config
from app.postgres import EmbeddedPostgres


def tables(url: str) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names()) - {"alembic_version"}
    finally:
        engine.dispose()


def complaints(url: str) -> list[str]:
    """What is wrong with the migrations, as sentences."""
    config = alembic_config(url)
    command.upgrade(config, "head")
    found = []
    try:
        command.check(config)
    except CommandError as error:
        found.append(f"The tables and the migrations differ. {error}")
    first = tables(url)
    command.downgrade(config, "base")
    if left := tables(url):
        found.append(f"Migrating down leaves {', '.join(sorted(left))} behind.")
    command.upgrade(config, "head")
    if tables(url) != first:
        found.append("Migrating up a second time makes other tables than the first time.")
    return found


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="prefloop-") as folder,
        EmbeddedPostgres(Path(folder), fsync=False) as server,
    ):
        found = complaints(server.url)
    for sentence in found:
        print(sentence, file=sys.stderr)
    if found:
        sys.exit(1)
    print("Migrations go up, down and up again, and make every table.")


if __name__ == "__main__":
    main()
