"""A published reward model that reads conversations: their scores, how sure they are, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.checkpoints import read_manifest
from worker.errors import Stopped, TrainerError
from worker.models import (
    Message,
    encode_conversation,
    load_reward_model,
    load_tokenizer,
    longest_input,
)
from worker.progress import Progress
from worker.reward.score import trained_length
from worker.reward.scorer import Scorer
from worker.reward.uncertainty import LastLayer, find_head, load
from worker.runtime import Runtime, stop_requested

BATCH = 64


@dataclass(frozen=True)
class Scores:
    """U conversations: `scores` [U] and `features` [U, H], what the head reads; on the CPU.

    `errors` [U] are standard errors of the scores beside the mean completion's, `spread` [U] how
    far an ensemble's heads disagree about them; None where the model came without.
    """

    scores: Tensor
    features: Tensor
    errors: Tensor | None
    spread: Tensor | None


class Reader:
    """A reward model out of a folder. `layer` is what is not known of its last layer, if kept."""

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        progress: Progress,
        *,
        max_length: int | None = None,
        batch_size: int = BATCH,
        doing: str = "Reading completions",
    ) -> None:
        self.tokenizer = load_tokenizer(name)
        self.model = load_reward_model(name, runtime, self.tokenizer).eval()
        self.scorer = Scorer(self.model, runtime)
        self.runtime, self.progress, self.doing = runtime, progress, doing
        self.batch_size = batch_size
        self.max_length = longest_input(self.model, max_length or trained_length(name))
        self.head = find_head(self.model)
        self.temperature = trained_temperature(name)
        self.layer: LastLayer | None = load(Path(name).expanduser())

    def read(self, conversations: Sequence[Sequence[Message]]) -> Scores:
        """Every conversation once, equal beginnings together where packed. Raises Stopped."""
        ids = [
            encode_conversation(self.tokenizer, one, self.max_length)[0] for one in conversations
        ]
        order = self.scorer.reading_order(ids)
        scores = torch.zeros(len(ids))
        features: list[Tensor] = [torch.empty(0)] * len(ids)
        for start in range(0, len(order), self.batch_size):
            chunk = order[start : start + self.batch_size]
            found, rows = self._read_batch([ids[index] for index in chunk])
            scores[chunk] = found
            for index, row in zip(chunk, rows, strict=True):
                features[index] = row
            self.progress.advance(start + len(chunk), len(order), self.doing)
            if stop_requested():
                raise Stopped(f"Stopped: {self.doing.lower()} was not finished.")
        wide = torch.stack(features) if features else torch.empty(0, self.head.in_features)
        if self.layer is None:
            return Scores(scores, wide, None, None)
        spread = self.layer.ensemble_errors(wide)
        return Scores(scores, wide, self.layer.errors_of_scores(wide), spread)

    def _read_batch(self, ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Scores [B] and features [B, H] of token lists that come in the reading order.

        Where they are not packed there may be several passes of them, in the order given.
        """
        seen: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            with torch.inference_mode():
                scores = self.scorer(ids).cpu()  # [B]
        finally:
            hook.remove()
        lengths = iter([len(one) for one in ids])
        return scores, torch.cat([_last_rows(rows.float().cpu(), lengths) for rows in seen])


def _last_rows(rows: Tensor, lengths: Iterator[int]) -> Tensor:
    """What the head read of each conversation: [b, H], or its last token of [b, L, H]."""
    last = torch.tensor([next(lengths) - 1 for _ in rows])  # [b]
    return rows if rows.dim() == 2 else rows[torch.arange(len(rows)), last]


def trained_temperature(name: str) -> float:
    """What makes the model's scores honest, as measured when it was trained; else 1."""
    try:
        found: Any = read_manifest(Path(name).expanduser())["metrics"]["eval"]["temperature"]
    except (TrainerError, KeyError, TypeError):
        return 1.0
    return float(found) if found else 1.0
