"""The tail of a log file, for a message that should say why something failed."""

from pathlib import Path


def size(log: Path) -> int:
    """Bytes written so far; 0 when there is no file yet."""
    return log.stat().st_size if log.exists() else 0


def last_lines(log: Path, start: int = 0, *, most: int = 8) -> list[str]:
    """At most `most` of the lines written after byte `start`."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(start, size(log) - 4000))
        return file.read().decode(errors="replace").strip().splitlines()[-most:]


def last_words(log: Path, start: int = 0) -> str:
    """The last lines written after byte `start`, as a sentence and a quotation."""
    lines = last_lines(log, start)
    if not lines:
        return f"{log} says nothing."
    return f"The last lines of {log} are:\n" + "\n".join(f"    {line}" for line in lines)
