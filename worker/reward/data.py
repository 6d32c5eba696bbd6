"""Preference files: reading, splitting and encoding.

A line is one comparison: `prompt` (messages or text), `chosen` and `rejected` (messages or text),
and, when known, `strength` (1 to 4) or `rating` (1 to 8), `weight`, `annotator`, `flags`, `group`,
`pair`, `ranking` (the one it follows from) and `is_about_equal` (or `is_tie`): the annotator leaned
to a side but found both as good. `worker.reward.marks` reads what was said of each completion.
"""

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.errors import Invalid
from worker.errors import TrainerError
from worker.models import Message, encode_conversation
from worker.reward.marks import Marks, read_marks

_ROLES = {"system", "user", "assistant", "tool"}


@dataclass(frozen=True)
class Preference:
    """One comparison. `strength` is 1 (slightly better) to 4 (far better); `weight` counts it."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    strength: float = 1.0
    weight: float = 1.0
    is_tie: bool = False
    group: str = ""
    annotator: str = ""
    flags: tuple[str, ...] = ()
    pair: str = ""
    ranking: str = ""
    marks: tuple[Marks, Marks] = ((), ())  # what was said of the chosen and the rejected one

    @property
    def texts(self) -> Iterator[str]:
        for message in (*self.prompt, *self.chosen, *self.rejected):
            yield message["content"]


def read_preferences(path: Path) -> list[Preference]:
    """Every comparison of a JSON-lines file.

    Raises Invalid, which names the line and the field, and TrainerError for an unreadable or
    empty file.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            lines = [_parse(line, number) for number, line in enumerate(stream, 1) if line.strip()]
    except OSError as error:
        raise TrainerError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TrainerError(f"{path} is not UTF-8 text. Save it as UTF-8 and try again.") from error
    if not lines:
        raise TrainerError(f"{path} holds no comparison. Freeze a preference set first.")
    return lines


def read_object(line: str, number: int) -> dict[str, Any]:
    """The object that a line of JSON holds. Raises Invalid with the line's number."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise Invalid(f"Line {number} is not JSON: {error}.", line=number) from error
    except RecursionError:
        raise Invalid(f"Line {number} is nested too deeply.", line=number) from None
    if not isinstance(row, dict):
        raise Invalid(f"Line {number} is not a JSON object.", line=number)
    return row


def _parse(line: str, number: int) -> Preference:
    row = read_object(line, number)
    prompt = read_messages(row, "prompt", "user", number)
    return Preference(
        prompt=prompt,
        chosen=read_messages(row, "chosen", "assistant", number),
        rejected=read_messages(row, "rejected", "assistant", number),
        strength=_strength(row, number),
        weight=_number(row, "weight", number, low=0.0, high=math.inf, default=1.0),
        is_tie=bool(row.get("is_about_equal", row.get("is_tie", False))),
        group=str(row.get("group") or json.dumps(prompt, sort_keys=True)),
        annotator=str(row.get("annotator") or ""),
        ranking=str(row.get("ranking") or ""),
        flags=tuple(sorted(_raised(row.get("flags") or ()))),
        pair=str(row.get("pair") or ""),
        marks=read_marks(row, number),
    )


def _raised(flags: Sequence[object]) -> set[str]:
    """The keys of the flags answered with yes or a rating; plain names stay as they are."""
    return {
        str(flag["key"]) if isinstance(flag, dict) else str(flag)
        for flag in flags
        if not isinstance(flag, dict) or flag.get("value")
    }


def read_messages(row: dict[str, Any], field: str, role: str, number: int) -> tuple[Message, ...]:
    """A line's field as messages; a text is one message of that role. Raises Invalid."""
    value = row.get(field)
    if isinstance(value, str):
        value = [{"role": role, "content": value}]
    if not isinstance(value, list) or not value:
        raise _wrong(number, field, "must be a text or a list of messages")
    return tuple(_message(one, field, number) for one in value)


def _message(value: object, field: str, number: int) -> Message:
    if not isinstance(value, dict) or value.get("role") not in _ROLES:
        raise _wrong(number, field, f"needs a role out of {', '.join(sorted(_ROLES))}")
    content = value.get("content")
    if not isinstance(content, str) or not content.strip():
        raise _wrong(number, field, "holds a message without text")
    if any("\ud800" <= character <= "\udfff" for character in content):
        raise _wrong(number, field, "holds half of a surrogate pair, which is no character")
    return {"role": value["role"], "content": content}


