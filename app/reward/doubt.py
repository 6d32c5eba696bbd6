"""How sure a reward run is, and how its last layer has done on answers since its training."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.reward.intervals import Z_95, wilson
from app.tables.collect import Pair, Prompt
from app.tables.runs import RewardRun
from app.tables.scores import CompletionScore, LiveReward

LETTERS = 100
N_NEXT = 5


@dataclass(frozen=True)
class Since:
    """The live last layer since the training: see LiveReward. `share` of the answers that it
    judged before it learnt them was right, with a 95% interval; `log_loss` is their mean."""

    n_answers: int
    n_unlearnt: int
    n_judged: int
    share: float | None
    low: float
    high: float
    log_loss: float | None
    n_ranked: int
    update_ms: float | None
    updated_at: datetime | None


@dataclass(frozen=True)
class Next:
    """An open pair at the front of the queue: the chance that B is better, with a 95% interval."""

    prompt_id: uuid.UUID
    prompt: str
    chance: float
    low: float | None
    high: float | None


def values_of(session: Session, run: RewardRun) -> dict[str, Any]:
    """What the run's page says of this; empty for a run that came without a posterior."""
    found = run.report.get("uncertainty")
    if not isinstance(found, dict):
        return {"doubt": None}
    return {
        "doubt": found,
        "since": _since(session.get(LiveReward, run.id)) if run.is_live else None,
        "next_pairs": _next_pairs(session, run) if run.is_live else [],
    }


def list_scores(session: Session, run: RewardRun) -> Sequence[tuple[uuid.UUID, float, Any]]:
    """(completion, score, standard error or None) of every completion that the run read."""
    rows = session.execute(
        select(CompletionScore.completion_id, CompletionScore.score, CompletionScore.standard_error)
        .where(CompletionScore.reward_run_id == run.id)
        .order_by(CompletionScore.score.desc(), CompletionScore.completion_id)
    )
    return [(completion, score, error) for completion, score, error in rows]


def interval(chance: float, error: float) -> tuple[float, float]:
    """The 95% interval of a chance whose log-odds have this standard error.

    A chance that was rounded to 0 or 1 counts as a millionth away from it.
    """
    held = min(1 - 1e-6, max(1e-6, chance))
    logit = math.log(held / (1 - held))
    low, high = (_sigmoid(logit + way * Z_95 * error) for way in (-1, 1))
    return low, high


def _since(row: LiveReward | None) -> Since | None:
    if row is None:
        return None
    share = row.n_right / row.n_judged if row.n_judged else None
    low, high = wilson(share or 0.0, row.n_judged)
    return Since(
        n_answers=row.n_answers,
        n_unlearnt=row.n_unlearnt,
        n_judged=row.n_judged,
        share=share,
        low=low,
        high=high,
        log_loss=row.log_loss_sum / row.n_judged if row.n_judged else None,
        n_ranked=row.n_ranked,
        update_ms=row.update_ms,
        updated_at=row.updated_at,
    )


def _next_pairs(session: Session, run: RewardRun) -> list[Next]:
    """The pairs that the priority part of the queue asks next."""
    rows = session.execute(
        select(Pair.prompt_id, Prompt.messages, Pair.reward_chance, Pair.reward_standard_error)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .where(
            Pair.project_id == run.project_id,
            Pair.is_open, Pair.n_taken == 0, ~Pair.is_gold, ~Pair.is_audit,
        )
        .order_by(Pair.priority.desc(), Pair.id)
        .limit(N_NEXT)
    )  # fmt: skip
    found = []
    for prompt_id, messages, chance, error in rows:
        if chance is not None:
            low, high = (None, None) if error is None else interval(chance, error)
            words = str(messages[-1]["content"]).strip()[:LETTERS] if messages else ""
            found.append(Next(prompt_id, words, chance, low, high))
    return found


def _sigmoid(value: float) -> float:
    if value > 0:
        return 1 / (1 + math.exp(-value))
    return math.exp(value) / (1 + math.exp(value))
