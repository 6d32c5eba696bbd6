"""A process for the tests to kill: runs a server on a folder until its input ends."""

import sys
from pathlib import Path

from app.errors import DomainError
from app.postgres import EmbeddedPostgres


def main() -> None:
    server = EmbeddedPostgres(Path(sys.argv[1]), fsync="--fsync" in sys.argv)
    try:
        with server:
            print(server.pid, server.url, flush=True)
            sys.stdin.read()
    except DomainError as error:
        print(error.message, flush=True)
        sys.exit(3)


if __name__ == "__main__":
    main()
