"""A reward model, and beside it one for safety or a safety head on its trunk, as one score."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from worker.errors import TrainerError
from worker.models import (
    Message,
    encode_conversation,
    load_reward_model,
    load_tokenizer,
    longest_input,
)
from worker.reward.combine import Rule, combine
from worker.reward.reader import trained_temperature
from worker.reward.score import read_features, score_sequences, trained_length
from worker.reward.side_heads import SAFETY, SideHeads
from worker.reward.uncertainty import find_head
from worker.runtime import Runtime

BATCH = 128


@dataclass(frozen=True)
class Combination:
    """How safety counts. `model` is a reward model's folder; without, the trunk's own head does."""

    rule: Rule = Rule.LLAMA2
    threshold: float = 0.15
    weight: float = 1.0
    model: str | None = None


def combination_of(rule: str, threshold: float, weight: float, model: str | None) -> Combination:
    """Raises TrainerError for what cannot be."""
    if rule not in list(Rule):
        raise TrainerError(f"Objectives are combined by {' or '.join(Rule)}.")
    if not 0 < threshold < 1 or not 0 <= weight < math.inf:
        raise TrainerError("Safety's threshold lies between 0 and 1, its weight at 0 or above.")
    return Combination(Rule(rule), threshold, weight, model)


class Judge:
    """A published reward model in memory, frozen."""

    def __init__(self, name: str, runtime: Runtime) -> None:
        self.tokenizer = load_tokenizer(name)
        self.model = load_reward_model(name, runtime, self.tokenizer).eval().requires_grad_(False)
        self.length = longest_input(self.model, trained_length(name))
        self.temperature = trained_temperature(name)
        self.runtime = runtime
        self.n_truncated = 0  # conversations so far whose prompt lost its beginning

    def scores(self, conversations: Sequence[Sequence[Message]]) -> Tensor:
        """The model's own scores, [B] on the CPU."""
        return score_sequences(self.model, self._encode(conversations), BATCH, self.runtime)

    def features(self, conversations: Sequence[Sequence[Message]]) -> Tensor:
        """What its head reads, [B, H] on the CPU."""
        return read_features(self.model, self._encode(conversations), BATCH, self.runtime)

    def _encode(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        found = [encode_conversation(self.tokenizer, one, self.length) for one in conversations]
        self.n_truncated += sum(is_cut for _, is_cut in found)
        return [ids for ids, _ in found]


class Panel:
    """Scores of conversations by one reward model, or by two objectives in one.

    Alone, the model's own scores; with a combination, log-odds: scores over the temperature that
    was fitted when each model was trained.
    """

    def __init__(self, name: str, runtime: Runtime, combination: Combination | None) -> None:
        self.first = Judge(name, runtime)
        self.combination = combination
        self.second: Judge | None = None
        self.heads: SideHeads | None = None
        if combination is not None and combination.model is not None:
            self.second = Judge(combination.model, runtime)
        elif combination is not None:
            self.heads = SideHeads.load(Path(name).expanduser())
            if self.heads is None or SAFETY not in self.heads.names:
                raise TrainerError(
                    f"{name} has no head for safety. Name a reward model with --safety-model, or "
                    "train this one again with --safety-flag."
                )

    @property
    def n_truncated(self) -> int:
        """Conversations so far of which the first model did not read the beginning."""
        return self.first.n_truncated

    def scores(self, conversations: Sequence[Sequence[Message]]) -> Tensor:
        """[B] on the CPU."""
        how = self.combination
        if how is None:
            return self.first.scores(conversations)
        helpful, safe = self.both(conversations)
        return combine(helpful, safe, how.rule, threshold=how.threshold, weight=how.weight)

    def both(self, conversations: Sequence[Sequence[Message]]) -> tuple[Tensor, Tensor]:
        """Log-odds of helpfulness and of safety, [B] and [B]."""
        first, second = self.first, self.second
        if second is not None:
            helpful = first.scores(conversations) / first.temperature
            return helpful, second.scores(conversations) / second.temperature
        features = first.features(conversations)  # [B, H]
        helpful = _own(first.model, features) / first.temperature
        if self.heads is None:
            raise TrainerError("This panel judges one objective.")
        return helpful, self.heads.read(SAFETY, features)


def _own(model: Any, features: Tensor) -> Tensor:
    """What the model's own head makes of features, [B, H] → [B]."""
    head = find_head(model)
    weight = head.weight.detach()[0].float().cpu()
    bias = 0.0 if head.bias is None else float(head.bias.detach())
    found: Tensor = features @ weight + bias
    return found
