"""The open pairs as a live last layer sees them: which to ask next, and what changed of that. Pure.

The first pairs are chosen greedily, each in sight of those before (worker.select.design), and
stand above 1; all others lie between 0 and 1 by their worth. After an answer only those at the
front, and those that leave it, change: so little is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.reward.live import Change, Live, follow
from worker.select.design import choose

FRONT = 64
# Less of a change in a chance is not worth a write.
CLOSE = 0.01


@dataclass(frozen=True)
class Ranked:
    """What is to be written of a pair: see Pair.priority and its neighbours."""

    id: str
    priority: float
    chance: float
    error: float


class Pool:
    """N pairs, x [N, d] = φ(B) − φ(A), with the priorities and chances that people's pages have."""

    def __init__(
        self, ids: Sequence[str], x: Tensor, priorities: Sequence[float], chances: Sequence[float]
    ) -> None:
        self.ids, self.x = list(ids), x.float()
        self._place = {one: place for place, one in enumerate(self.ids)}
        self._is_open = torch.ones(len(self.ids), dtype=torch.bool)
        self._said = dict(zip(self.ids, zip(priorities, chances, strict=True), strict=True))
        self._front = {one for one, (priority, _) in self._said.items() if priority > 1}
        self._spread: Tensor | None = None

    def __len__(self) -> int:
        return int(self._is_open.sum())

    def close(self, pair: str) -> None:
        """Someone holds or answered it: it is ranked no more."""
        if pair in self._place:
            self._is_open[self._place[pair]] = False

    def follow(self, change: Change) -> None:
        """The spreads after a change of the covariance."""
        if self._spread is not None:
            self._spread = follow(self._spread, self.x, Change(change.along.float(), change.size))

    def forget_spreads(self) -> None:
        """After `settle`, which changes the covariance altogether."""
        self._spread = None

    def rank(self, live: Live[str], *, is_whole: bool = False) -> list[Ranked]:
        """What is to be written now: the front and what left it; with `is_whole` every change."""
        open_ = self._is_open.nonzero().squeeze(1)  # [n]
        if not len(open_):
            return []
        if self._spread is None:
            self._spread = live.errors(self.x).square().float()
        x, spread = self.x[open_], self._spread[open_]
        p = torch.sigmoid(x @ live.mean.float())  # [n]
        chosen, worth = choose(x, p, spread, live.covariance, FRONT)
        priorities = _priorities(chosen, worth)
        ids = [self.ids[index] for index in open_.tolist()]
        front = {ids[index] for index in chosen}
        changed = front | self._front
        chances, errors = p.tolist(), spread.sqrt().tolist()
        found = [
            Ranked(one, priorities[i], chances[i], errors[i])
            for i, one in enumerate(ids)
            if (one in changed or is_whole) and self._differs(one, priorities[i], chances[i])
        ]
        self._front = front
        for one in found:
            self._said[one.id] = (one.priority, one.chance)
        return found

    def _differs(self, pair: str, priority: float, chance: float) -> bool:
        was, was_chance = self._said[pair]
        moved = abs(priority - was) > (1e-9 if max(priority, was) > 1 else CLOSE)
        return moved or abs(chance - was_chance) > CLOSE


def _priorities(chosen: Sequence[int], worth: Tensor) -> list[float]:
    """In (1, 2] for the chosen, in order; in (0, 1] for all others, by what they are worth."""
    n = len(worth)
    found = [0.0] * n
    for place, index in enumerate(worth.argsort(descending=True, stable=True).tolist()):
        found[index] = 1 - place / n
    for place, index in enumerate(chosen):
        found[index] = 2 - place / len(chosen)
    return found
