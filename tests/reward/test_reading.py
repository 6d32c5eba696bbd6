"""What the trainer reads in an exported preference set."""

import json
from pathlib import Path

from worker.reward.data import Preference, read_preferences

ROW = {
    "prompt": [{"role": "user", "content": "Which?"}],
    "chosen": [{"role": "assistant", "content": "This."}],
    "rejected": [{"role": "assistant", "content": "That."}],
    "rating": 4,
    "is_about_equal": True,
    "flags": [
        {"key": "rude", "scope": "completion", "side": "A", "value": 1},
        {"key": "off_topic", "scope": "completion", "side": "B", "value": 0},
        {"key": "closed", "scope": "prompt", "side": None, "value": None},
    ],
}


def read(tmp_path: Path, **changes: object) -> Preference:
    file = tmp_path / "preferences.jsonl"
    file.write_text(json.dumps(ROW | changes) + "\n")
    return read_preferences(file)[0]


def test_an_answer_marked_about_equal_is_learnt_as_a_tie(tmp_path: Path) -> None:
    assert read(tmp_path).is_tie
    assert not read(tmp_path, is_about_equal=False).is_tie


def test_of_the_flags_those_that_were_raised_are_kept(tmp_path: Path) -> None:
    assert read(tmp_path).flags == ("rude",)


def test_flags_may_be_plain_names(tmp_path: Path) -> None:
    assert read(tmp_path, flags=["rude", "long"]).flags == ("long", "rude")
