"""From counted answers to the rows of a preference set, and from rows to lines."""

import json
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from app.datasets.split import split_groups
from app.tables.datasets import Split

Answer = Row[Any]


def same_answers(answers: Sequence[Answer], frozen: Mapping[uuid.UUID, Answer]) -> bool:
    """Whether a freeze now would hold exactly what the newest preference set holds."""
    return len(answers) == len(frozen) and all(
        (was := frozen.get(now.comparison_id)) is not None
        and _what_it_says(was) == _what_it_says(now)
        for now in answers
    )


def _what_it_says(row: Answer) -> tuple[Any, ...]:
    return row.rating, row.is_about_equal, row.is_both_bad, row.confidence, row.flags


def pseudonyms(answers: Sequence[Answer], earlier: Mapping[uuid.UUID, str]) -> dict[uuid.UUID, str]:
    """A name for each annotator: the one that the project's sets gave before, else a random one.

    Random and not derived, so that no list of people and no secret ever leads back to them.
    """
    names = dict(earlier)
    for answer in answers:
        if answer.annotator_id not in names:
            names[answer.annotator_id] = secrets.token_hex(8)
    return names


def make_rows(
    set_id: uuid.UUID,
    answers: Sequence[Answer],
    sides: Mapping[str, Split],
    names: Mapping[uuid.UUID, str],
) -> list[dict[str, Any]]:
    """The rows of a preference set in their order, each with its split and weight 1."""
    splits = split_groups((answer.group for answer in answers), sides)
    ordered = _richest_first(answers, splits)
    return [
        {
            "preference_set_id": set_id,
            "position": position,
            "comparison_id": answer.comparison_id,
            "pair_id": answer.pair_id,
            "split": splits[answer.group],
            "rating": answer.rating,
            "weight": 1.0,
            "is_about_equal": answer.is_about_equal,
            "is_both_bad": answer.is_both_bad,
            "confidence": answer.confidence,
            "annotator_hash": names[answer.annotator_id],
            "draw": answer.draw.value,
            "draw_probability": answer.draw_probability,
            "flags": answer.flags,
            "ranking_id": answer.ranking_id,
            "role": answer.role,
        }
        for position, answer in enumerate(ordered)
    ]


def _richest_first(answers: Sequence[Answer], splits: Mapping[str, Split]) -> list[Answer]:
    """Oldest first, but for a line a split with an answered flag, one with a confidence and one
    that follows from a ranking.

    `datasets` infers types from the first ten megabytes: a file that begins with thousands of
    empty flag lists would be read as lists of null, and break where the first flag comes. So would
    one whose first confidence comes late.
    """
    leading: dict[tuple[Split, str], Answer] = {}
    for answer in answers:
        if any(flag["value"] is not None for flag in answer.flags):
            leading.setdefault((splits[answer.group], "flag"), answer)
        if answer.confidence is not None:
            leading.setdefault((splits[answer.group], "confidence"), answer)
        if answer.ranking_id is not None:
            leading.setdefault((splits[answer.group], "ranking"), answer)
    chosen = {answer.comparison_id: answer for answer in leading.values()}
    return [
        *chosen.values(),
        *(answer for answer in answers if answer.comparison_id not in chosen),
    ]


def as_line(row: Row[Any]) -> str:
    """One frozen comparison as a canonical JSON line, with its line feed."""
    is_a_chosen = row.rating <= 4
    chosen, rejected = (row.text_a, row.text_b) if is_a_chosen else (row.text_b, row.text_a)
    line = {
        "prompt": [{"role": one["role"], "content": one["content"]} for one in row.messages],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
        "rating": row.rating,
        "strength": strength(row.rating),
        "chosen_side": "A" if is_a_chosen else "B",
        "weight": float(row.weight),
        "is_about_equal": row.is_about_equal,
        "is_both_bad": row.is_both_bad,
        # Left out where unsaid: sets that were frozen before it was asked keep their bytes.
        **({} if row.confidence is None else {"confidence": row.confidence}),
        "flags": [
            {key: flag[key] for key in ("key", "scope", "side", "value")} for flag in row.flags
        ],
        "annotator": row.annotator_hash,
        "pair": str(row.pair_id),
        "draw": row.draw,
        "draw_probability": float(row.draw_probability),
        "split": row.split.value,
        "group": row.group,
        **({} if row.ranking_id is None else {"ranking": str(row.ranking_id)}),
        **({} if row.role is None else {"role": row.role.value}),
    }
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n"


def strength(rating: int) -> int:
    """How much better the chosen side is: 1 (close) to 4 (far better), |rating - 4.5| + 1/2."""
    return 5 - rating if rating <= 4 else rating - 4
