"""Open pairs out of the database to be ranked, and their priorities back."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session, aliased

from app.tables.collect import Completion, Pair, Prompt
from worker.inputs import as_line, write_once

PAIRS, RANKS, SCORES = "pairs.jsonl", "ranks.jsonl", "scores.jsonl"
# Beside a reward run's artefact: see worker.reward.feature_store.
FEATURES = "features"
# Enough to choose well from; scoring a million pairs would cost more than it teaches.
MOST_PAIRS = 5_000
ROWS_AT_ONCE = 500

CompletionA = aliased(Completion, name="completion_a")
CompletionB = aliased(Completion, name="completion_b")


def prepare(
    session: Session, project_id: uuid.UUID, seed: str, folder: Path, run_folder: Path
) -> list[str]:
    """Write the pairs that nobody holds; the rest of the command line.

    What the head reads of their completions goes into the reward run's folder.
    """
    pairs, answered = folder / PAIRS, run_folder / "preferences.jsonl"
    write_once(pairs, lambda: _pair_lines(session, project_id, seed))
    return [
        *("--pairs", str(pairs), "--out", str(folder / RANKS), "--progress", "json"),
        *("--features", str(run_folder / FEATURES), "--scores", str(folder / SCORES)),
        *(("--answered", str(answered)) if answered.is_file() else ()),
    ]


def publish(session: Session, project_id: uuid.UUID, folder: Path) -> int:
    """Write priorities, and the chances of B, to pairs that are still fresh; how many they were.

    A pair that someone holds or has answered stays where it is: the claim serves those first, to
    finish their overlap, and their order among themselves is settled.
    """
    ranks: dict[uuid.UUID, dict[str, float | None]] = {}
    with (folder / RANKS).open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            ranks[uuid.UUID(row["id"])] = {
                "priority": float(row["priority"]),
                "reward_chance": min(1.0, max(0.0, float(row["probability"]))),
                "reward_standard_error": row.get("standard_error"),
            }
    fresh = session.scalars(
        select(Pair.id)
        .where(Pair.project_id == project_id, Pair.id.in_(ranks), *is_fresh())
        .order_by(Pair.id)
        .with_for_update(skip_locked=True)
    ).all()
    if fresh:
        session.execute(update(Pair), [{"id": one, **ranks[one]} for one in fresh])
    return len(fresh)


def read_scores(folder: Path) -> list[tuple[str, float, float | None]]:
    """(completion, score, standard error) as the trainer wrote them; of an older one, none."""
    if not (folder / SCORES).is_file():
        return []
    with (folder / SCORES).open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    return [(row["id"], float(row["score"]), row["standard_error"]) for row in rows]


def is_fresh() -> tuple[ColumnElement[bool], ...]:
    return (Pair.is_open.is_(True), ~Pair.is_gold, ~Pair.is_audit, Pair.n_taken == 0)


def _pair_lines(session: Session, project_id: uuid.UUID, seed: str) -> Iterator[str]:
    rows = session.execute(
        select(
            Pair.id,
            Prompt.messages,
            CompletionA.id,
            CompletionA.text,
            CompletionB.id,
            CompletionB.text,
        )
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .join(CompletionA, CompletionA.id == Pair.completion_a_id)
        .join(CompletionB, CompletionB.id == Pair.completion_b_id)
        .where(Pair.project_id == project_id, *is_fresh())
        .order_by(func.md5(func.concat(Pair.id, seed)))
        .limit(MOST_PAIRS),
        execution_options={"yield_per": ROWS_AT_ONCE},
    )
    for pair_id, messages, a, text_a, b, text_b in rows:
        yield as_line(
            {"id": str(pair_id), "prompt": messages, "a": text_a, "b": text_b,
             "a_id": str(a), "b_id": str(b)}
        )  # fmt: skip
