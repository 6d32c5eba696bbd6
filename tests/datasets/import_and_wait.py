"""A process that imports a file, says when rows are written, and never gets to the end."""

import sys
import time
from pathlib import Path

from app.datasets import importing
from app.datasets.importing import import_file


def stall(done: int, total: int) -> None:
    print("half way", flush=True)
    time.sleep(120)


if __name__ == "__main__":
    importing.TELL_EVERY_SECONDS = 0.3
    import_file(Path(sys.argv[1]), "garden", stall)
