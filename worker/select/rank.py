"""Open pairs as the reward model's last layer sees them, and their order."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.checkpoints import read_manifest
from worker.errors import Stopped, TrainerError
from worker.models import encode_conversation, load_reward_model, load_tokenizer, longest_input
from worker.progress import Progress
from worker.reward.data import Preference
from worker.reward.score import forward
from worker.runtime import Runtime, stop_requested
from worker.select.design import priorities, rank_open


class Ranker:
    """A reward model that tells what it thinks of a conversation, and through which features."""

    def __init__(
        self, name: str, runtime: Runtime, max_length: int, batch_size: int, progress: Progress
    ) -> None:
        self.tokenizer = load_tokenizer(name)
        self.model = load_reward_model(name, runtime, self.tokenizer).eval()
        self.runtime, self.batch_size, self.progress = runtime, batch_size, progress
        self.max_length = longest_input(self.model, max_length)
        self.temperature = _temperature(name)
        self.head = find_head(self.model)

    def rank(
        self, pairs: Sequence[dict[str, Any]], answered: Sequence[Preference]
    ) -> tuple[list[dict[str, Any]], float]:
        """{id, priority, probability} of each pair, and the prior precision that was chosen.

        The probability is that of B winning, by the reward model's calibrated score.
        """
        conversations = [
            [*pair["prompt"], {"role": "assistant", "content": pair[side]}]
            for side in ("a", "b")
            for pair in pairs
        ]
        conversations += [[*one.prompt, *one.rejected] for one in answered]
        conversations += [[*one.prompt, *one.chosen] for one in answered]
        scores, features = self._read(conversations)  # [U], [U, H]
        n, m = len(pairs), len(answered)
        difference, gap = features[n : 2 * n] - features[:n], scores[n : 2 * n] - scores[:n]
        known = features[2 * n + m :] - features[2 * n : 2 * n + m]  # [M, H]
        known_gap = scores[2 * n + m :] - scores[2 * n : 2 * n + m]  # [M]
        p = torch.sigmoid(gap / self.temperature)  # [N]
        p_known = torch.sigmoid(known_gap / self.temperature)  # [M]
        order, precision = rank_open(known, p_known, difference, p)
        return [
            {"id": pair["id"], "priority": priority, "probability": round(float(chance), 6)}
            for pair, priority, chance in zip(pairs, priorities(order), p, strict=True)
        ], precision

    def _read(self, conversations: Sequence[Sequence[dict[str, str]]]) -> tuple[Tensor, Tensor]:
        """Scores [U] and what the head reads [U, H], by length inside, to spare padding."""
        ids = [
            encode_conversation(self.tokenizer, one, self.max_length)[0] for one in conversations
        ]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        scores = torch.zeros(len(ids))
        features: list[Tensor] = [torch.empty(0)] * len(ids)
        for start in range(0, len(order), self.batch_size):
            chunk = order[start : start + self.batch_size]
            found, rows = self._read_batch([ids[index] for index in chunk])
            scores[chunk] = found
            for index, row in zip(chunk, rows, strict=True):
                features[index] = row
            self.progress.advance(start + len(chunk), len(order), "Reading the open pairs")
            if stop_requested():
                raise Stopped("Stopped while reading the open pairs; nothing was ranked.")
        return scores, torch.stack(features)

    def _read_batch(self, ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Scores [B] and features [B, H] of token lists that come sorted by length.

        `forward` may make several passes of them, shortest first: in the order given.
        """
        seen: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            with torch.inference_mode():
                scores = forward(self.model, ids, self.runtime).cpu()  # [B]
        finally:
            hook.remove()
        lengths = iter([len(one) for one in ids])
        return scores, torch.cat([_last_rows(rows.float().cpu(), lengths) for rows in seen])


def _last_rows(rows: Tensor, lengths: Iterator[int]) -> Tensor:
    """What the head read of each conversation: [b, H], or its last token of [b, L, H]."""
    last = torch.tensor([next(lengths) - 1 for _ in rows])  # [b]
    return rows if rows.dim() == 2 else rows[torch.arange(len(rows)), last]


def find_head(model: Any) -> Any:
    """The linear layer that gives the score. Raises TrainerError where there is none."""
    heads = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == 1
    ]
    if not heads:
        raise TrainerError("This reward model has no linear layer with one output to rank by.")
    return heads[-1]


def _temperature(name: str) -> float:
    """What makes the model's scores honest, as measured when it was trained; else 1."""
    try:
        found = read_manifest(Path(name))["metrics"]["eval"]["temperature"]
    except (TrainerError, KeyError, TypeError):
        return 1.0
    return float(found) if found else 1.0
