"""Open pairs as the reward model's last layer sees them, and their order."""

from collections.abc import Sequence
from typing import Any

import torch

from worker.progress import Progress
from worker.reward.data import Preference
from worker.reward.reader import Reader
from worker.runtime import Runtime
from worker.select.design import priorities, rank_open


class Ranker:
    """A reward model that tells what it thinks of a conversation, and through which features."""

    def __init__(
        self, name: str, runtime: Runtime, max_length: int | None, progress: Progress
    ) -> None:
        self.reader = Reader(
            name, runtime, progress, max_length=max_length, doing="Reading the open pairs"
        )

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
        found = self.reader.read(conversations)
        scores, features = found.scores, found.features  # [U], [U, H]
        n, m = len(pairs), len(answered)
        difference, gap = features[n : 2 * n] - features[:n], scores[n : 2 * n] - scores[:n]
        known = features[2 * n + m :] - features[2 * n : 2 * n + m]  # [M, H]
        known_gap = scores[2 * n + m :] - scores[2 * n : 2 * n + m]  # [M]
        p = torch.sigmoid(gap / self.reader.temperature)  # [N]
        p_known = torch.sigmoid(known_gap / self.reader.temperature)  # [M]
        order, precision = rank_open(known, p_known, difference, p)
        return [
            {"id": pair["id"], "priority": priority, "probability": round(float(chance), 6)}
            for pair, priority, chance in zip(pairs, priorities(order), p, strict=True)
        ], precision
