"""The exported files in other people's libraries, as they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from app.datasets.service import export_file, freeze
from app.tables.projects import Project
from tests.datasets.support import add_pairs, answer, answer_flag, make_flag
from tests.support import make_person, make_project

PROGRAM = Path(__file__).with_name("train_on_export.py")


def export_both(session: Session, folder: Path, flag_every: int) -> Project:
    """Thirty answers exported by split; each `flag_every`th, from the end, has flags."""
    project, alice = make_project(session), make_person(session)
    flag = make_flag(session, project)
    pairs = add_pairs(session, project, 30)
    for number, pair in enumerate(reversed(pairs)):
        comparison = answer(session, pair, alice, rating=1 + number % 8)
        if number % flag_every == flag_every - 1:
            answer_flag(session, comparison, flag, None, pair.completion_a_id)
            answer_flag(session, comparison, flag, 1, pair.completion_b_id)
    freeze(session, project)
    session.commit()
    for split in ("train", "eval"):
        export_file("garden", None, folder / f"{split}.jsonl", split)
    return project


@pytest.mark.slow
def test_trls_reward_and_dpo_trainers_take_the_export_as_it_is(
    session: Session, tmp_path: Path
) -> None:
    export_both(session, tmp_path, flag_every=2)

    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_OFFLINE": "1"},
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert "RewardTrainer steps 2" in done.stdout
    assert "DPOTrainer steps 2" in done.stdout
    assert "annotator" in done.stdout


@pytest.mark.slow
def test_datasets_reads_one_schema_even_where_flags_come_late(
    session: Session, tmp_path: Path
) -> None:
    """Blocks of a few lines stand in for the ten megabytes from which types are inferred."""
    export_both(session, tmp_path, flag_every=10)
    program = (
        "import sys\nfrom datasets import load_dataset\n"
        "data = load_dataset('json', data_files=sys.argv[1], split='train', chunksize=2000,"
        " cache_dir=sys.argv[2])\n"
        "print(data.features['flags'], len(data), data[0]['prompt'][0]['role'])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "train.jsonl"), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_OFFLINE": "1"},
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert "int64" in done.stdout
    assert "user" in done.stdout
