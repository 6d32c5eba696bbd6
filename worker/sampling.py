"""Fresh completions of the live policy: for which prompts, and back as pairs."""

import json
import uuid
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.collect.intake import CompletionIn, Intake, PromptIn, add_prompts
from app.projects.remaining import count_open_pairs
from app.tables.collect import Prompt
from app.tables.projects import Project
from worker.inputs import least_asked_lines, write_once

PROMPTS, COMPLETIONS = "prompts.jsonl", "completions.jsonl"
# A prompt is asked again before more than this many pairs of one policy hang on it.
MOST_PAIRS_A_PROMPT = 16


def prepare(session: Session, project: Project, seed: str, folder: Path) -> list[str]:
    """Write the prompts, enough to fill the queue to a round; the rest of the command line."""
    n_pairs = max(1, project.pairs_per_round - count_open_pairs(session, project.id))
    n_prompts, pairs_a_prompt = share_out(n_pairs, count_prompts(session, project.id))
    prompts = folder / PROMPTS
    write_once(prompts, lambda: least_asked_lines(session, project.id, n_prompts, seed))
    return [
        *("--prompts", str(prompts), "--out", str(folder / COMPLETIONS), "--progress", "json"),
        *("--n", str(2 * pairs_a_prompt), "--max-new-tokens", str(project.max_new_tokens)),
        *("--seed", str(uuid.UUID(seed).int % 2**31)),
    ]


def share_out(n_pairs: int, n_prompts: int) -> tuple[int, int]:
    """How many prompts to ask, and for how many pairs each, to come to `n_pairs` in all."""
    pairs_a_prompt = min(MOST_PAIRS_A_PROMPT, max(1, ceil(n_pairs / max(1, n_prompts))))
    return min(n_prompts, ceil(n_pairs / pairs_a_prompt)), pairs_a_prompt


def count_prompts(session: Session, project_id: uuid.UUID) -> int:
    n = session.scalar(select(func.count()).where(Prompt.project_id == project_id))
    return int(n or 0)


def publish(session: Session, project: Project, run_id: uuid.UUID, folder: Path) -> Intake:
    """Write the completions as new pairs, through the door by which imports come."""
    path = folder / COMPLETIONS
    return add_prompts(session, project, _read(path), policy_run_id=run_id)


def _read(path: Path) -> Iterator[PromptIn]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            completions = [one for found in row["completions"] if (one := _usable(found))]
            if completions:
                yield PromptIn.model_validate(
                    {
                        "messages": row["prompt"],
                        "completions": completions,
                        "pairs": _couples(len(completions)),
                    }
                )


def _couples(n: int) -> list[tuple[int, int]] | None:
    """Each completion in one pair; one that stays alone meets what its prompt has already."""
    return [(i, i + 1) for i in range(0, n - 1, 2)] if n > 1 else None


def _usable(found: dict[str, Any]) -> CompletionIn | None:
    """The completion as people can be shown it; None for blanks and for what cannot be stored."""
    try:
        return CompletionIn(text=found["text"])
    except ValidationError:
        return None
