"""Others' evaluation sets as published: lines, lists and tables of prompts with completions.

RewardBench (arXiv 2403.13787; `allenai/reward-bench`) has `prompt`, `chosen`, `rejected` and
`subset`; RewardBench 2 (arXiv 2506.01937; `allenai/reward-bench-2`) has lists of `chosen` and
`rejected`, and a subset Ties whose ids are `ref:N` and `tied:N`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import Invalid
from worker.errors import TrainerError
from worker.models import Message
from worker.reward.data import read_object

TIES = "ties"


@dataclass(frozen=True)
class Item:
    """A prompt with completions, of which the first `n_right` are the better ones."""

    prompt: tuple[Message, ...]
    completions: tuple[tuple[Message, ...], ...]
    n_right: int
    subset: str
    name: str

    @property
    def is_tied(self) -> bool:
        return self.subset.lower() == TIES and self.name.partition(":")[0] in ("ref", "tied")


def read_items(path: Path) -> list[Item]:
    """Every item of a file of JSON lines, a JSON list, or Parquet where pyarrow is installed.

    Raises Invalid, which names line and field, and TrainerError for what cannot be read at all.
    """
    rows = _parquet(path) if path.suffix == ".parquet" else _json(path)
    items = [_item(row, number) for number, row in rows]
    if not items:
        raise TrainerError(f"{path.name} holds nothing to evaluate on.")
    return items


def _json(path: Path) -> list[tuple[int, Any]]:
    """What each line holds, or each place of a list, with its number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TrainerError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TrainerError(f"{path.name} is not UTF-8 text. Save it as UTF-8.") from error
    if text.lstrip().startswith("["):
        return _json_list(text)
    # Not splitlines: a text may hold a line separator of Unicode, which ends no line of JSON.
    lines = enumerate(text.split("\n"), 1)
    return [(number, read_object(line, number)) for number, line in lines if line.strip()]


def _json_list(text: str) -> list[tuple[int, Any]]:
    try:
        return list(enumerate(json.loads(text), 1))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The file is not a JSON list: {error}.") from error


def _parquet(path: Path) -> list[tuple[int, Any]]:
    try:
        from pyarrow.parquet import read_table
    except ImportError as error:
        raise TrainerError(
            "Reading Parquet takes pyarrow, which is not installed. Save the set as JSON lines."
        ) from error
    try:
        return list(enumerate(read_table(path).to_pylist(), 1))
    except (OSError, ValueError) as error:
        raise TrainerError(f"{path.name} is not Parquet, or it is damaged.") from error


def _item(row: Any, number: int) -> Item:
    if not isinstance(row, dict):
        raise Invalid(f"Item {number} is not a JSON object.", line=number)
    prompt = next((row[one] for one in ("prompt", "question", "input") if row.get(one)), None)
    chosen, rejected = (_sides(row.get(name), name, number) for name in ("chosen", "rejected"))
    if prompt is None:  # both sides are whole conversations that differ in the last message
        prompt = chosen[0][:-1]
        if any(one[:-1] != prompt for one in (*chosen, *rejected)):
            raise _wrong(number, "rejected", "begins with another conversation than “chosen”")
    if any(len(one) > 1 for one in (*chosen, *rejected)):  # the prompt stands before the answer
        chosen, rejected = ([one[-1:] for one in side] for side in (chosen, rejected))
    return Item(
        prompt=tuple(_messages(prompt, "prompt", "user", number)),
        completions=tuple(map(tuple, (*chosen, *rejected))),
        n_right=len(chosen),
        subset=str(row.get("subset") or "all"),
        name=str(row.get("id", number)),
    )


def _sides(value: Any, field: str, number: int) -> list[list[Message]]:
    """A text or a conversation is one completion; a list of texts or conversations is several."""
    is_conversation = isinstance(value, list) and value and isinstance(value[0], dict)
    given = [value] if isinstance(value, str) or is_conversation else value
    if not isinstance(given, list) or not given:
        raise _wrong(number, field, "must be a text, a conversation, or a list of either")
    return [_messages(one, field, "assistant", number) for one in given]


def _messages(value: Any, field: str, role: str, number: int) -> list[Message]:
    if isinstance(value, str):
        value = [{"role": role, "content": value}]
    is_right = isinstance(value, list) and all(
        isinstance(one, dict) and isinstance(one.get("content"), str) and one.get("role")
        for one in value
    )
    if not is_right or (not value and field != "prompt"):
        raise _wrong(number, field, "must be a text or a list of messages with role and content")
    if any("\ud800" <= letter <= "\udfff" for one in value for letter in one["content"]):
        raise _wrong(number, field, "holds half of a surrogate pair, which is no character")
    return [{"role": str(one["role"]), "content": one["content"]} for one in value]


def _wrong(number: int, field: str, problem: str) -> Invalid:
    return Invalid(f"Item {number}: “{field}” {problem}.", field=field, line=number)
