"""What a policy wrote for the same held-out prompts before and after a run."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from markupsafe import Markup

from app.markdown import render_markdown
from app.reward.artefacts import find_folder, read_json_lines
from app.tables.runs import PolicyRun

FILE = "evaluation_samples.jsonl"
MOST_LINES = 50_000
MOST_LETTERS = 8_000


@dataclass(frozen=True)
class Sample:
    """One completion: sanitised HTML, its score and its KL in nats."""

    step: int
    html: Markup
    score: float | None
    kl: float | None


@dataclass(frozen=True)
class BeforeAfter:
    """One prompt with what was written at the first and at the last evaluation."""

    prompt: Markup
    before: Sample
    after: Sample


def read_samples(run: PolicyRun, limit: int = 8) -> list[BeforeAfter]:
    """The first `limit` prompts that were answered at both ends; empty without a file."""
    folder = find_folder(run)
    if folder is None:
        return []
    return pair_up(read_json_lines(folder / FILE, MOST_LINES), limit)


def pair_up(rows: Iterable[dict[str, Any]], limit: int) -> list[BeforeAfter]:
    """First and last answer to each prompt, in the file's order; rows of another form are left."""
    first: dict[str, dict[str, Any]] = {}
    last: dict[str, dict[str, Any]] = {}
    for row in rows:
        if not isinstance(row.get("step"), int) or not isinstance(row.get("completion"), str):
            continue
        key = json.dumps(row.get("prompt"), sort_keys=True)
        first.setdefault(key, row)
        if key not in last or row["step"] > last[key]["step"]:
            last[key] = row
    ends = [(first[key], last[key]) for key in first if last[key]["step"] > first[key]["step"]]
    return [
        BeforeAfter(_html(_prompt(a.get("prompt"))), _sample(a), _sample(b))
        for a, b in ends[:limit]
    ]


def _sample(row: dict[str, Any]) -> Sample:
    return Sample(row["step"], _html(row["completion"]), row.get("score"), row.get("kl"))


@lru_cache(maxsize=512)  # a live page shows the same samples every two seconds
def _html(text: str) -> Markup:
    # The renderer sanitises: what comes out of it is safe and everything else is not.
    return Markup(render_markdown(text[:MOST_LETTERS]))  # noqa: S704


def _prompt(prompt: object) -> str:
    """The conversation as text: its only message, or each one with who says it."""
    if isinstance(prompt, str):
        return prompt
    messages = [one for one in prompt if isinstance(one, dict)] if isinstance(prompt, list) else []
    if len(messages) == 1:
        return str(messages[0].get("content", ""))
    return "\n\n".join(f"**{one.get('role')}:** {one.get('content')}" for one in messages)
