"""What others wrote and browsers run is what was looked at, and nothing else."""

from base64 import b64encode
from hashlib import sha384

from app.settings import REPOSITORY

VENDOR = REPOSITORY / "static" / "vendor"


def test_every_file_of_others_is_the_one_in_the_manifest() -> None:
    listed = dict(line.split() for line in (VENDOR / "MANIFEST").read_text().splitlines())
    found = {
        str(
            file.relative_to(VENDOR)
        ): f"sha384-{b64encode(sha384(file.read_bytes()).digest()).decode()}"
        for file in VENDOR.rglob("*")
        if file.is_file() and file.name != "MANIFEST" and "LICENSE" not in file.name
    }
    assert found == listed
