"""A checkpoint that cannot be written: the training says so, and the last good one stays."""

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.reward.test_training import CONFIGURATION
from tests.reward.worlds import fruit_preferences, write_lines
from worker.checkpoints import newest_checkpoint
from worker.errors import TrainerError
from worker.models import load_reward_model, load_tokenizer
from worker.progress import SilentProgress
from worker.reward.data import encode, read_preferences
from worker.reward.train import train
from worker.runtime import start_runtime
from worker.tiny import make_tiny

LARGEST = 50_000  # bytes a file, far less than a checkpoint


@pytest.fixture
def limit() -> Iterator[tuple[int, int]]:
    """The limits on a file's size, as they are again after the test."""
    found = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield found
    resource.setrlimit(resource.RLIMIT_FSIZE, found)


class Filling(SilentProgress):
    """No file may grow from the third step on, as where a disk has filled up."""

    def metrics(self, step: int, values: dict[str, float]) -> None:
        super().metrics(step, values)
        if step == 3:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, hard))


def test_a_training_whose_checkpoint_cannot_be_written_stops_with_a_sentence_and_goes_on_later(
    tmp_path: Path, limit: tuple[int, int]
) -> None:
    rows = read_preferences(write_lines(tmp_path / "few", fruit_preferences(96)))
    runtime = start_runtime(0, "cpu", threads=1)
    name = str(make_tiny((text for row in rows for text in row.texts), tmp_path / "tiny"))
    tokenizer = load_tokenizer(name)
    data = encode(rows, tokenizer, 64)
    checkpoints = tmp_path / "checkpoints"
    configuration = replace(CONFIGURATION, checkpoint_every=2, epochs=1.0)

    def learn(progress: SilentProgress, folder: Path) -> Any:
        torch.manual_seed(0)
        model = load_reward_model(name, runtime, tokenizer)
        return train(
            model, data, configuration, runtime, progress, checkpoints=folder, data_hash="few"
        )

    with pytest.raises(TrainerError, match="The disk is full"):
        learn(Filling(), checkpoints)
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    kept = newest_checkpoint(checkpoints)
    assert kept is not None
    assert kept.step == 2
    assert not list(checkpoints.glob(".*")), "half a checkpoint was left"
    going_on = SilentProgress()
    resumed = learn(going_on, checkpoints)
    assert going_on.notes == ["Resumed after step 2."]
    undisturbed = learn(SilentProgress(), tmp_path / "others")
    for one, two in zip(resumed.parameters(), undisturbed.parameters(), strict=True):
        assert torch.equal(one, two)
