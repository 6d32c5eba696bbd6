"""What a part of the data is worth, by leaving it out."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.reward.worlds import fruit_preferences, write_lines
from worker.progress import SilentProgress
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import read_preferences
from worker.reward.leaving import Part, compare, leave_out, worth
from worker.reward.reliability import Reliability
from worker.reward.strength import Loss


def test_a_cost_is_paired_and_a_part_that_changes_nothing_is_worth_nothing() -> None:
    stream = np.random.default_rng(0)
    whole = stream.normal(1, 1, 500)
    same = compare(whole, whole, whole)
    assert same["log_loss"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    worse = compare(whole, whole - 0.3, whole - 0.3 + stream.normal(0, 0.01, 500))
    assert 0 < worse["log_loss"]["low"] < worse["log_loss"]["value"] < worse["log_loss"]["high"]
    assert worse["accuracy"]["value"] > 0
    assert abs(worse["beyond_random"]["value"]) < 0.01


def test_each_part_is_left_out_once_and_what_was_found_is_not_learnt_again(tmp_path: Path) -> None:
    lines = fruit_preferences(120)
    for number, line in enumerate(lines):
        line["annotator"] = ["amy", "bob", "cleo"][number % 3]
        line["flags"] = ["rude"] if number % 4 == 0 else []
    rows = read_preferences(write_lines(tmp_path / "p.jsonl", lines))
    parts = [Part("flag", "rude"), Part("annotator", "amy", frozenset({"amy"})),
             Part("flag", "never")]  # fmt: skip
    asked: list[tuple[str, int]] = []

    def learn(kept: list[int], name: str) -> np.ndarray:
        asked.append((name, len(kept)))
        return np.full(5, len(kept) / 100)

    def go(most: int | None) -> dict[str, object]:
        return leave_out(rows, rows[:5], parts, learn, SilentProgress(), folder=tmp_path, most=most)

    first = go(2)
    assert (first["is_done"], first["n_total"]) == (False, 7)
    assert asked == [("all", 120), ("0", 90)]
    last = go(None)
    assert last["is_done"]
    assert [name for name, _ in asked] == ["all", "0", "0 at random", "1", "1 at random"]
    rude, amy, never = last["parts"]
    assert (rude["n"], amy["n"], never["n"]) == (30, 40, 0)
    assert rude["log_loss"]["value"] > 0
    assert rude["beyond_random"]["value"] == 0
    assert "log_loss" not in never


@pytest.mark.parametrize("is_whole", [False, True])
def test_the_command_measures_by_heads_or_by_whole_trainings(
    tmp_path: Path, is_whole: bool
) -> None:
    good = [{**line, "annotator": "amy"} for line in fruit_preferences(96)]
    spoilt = [
        {**line, "chosen": line["rejected"], "rejected": line["chosen"], "annotator": "bob"}
        for line in fruit_preferences(48, seed=1)
    ]
    train = write_lines(tmp_path / "p.jsonl", [*good, *spoilt])
    held_out = write_lines(tmp_path / "e.jsonl", fruit_preferences(60, seed=2))
    parts = tmp_path / "parts.json"
    parts.write_text(json.dumps([{"kind": "group", "key": "g", "annotators": ["bob"]}]), "utf-8")
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"configuration": {
        "base_model": "tiny", "learning_rate": 2e-3, "batch_size": 16, "epochs": 4}}))  # fmt: skip
    worth(
        preferences=train, evaluation=held_out, parts=parts, base_model="tiny",
        folder=tmp_path / "found", configuration=manifest if is_whole else None, most=3,
        report=tmp_path / "r.json", progress="none", threads=1,
    )  # fmt: skip
    report = json.loads((tmp_path / "r.json").read_text("utf-8"))
    (bob,) = report["parts"]
    assert report["is_done"]
    assert report["method"] == ("whole trainings" if is_whole else "heads on frozen features")
    assert bob["n"] == 48
    assert bob["log_loss"]["value"] < 0, "better without him than with him"
    beyond = bob["beyond_random"]
    assert beyond["low"] < beyond["value"] < beyond["high"]
    # Bob answered the wrong way round: better without him than without as many of all. A few
    # dozen steps of whole trainings are too few for a sign: over seeds it falls either way.
    assert is_whole or beyond["value"] < 0


def test_a_configuration_read_from_a_manifest_is_the_one_that_was_written() -> None:
    told = RewardConfiguration("tiny", loss=Loss.SOFT, reliability=Reliability.OFF, epochs=2)
    found = RewardConfiguration.of(json.loads(json.dumps(told.as_dict())))
    assert found == told
    assert found.loss is Loss.SOFT
    assert found.reliability is Reliability.OFF
