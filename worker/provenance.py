"""Where an artefact came from: the code, the libraries and the bytes it was made of."""

import hashlib
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("prefloop", "torch", "transformers", "tokenizers", "safetensors", "numpy")


def code_commit() -> str | None:
    """The git commit of this code, with `-dirty` when files differ from it; None outside git."""
    git, here = shutil.which("git"), Path(__file__).resolve().parent
    if git is None:
        return None
    answer = subprocess.run(
        [git, "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that the numbers depend on."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
