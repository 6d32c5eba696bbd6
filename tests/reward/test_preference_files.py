import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import DomainError
from tests.reward.worlds import write_lines
from worker.models import load_tokenizer, make_tiny
from worker.reward.data import encode, hold_out, read_preferences

GOOD: dict[str, Any] = {"prompt": "tell me", "chosen": "yes it is", "rejected": "no"}


@pytest.mark.parametrize(
    ("line", "field", "words"),
    [
        ("{", None, "not JSON"),
        ("[]", None, "not a JSON object"),
        (json.dumps({**GOOD, "chosen": ""}), "chosen", "without text"),
        (json.dumps({**GOOD, "prompt": 7}), "prompt", "text or a list"),
        (json.dumps({**GOOD, "rejected": [{"role": "boss", "content": "x"}]}), "rejected", "role"),
        (json.dumps({**GOOD, "rating": 9}), "rating", "from 1 to 8"),
        (json.dumps({**GOOD, "rating": 0}), "rating", "from 1 to 8"),
        (json.dumps({**GOOD, "strength": 5}), "strength", "from 1 to 4"),
        (json.dumps({**GOOD, "weight": -1}), "weight", "at least 0"),
        (json.dumps({**GOOD, "weight": True}), "weight", "a number"),
        ('{"prompt": "a", "chosen": "\\ud800", "rejected": "b"}', "chosen", "surrogate"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number_and_field(
    tmp_path: Path, line: str, field: str | None, words: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n", "utf-8")
    with pytest.raises(DomainError, match=words) as refusal:
        read_preferences(path)
    assert refusal.value.line == 2
    assert refusal.value.field == field
    assert "Line 2" in refusal.value.message


def test_an_empty_file_a_missing_one_and_one_of_another_encoding_are_refused(
    tmp_path: Path,
) -> None:
    empty, latin = tmp_path / "empty", tmp_path / "latin"
    empty.write_text("\n")
    latin.write_bytes(b'{"prompt": "\xe9"}\n')
    for path, words in ((empty, "no comparison"), (latin, "UTF-8"), (tmp_path / "no", "cannot")):
        with pytest.raises(DomainError, match=words):
            read_preferences(path)


@pytest.mark.parametrize(("rating", "strength"), [(1, 4), (4, 1), (5, 1), (7, 3), (4.5, 1)])
def test_strength_follows_from_the_rating(tmp_path: Path, rating: float, strength: float) -> None:
    path = write_lines(tmp_path / "one", [{**GOOD, "rating": rating}])
    assert read_preferences(path)[0].strength == strength


def test_no_prompt_is_both_trained_on_and_held_out(tmp_path: Path) -> None:
    lines = [{**GOOD, "prompt": f"prompt {index % 20}"} for index in range(200)]
    rows = read_preferences(write_lines(tmp_path / "many", lines))
    train, held = hold_out(rows, 0.1, seed=3)
    assert len(train) + len(held) == 200
    assert len(held) == 20
    assert not {row.group for row in train} & {row.group for row in held}
    assert hold_out(rows, 0.1, seed=3) == (train, held)


def test_one_prompt_alone_is_split_by_rows_and_one_row_is_refused(tmp_path: Path) -> None:
    rows = read_preferences(write_lines(tmp_path / "one", [GOOD] * 10))
    train, held = hold_out(rows, 0.1, seed=0)
    assert (len(train), len(held)) == (9, 1)
    with pytest.raises(DomainError, match="at least two"):
        hold_out(rows[:1], 0.1, seed=0)


def test_a_long_conversation_loses_the_beginning_of_its_prompt_and_is_counted(
    tmp_path: Path,
) -> None:
    line = {"prompt": "one two three four five six", "chosen": "seven", "rejected": "eight"}
    rows = read_preferences(write_lines(tmp_path / "one", [line]))
    tokenizer = load_tokenizer(str(make_tiny(rows[0].texts, tmp_path / "tiny")))
    data = encode(rows, tokenizer, 4)
    assert data.n_truncated == 2
    assert tokenizer.decode(data.sequences[0]) == "six <assistant> seven <eos>"
