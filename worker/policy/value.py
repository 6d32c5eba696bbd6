"""The value model of PPO: what score a completion is heading for, at each of its tokens."""

from typing import Any

from torch import Tensor, nn

from worker.policy.sample import Rollouts, position_ids


class ValueModel(nn.Module):
    """A causal backbone with a scalar head that starts at zero.

    The backbone is the reward model's, as in Stiennon et al. 2020, because it knows already what
    earns a score; where that reads both ways (an encoder) or speaks another vocabulary, the
    policy's.
    """

    def __init__(self, reward_model: Any, policy: Any) -> None:
        super().__init__()
        source = reward_model.base_model
        if not _is_interchangeable(source, policy.base_model):
            source = type(policy.base_model)(policy.base_model.config).to(policy.device)
            source.load_state_dict(policy.base_model.state_dict())
        self.backbone = source
        self.head = nn.Linear(source.config.hidden_size, 1, device=policy.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: Rollouts) -> Tensor:
        """The value before each completion token is written, [B, T]."""
        hidden = self.backbone(
            input_ids=batch.ids,
            attention_mask=batch.attention_mask,
            position_ids=position_ids(batch.attention_mask),
            use_cache=False,
        ).last_hidden_state
        n_tokens = batch.completion_ids.shape[1]
        values: Tensor = self.head(hidden[:, -n_tokens - 1 : -1]).float()[..., 0]  # [B, T]
        return values


def _is_interchangeable(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one.config.vocab_size == other.config.vocab_size