def _strength(row: dict[str, Any], number: int) -> float:
    if row.get("strength") is not None:
        return _number(row, "strength", number, low=1.0, high=4.0, default=1.0)
    if row.get("rating") is None:
        return 1.0
    rating = _number(row, "rating", number, low=1.0, high=8.0, default=4.5)
    return max(1.0, abs(rating - 4.5) + 0.5)


def _number(
    row: dict[str, Any], field: str, number: int, *, low: float, high: float, default: float
) -> float:
    value = row.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(number, field, "must be a number")
    if not low <= value <= high:
        limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise _wrong(number, field, f"is {value:g}, and must be {limits}")
    return float(value)


def _wrong(number: int, field: str, problem: str) -> Invalid:
    return Invalid(f"Line {number}: “{field}” {problem}.", field=field, line=number)


def hold_out(
    rows: Sequence[Preference], fraction: float, seed: int
) -> tuple[list[Preference], list[Preference]]:
    """Split into training and held-out rows so that no group (prompt) is in both.

    A single group is split by rows, for there is no other way.
    Raises TrainerError with fewer than two rows.
    """
    if len(rows) < 2:
        raise TrainerError("A reward model needs at least two comparisons, one of them held out.")
    stream = random.Random(f"hold out {seed}")  # noqa: S311 (no secret)
    groups: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        groups[row.group].append(index)
    units = list(groups.values()) if len(groups) > 1 else [[index] for index in range(len(rows))]
    stream.shuffle(units)
    wanted, held = max(1, round(fraction * len(rows))), set[int]()
    for unit in units[:-1]:
        if len(held) >= wanted:
            break
        held.update(unit)
    train = [row for index, row in enumerate(rows) if index not in held]
    return train, [row for index, row in enumerate(rows) if index in held]


@dataclass(frozen=True)
class Encoded:
    """N comparisons over U distinct conversations, each encoded once.

    sequences: U lists of token ids. chosen, rejected: [N] indices into them. strengths, weights,
    is_tie: [N]. groups: N names. n_truncated: how many of the U were cut to the maximum length.
    annotators: N names, "" where unknown; empty where nobody is. offsets: [N], what is added to
    the log-odds of the chosen one beside scores, if anything is. rankings: N names, "" for a
    comparison by itself; may be empty. posteriors: [N, 8], what the next reader would say of the
    pair, from the chosen one far better to the rejected one; rows of 0 where nothing is known.
    """

    sequences: list[list[int]]
    chosen: Tensor
    rejected: Tensor
    strengths: Tensor
    weights: Tensor
    is_tie: Tensor
    groups: list[str]
    n_truncated: int
    annotators: list[str] = field(default_factory=list)
    offsets: Tensor | None = None
    rankings: list[str] = field(default_factory=list)
    posteriors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.groups)


def encode(rows: Sequence[Preference], tokenizer: Any, max_length: int) -> Encoded:
    """Encode both conversations of each comparison; equal conversations share one encoding.

    The comparisons of a ranking of k count as one together, 1/C(k, 2) each: they are one judgement,
    told several times (Ouyang et al., arXiv 2203.02155, eq. 1).
    """
    sequences: list[list[int]] = []
    known: dict[tuple[tuple[str, str], ...], int] = {}
    n_truncated = 0

    def index_of(messages: tuple[Message, ...]) -> int:
        nonlocal n_truncated
        key = tuple((message["role"], message["content"]) for message in messages)
        if key not in known:
            ids, is_cut = encode_conversation(tokenizer, messages, max_length)
            n_truncated += is_cut
            known[key] = len(sequences)
            sequences.append(ids)
        return known[key]

    told = Counter(row.ranking for row in rows if row.ranking)
    chosen = [index_of(row.prompt + row.chosen) for row in rows]
    rejected = [index_of(row.prompt + row.rejected) for row in rows]
    return Encoded(
        sequences=sequences,
        chosen=torch.tensor(chosen, dtype=torch.long),
        rejected=torch.tensor(rejected, dtype=torch.long),
        strengths=torch.tensor([row.strength for row in rows], dtype=torch.float32),
        weights=torch.tensor(
            [row.weight / max(1, told[row.ranking]) for row in rows], dtype=torch.float32
        ),
        is_tie=torch.tensor([row.is_tie for row in rows], dtype=torch.bool),
        groups=[row.group for row in rows],
        n_truncated=n_truncated,
        annotators=[row.annotator for row in rows],
        rankings=[row.ranking for row in rows],
    )
