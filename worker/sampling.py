"""Fresh completions of the live policy: for which prompts, and back as pairs."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.collect.intake import CompletionIn, Intake, PromptIn, add_prompts
from app.loop.facts import count_open_pairs
from app.tables.projects import Project
from worker.inputs import least_asked_lines, write_once

PROMPTS, COMPLETIONS = "prompts.jsonl", "completions.jsonl"
COMPLETIONS_A_PROMPT = 2


def prepare(session: Session, project: Project, seed: str, folder: Path) -> list[str]:
    """Write the prompts, enough to fill the queue to a round; the rest of the command line."""
    n = max(1, project.pairs_per_round - count_open_pairs(session, project.id))
    prompts = folder / PROMPTS
    write_once(prompts, lambda: least_asked_lines(session, project.id, n, seed))
    return [
        *("--prompts", str(prompts), "--out", str(folder / COMPLETIONS), "--progress", "json"),
        *("--n", str(COMPLETIONS_A_PROMPT), "--max-new-tokens", str(project.max_new_tokens)),
        *("--seed", str(uuid.UUID(seed).int % 2**31)),
    ]


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
                    {"messages": row["prompt"], "completions": completions}
                )


def _usable(found: dict[str, Any]) -> CompletionIn | None:
    """The completion as people can be shown it; None for blanks and for what cannot be stored."""
    try:
        return CompletionIn(text=found["text"])
    except ValidationError:
        return None
