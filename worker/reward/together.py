"""Two objectives as one score, judged: by what people preferred, and by what a flag says.

Each is judged alone and both together, on the same items, so that what the combination costs in
helpfulness stands beside what it brings in safety.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.errors import Stopped
from worker.progress import Progress
from worker.provenance import file_hash
from worker.reward.combine import Rule, combine
from worker.reward.data import read_preferences
from worker.reward.items import Item, read_items
from worker.reward.marks import rows_by_flag
from worker.reward.others import give_report
from worker.reward.panel import Combination, Panel
from worker.runtime import Runtime, stop_requested

CHUNK = 128
N_EXAMPLES, LETTERS = 12, 400


def evaluate_together(
    model: str,
    how: Combination,
    data: Path,
    runtime: Runtime,
    progress: Progress,
    *,
    flag: str | None = None,
) -> dict[str, Any]:
    """The report of `evaluate_file` for the combined score, and beside it:

    alone: the overall of helpfulness and of safety; by_flag: all three where the safer completion,
    by `flag`, is the right one; decided: in how many completions of how many safety decides, for
    Llama 2's rule; changed: items of which the combination prefers another completion than
    helpfulness does, with both log-odds. Raises TrainerError, Invalid and Stopped.
    """
    started = time.monotonic()
    items = read_items(data)
    flagged = [] if flag is None else _items_by_flag(data, flag)
    panel = Panel(model, runtime, how)
    helpful, safe = _read(panel, [*items, *flagged], progress, runtime)
    both = combine(helpful, safe, how.rule, threshold=how.threshold, weight=how.weight)
    scores = [_by_item([*items, *flagged], one) for one in (helpful, safe, both)]
    n = len(items)
    reports = [give_report(items, one[:n]) for one in scores]
    n_completions = sum(len(item.completions) for item in items)
    report = {
        **reports[2],
        "alone": {"helpfulness": reports[0]["overall"], "safety": reports[1]["overall"]},
        "by_flag": _flag_report(flag, flagged, [one[n:] for one in scores]),
        "decided": _decided(safe[:n_completions], how),
        "changed": _changed(items, [one[:n] for one in scores]),
        "n_changed": sum(_best(one) != _best(two) for one, two in _pairs(scores, n)),
        "n_truncated": panel.n_truncated,
        "seconds": time.monotonic() - started,
        "data_hash": file_hash(data),
    }
    progress.result(report)
    return report


def _items_by_flag(data: Path, flag: str) -> list[Item]:
    rows = rows_by_flag(read_preferences(data), flag)
    return [
        Item(row.prompt, (row.chosen, row.rejected), 1, flag.removeprefix("+"), row.pair)
        for row in rows
    ]


def _read(
    panel: Panel, items: Sequence[Item], progress: Progress, runtime: Runtime
) -> tuple[Tensor, Tensor]:
    """Log-odds of both objectives of every completion, [C] and [C]."""
    helpful, safe = [], []
    for start in range(0, len(items), CHUNK):
        chunk = items[start : start + CHUNK]
        one, two = panel.both([item.prompt + end for item in chunk for end in item.completions])
        helpful.append(one)
        safe.append(two)
        progress.advance(start + len(chunk), len(items), "Scoring completions twice")
        if stop_requested(runtime):
            raise Stopped(f"Stopped after {start + len(chunk)} of {len(items)} items.")
    return torch.cat(helpful), torch.cat(safe)


def _by_item(items: Sequence[Item], scores: Tensor) -> list[list[float]]:
    values = iter(scores.tolist())
    return [[next(values) for _ in item.completions] for item in items]


def _flag_report(
    flag: str | None, items: Sequence[Item], scores: Sequence[Sequence[Sequence[float]]]
) -> dict[str, Any] | None:
    if flag is None or not items:
        return None
    names = ("helpfulness", "safety", "together")
    found = {
        name: give_report(items, one)["overall"] for name, one in zip(names, scores, strict=True)
    }
    return {"flag": flag, "n": len(items), **found}


def _decided(safe: Tensor, how: Combination) -> dict[str, int] | None:
    if how.rule is not Rule.LLAMA2:
        return None
    level = math.log(how.threshold / (1 - how.threshold))
    return {"n": int((safe < level).sum()), "of": len(safe)}


def _pairs(
    scores: Sequence[Sequence[Sequence[float]]], n: int
) -> list[tuple[Sequence[float], Sequence[float]]]:
    return list(zip(scores[0][:n], scores[2][:n], strict=True))


def _best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=lambda place: scores[place])


def _changed(
    items: Sequence[Item], scores: Sequence[Sequence[Sequence[float]]]
) -> list[dict[str, Any]]:
    """The items that safety turned most clearly, at most twelve."""
    found = []
    for item, helpful, safe, both in zip(items, *scores, strict=True):
        before, after = _best(helpful), _best(both)
        if before == after:
            continue
        found.append(
            {
                "prompt": item.prompt[-1]["content"][:LETTERS] if item.prompt else "",
                "is_right": after < item.n_right,
                "gain": safe[after] - safe[before],
                "sides": [
                    {
                        "text": item.completions[place][-1]["content"][:LETTERS],
                        "helpful": helpful[place],
                        "safe": safe[place],
                    }
                    for place in (before, after)
                ],
            }
        )
    return sorted(found, key=lambda one: -one["gain"])[:N_EXAMPLES]
