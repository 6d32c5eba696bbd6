"""Open pairs as the reward model's last layer sees them, and their order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.progress import Progress
from worker.reward.data import Preference
from worker.reward.feature_store import FeatureStore
from worker.reward.panel import Combination, Panel
from worker.reward.reader import Reader, Scores
from worker.reward.uncertainty import LastLayer
from worker.runtime import Runtime
from worker.select.design import priorities, rank, rank_open

Pairs = Sequence[dict[str, Any]]
# Beyond these, what a pair would teach after the first ones are asked is all that orders it.
MOST_GREEDY = 512


class Ranker:
    """A reward model that tells what it thinks of a conversation, and through which features."""

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        max_length: int | None,
        progress: Progress,
        *,
        combination: Combination | None = None,
    ) -> None:
        self.reader = Reader(
            name, runtime, progress, max_length=max_length, doing="Reading the open pairs"
        )
        self._found: Scores | None = None
        self.panel = Panel(name, runtime, combination) if combination else None

    def rank(
        self, pairs: Pairs, answered: Sequence[Preference]
    ) -> tuple[list[dict[str, Any]], float]:
        """{id, priority, probability, standard_error} of each pair, and the prior precision.

        The probability is that of B winning, by the reward model's calibrated score, or by that of
        both objectives where they are combined; the reward model's log-odds have the standard
        error. By the posterior that came with the model; where none did, the error is None and a
        posterior is made of the comparisons `answered`.
        """
        conversations = [
            [*pair["prompt"], {"role": "assistant", "content": pair[side]}]
            for side in ("a", "b")
            for pair in pairs
        ]
        if self.reader.layer is None:
            conversations += [[*one.prompt, *one.rejected] for one in answered]
            conversations += [[*one.prompt, *one.chosen] for one in answered]
        self._found = found = self.reader.read(conversations)
        n = len(pairs)
        scores = found.scores / self.reader.temperature  # [U]
        if self.panel is not None:
            scores = self.panel.scores(conversations[: 2 * n])
        p = torch.sigmoid(scores[n : 2 * n] - scores[:n])  # [N]
        if self.reader.layer is not None:
            order, errors = self._by_posterior(found, self.reader.layer, p)
            precision = self.reader.layer.posterior.precision
        else:
            order, precision = self._by_answers(found, len(answered), p)
            errors = [None] * n
        columns = (pairs, priorities(order), p.tolist(), errors)
        return [
            {"id": pair["id"], "priority": priority, "probability": round(chance, 6),
             "standard_error": error}
            for pair, priority, chance, error in zip(*columns, strict=True)
        ], precision  # fmt: skip

    def _by_posterior(
        self, found: Scores, layer: LastLayer, p: Tensor
    ) -> tuple[list[int], list[float | None]]:
        a, b = layer.reduce(found.features).chunk(2)  # [N, d] each
        order = rank(b - a, p, layer.posterior.covariance, MOST_GREEDY)
        return order, list(layer.posterior.errors(b - a).tolist())

    def _by_answers(self, found: Scores, m: int, p: Tensor) -> tuple[list[int], float]:
        n = len(p)
        scores, features = found.scores, found.features  # [2N + 2M], [2N + 2M, H]
        known = features[2 * n + m :] - features[2 * n : 2 * n + m]  # [M, H]
        gap = scores[2 * n + m :] - scores[2 * n : 2 * n + m]  # [M]
        p_known = torch.sigmoid(gap / self.reader.temperature)
        return rank_open(known, p_known, features[n : 2 * n] - features[:n], p)

    def keep(self, pairs: Pairs, folder: Path) -> None:
        """Keep what the head reads of the ends that the pairs name. After `rank`."""
        if self._found is None or self.reader.layer is None:
            return
        places = _places(pairs)
        features = self._found.features[list(places.values())]
        FeatureStore(folder).add(list(places), self.reader.layer.reduce(features))

    def scored(self, pairs: Pairs) -> list[dict[str, Any]]:
        """{id, score, standard_error} of the ends that the pairs name. After `rank`."""
        found = self._found
        if found is None:
            return []
        errors = [None] * len(found.scores) if found.errors is None else found.errors.tolist()
        return [
            {"id": one, "score": float(found.scores[place]), "standard_error": errors[place]}
            for one, place in _places(pairs).items()
        ]


def _places(pairs: Pairs) -> dict[str, int]:
    """Where each named completion was read: first all A, then all B."""
    return {
        pair[f"{side}_id"]: place + offset * len(pairs)
        for offset, side in enumerate("ab")
        for place, pair in enumerate(pairs)
        if f"{side}_id" in pair
    }
