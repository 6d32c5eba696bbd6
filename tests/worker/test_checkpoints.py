import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import DomainError
from worker.checkpoints import (
    artefact_hash,
    newest_checkpoint,
    read_manifest,
    save_checkpoint,
    verify,
    write_artefact,
)


def write_text(text: str):  # type: ignore[no-untyped-def]
    def write(folder: Path) -> None:
        (folder / "weights").write_text(text)
        (folder / "below").mkdir()
        (folder / "below" / "more").write_text(text * 2)

    return write


def test_the_newest_checkpoint_comes_back_with_its_step_and_extra(tmp_path: Path) -> None:
    for step in (5, 40, 100):
        save_checkpoint(tmp_path, step, write_text(str(step)), extra={"cursor": step})
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.extra) == (100, {"cursor": 100})
    assert (found.path / "weights").read_text() == "100"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000040", "step-000000100"]


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing", "no manifest"])
def test_a_torn_checkpoint_is_passed_over_with_a_note(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path, 1, write_text("good"), extra={})
    torn = save_checkpoint(tmp_path, 2, write_text("gone"), extra={})
    if damage == "truncated":
        (torn / "weights").write_text("go")
    elif damage == "changed":
        (torn / "weights").write_text("bone")
    elif damage == "missing":
        (torn / "below" / "more").unlink()
    else:
        (torn / "manifest.json").write_text("{")
    notes: list[str] = []
    found = newest_checkpoint(tmp_path, notes.append)
    assert found is not None
    assert found.step == 1
    assert "step-000000002 is damaged" in notes[0]


def test_there_is_no_checkpoint_where_there_is_no_folder(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "never") is None


def test_a_full_disk_is_a_sentence_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, write_text("good"), extra={})

    def fill(folder: Path) -> None:
        (folder / "part").write_text("some")
        with Path("/dev/full").open("w") as stream:  # answers every write with “no space left”
            stream.write("weights")

    with pytest.raises(DomainError, match="The disk is full"):
        save_checkpoint(tmp_path, 2, fill, extra={})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]
    assert verify(tmp_path / "step-000000001") == []


def test_a_run_killed_while_it_writes_leaves_nothing_that_counts(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, write_text("good"), extra={})
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from worker.checkpoints import save_checkpoint\n"
        "def write(folder):\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "save_checkpoint(Path(sys.argv[1]), 2, write, extra={})\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001"]


def test_the_temporary_folder_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / f".step-000000009.{os.getppid()}.tmp"
    theirs.mkdir()
    save_checkpoint(tmp_path, 1, write_text("good"), extra={})
    newest_checkpoint(tmp_path)
    assert theirs.is_dir()


def test_an_artefact_replaces_an_older_one_whole_and_its_hash_is_that_of_its_content(
    tmp_path: Path,
) -> None:
    out = tmp_path / "model"
    write_artefact(out, write_text("one"), {"kind": "test"})
    one = artefact_hash(out)
    write_artefact(out, write_text("two"), {"kind": "test"})
    two = artefact_hash(out)
    write_artefact(out, write_text("one"), {"kind": "other words, same files"})
    assert one == artefact_hash(out) != two
    assert read_manifest(out)["kind"] == "other words, same files"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_artefact_that_fails_to_be_written_leaves_the_older_one(tmp_path: Path) -> None:
    out = write_artefact(tmp_path / "model", write_text("one"), {})

    def fail(folder: Path) -> None:
        (folder / "weights").write_text("two")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_artefact(out, fail, {})
    assert (out / "weights").read_text() == "one"
    assert verify(out) == []
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
