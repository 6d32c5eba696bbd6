"""Input files of a stage: rows of the database as JSON lines, written once a run."""

import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.collect.left_out import left_out_people
from app.tables.collect import Completion, Pair, Prompt

MOST_DEMONSTRATIONS = 50_000
MOST_PROMPTS = 20_000
ROWS_AT_ONCE = 500


def write_once(path: Path, lines: Callable[[], Iterable[str]]) -> None:
    """Write the lines to `path`, whole or not at all; what is there already stays.

    A run that is taken up again must find the data it began with, or its checkpoints do not fit.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: a worker that lost this job may still write here.
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    with partial.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(lines())
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def as_line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def options(configuration: Mapping[str, Any]) -> list[str]:
    """A run's configuration as options of the trainer's command line; None is left out."""
    pairs = [
        (f"--{name.replace('_', '-')}", str(value))
        for name, value in configuration.items()
        if value is not None
    ]
    return [word for pair in pairs for word in pair]


def demonstration_lines(session: Session, project_id: uuid.UUID) -> Iterator[str]:
    """Completions that people brought or wrote, with their prompts, in an order that says nothing.

    What someone wrote whose answers are left out is left out too.
    """
    rows = session.execute(
        select(Prompt.messages, Completion.text)
        .join(Prompt, Prompt.id == Completion.prompt_id)
        .where(
            Completion.project_id == project_id,
            Completion.policy_run_id.is_(None),
            or_(
                Completion.author_id.is_(None),
                Completion.author_id.not_in(left_out_people(project_id)),
            ),
        )
        .order_by(Completion.content_hash, Prompt.content_hash)
        .limit(MOST_DEMONSTRATIONS),
        execution_options={"yield_per": ROWS_AT_ONCE},
    )
    for messages, text in rows:
        yield as_line({"prompt": messages, "completion": text})


def prompt_lines(session: Session, project_id: uuid.UUID) -> Iterator[str]:
    """The project's prompts, in an order that says nothing."""
    rows = session.execute(
        select(Prompt.id, Prompt.messages)
        .where(Prompt.project_id == project_id)
        .order_by(Prompt.content_hash)
        .limit(MOST_PROMPTS),
        execution_options={"yield_per": ROWS_AT_ONCE},
    )
    for prompt_id, messages in rows:
        yield as_line({"id": str(prompt_id), "prompt": messages})


def least_asked_lines(session: Session, project_id: uuid.UUID, n: int, seed: str) -> Iterator[str]:
    """The `n` prompts about which people were asked least often, ties in an order by the seed."""
    asked = (
        select(Pair.prompt_id, func.count().label("n"))
        .where(Pair.project_id == project_id)
        .group_by(Pair.prompt_id)
        .subquery()
    )
    rows = session.execute(
        select(Prompt.id, Prompt.messages)
        .outerjoin(asked, asked.c.prompt_id == Prompt.id)
        .where(Prompt.project_id == project_id)
        .order_by(func.coalesce(asked.c.n, 0), func.md5(func.concat(Prompt.id, seed)))
        .limit(n)
    )
    for prompt_id, messages in rows:
        yield as_line({"id": str(prompt_id), "prompt": messages})
