"""A `prefloop run` of the tests' own: small real children in place of the web server and worker.

Arguments: data folder, port, then one program a child, each a JSON list after its name.
"""

import json
import sys
from pathlib import Path

from app.children import Child
from app.errors import DomainError
from app.settings import Settings
from app.supervisor import run_everything


def main() -> None:
    folder, port, *programs = sys.argv[1:]
    settings = Settings(data=Path(folder), port=int(port), database_url="")

    def children(url: str) -> list[Child]:
        env = {"DATABASE_URL": url, "PORT": port}
        return [
            Child(name, (sys.executable, *json.loads(argv)), env, Path(folder) / f"{name}.log", 30)
            for name, argv in zip(programs[::2], programs[1::2], strict=True)
        ]

    try:
        run_everything(settings, lambda url: [f"prepared {url}"], children=children)
    except DomainError as error:
        print(error.message, flush=True)
        sys.exit(3)


if __name__ == "__main__":
    main()
