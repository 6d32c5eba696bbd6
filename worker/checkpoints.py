"""Folders that are either whole or not there: checkpoints and finished artefacts.

A folder is written under a temporary name, synced, listed in `manifest.json` with the size and
SHA-256 of each file, and renamed. Whatever is read back is checked against that list.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.errors import TrainerError

MANIFEST = "manifest.json"
Write = Callable[[Path], None]
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# PyTorch's writer says neither which error it met nor its number.
_WRITER = ("PytorchStreamWriter failed", "unexpected pos", "iostream error")
_SLACK_BYTES = 1 << 20


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose manifest verified when it was found."""

    step: int
    path: Path
    extra: dict[str, Any]


def save_checkpoint(
    folder: Path, step: int, write: Write, *, extra: dict[str, Any], keep: int = 2
) -> Path:
    """Write `folder/step-…` through `write(temporary folder)`; keep the newest `keep` of them.

    Raises TrainerError when the disk is full; older checkpoints then stay as they are.
    """
    final = folder / f"step-{step:09d}"
    path = _write_folder(final, write, {"step": step, "extra": extra})
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def newest_checkpoint(
    folder: Path, note: Callable[[str], None] = lambda _message: None
) -> Checkpoint | None:
    """The newest checkpoint that is whole; a torn one is skipped and told to `note`."""
    if not folder.is_dir():
        return None
    _remove_leftovers(folder)
    for path in sorted(folder.glob("step-*"), reverse=True):
        problems = verify(path)
        if problems:
            note(f"Checkpoint {path.name} is damaged and is left out: {problems[0]}")
            continue
        manifest = read_manifest(path)
        return Checkpoint(int(manifest["step"]), path, dict(manifest["extra"]))
    return None


def checkpoint_of(
    folder: Path, identity: dict[str, Any], note: Callable[[str], None]
) -> Checkpoint | None:
    """The newest whole checkpoint of the run with this identity; None before the first.

    Its `extra` is the identity, or holds it by that name. Raises TrainerError where another run
    left it.
    """
    found = newest_checkpoint(folder, note)
    if found is not None and found.extra.get("identity", found.extra) != identity:
        raise TrainerError(
            f"{folder} holds checkpoints of a run with other data or another configuration. "
            "Choose another output folder, or delete them to start anew."
        )
    return found


def write_artefact(out: Path, write: Write, manifest: dict[str, Any]) -> Path:
    """Write the folder `out` whole or not at all; an older one is replaced at the last moment.

    Raises TrainerError when the disk is full.
    """
    return _write_folder(out, write, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest as it was written; verify first. Raises TrainerError when it is unreadable."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise TrainerError(f"{folder} has no readable {MANIFEST}: {error}") from error
    if not isinstance(manifest, dict):
        raise TrainerError(f"{folder / MANIFEST} does not hold a JSON object.")
    return manifest


def verify(folder: Path) -> list[str]:
    """What is wrong with a folder that this module wrote, in sentences; empty when it is whole."""
    try:
        files = read_manifest(folder)["files"]
    except TrainerError as error:
        return [error.message]
    except KeyError:
        return [f"{folder / MANIFEST} lists no files."]
    problems = []
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing.")
        elif path.stat().st_size != expected["bytes"]:
            problems.append(f"{name} has {path.stat().st_size} bytes, not {expected['bytes']}.")
        elif _sha256(path) != expected["sha256"]:
            problems.append(f"{name} does not have the content that its hash promises.")
    return problems


def artefact_hash(folder: Path) -> str:
    """SHA-256 over the sorted names and hashes of the files that the manifest lists."""
    files = read_manifest(folder)["files"]
    listing = "\n".join(f"{name} {files[name]['sha256']}" for name in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()


def _write_folder(final: Path, write: Write, manifest: dict[str, Any]) -> Path:
    with _full_disk_in_words(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(final.parent, final.name)
        temporary = final.parent / f".{final.name}.{os.getpid()}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir()
            write(temporary)
            listing = {**manifest, "files": _list_files(temporary)}
            (temporary / MANIFEST).write_text(
                json.dumps(listing, indent=2, sort_keys=True, ensure_ascii=False), "utf-8"
            )
            _sync(temporary)
            _swap(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return final


def _swap(temporary: Path, final: Path) -> None:
    old = final.parent / f".{final.name}.{os.getpid()}.old.tmp"
    if final.exists():
        final.rename(old)
    temporary.rename(final)
    _sync_one(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def _list_files(folder: Path) -> dict[str, dict[str, Any]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": _sha256(path),
        }
        for path in paths
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync_one(path)
    _sync_one(folder)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(folder: Path, name: str = "*") -> None:
    """Remove temporary folders of runs that were killed; a living process keeps its own."""
    for path in folder.glob(f".{name}.*.tmp"):
        owner = path.name.removesuffix(".tmp").removesuffix(".old").rsplit(".", 1)[-1]
        if owner.isdigit() and not _is_alive(int(owner)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def _full_disk_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not _is_disk_full(error, path):
            raise
        raise TrainerError(
            f"The disk is full: {path.name} could not be written below {path.parent}. Nothing "
            "saved before was touched. Free some space and start the run again; it goes on from "
            "its newest checkpoint."
        ) from error


def _is_disk_full(error: BaseException, path: Path) -> bool:
    """Whether an error means a full disk, also where a native library hides the error number."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    if "os error 28" in str(error) or "No space left" in str(error):
        return True
    if not isinstance(error, RuntimeError):
        return False
    if any(one in str(error) for one in _WRITER):
        return True
    existing = next(one for one in (path, *path.parents) if one.exists())
    return shutil.disk_usage(existing).free < _SLACK_BYTES
