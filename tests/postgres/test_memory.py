"""How much memory the embedded server shares between its processes."""

import os
from pathlib import Path

import pytest

from app.postgres.host import shared_memory_mb

MIB = 2**20


@pytest.mark.parametrize(
    ("machine", "container", "expected"),
    [
        (24 * 1024, "max", 1024),
        (24 * 1024, str(2 * 1024 * MIB), 256),
        (512, "max", 128),
        (4 * 1024, "", 512),
    ],
)
def test_an_eighth_of_what_machine_and_container_have_within_bounds(
    monkeypatch: pytest.MonkeyPatch, machine: int, container: str, expected: int
) -> None:
    values = {"SC_PHYS_PAGES": machine * MIB // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", values.__getitem__)
    monkeypatch.setattr(Path, "read_text", lambda *_: container)
    assert shared_memory_mb() == expected
