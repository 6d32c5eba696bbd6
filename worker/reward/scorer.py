"""A reward network that scores sequences together, without padding where that is verified."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from worker.reward.packed_attention import packed_attention
from worker.reward.packing import LONG, lay_out
from worker.reward.score import forward
from worker.runtime import Runtime, autocast

_CLOSE = 1e-4
_WINDOWS = ("sliding_window", "attention_chunk_size", "attention_window")
_MOVING_ROTARY = {"dynamic", "longrope"}


class Scorer(nn.Module):
    """Scores token lists with a sequence-classification network of one output.

    `is_packed` says whether they go through as one row, in which a shared prompt stands once.
    That is so where a check at the start finds the scores equal to the plain ones, and `reason`
    says why not elsewhere: encoders read both ways, and some attention has a window.
    """

    def __init__(self, network: Any, runtime: Runtime) -> None:
        super().__init__()
        self.network = network
        self.runtime = runtime
        self.reason = why_not_packed(network, runtime)

    @property
    def is_packed(self) -> bool:
        return self.reason is None

    def forward(self, sequences: Sequence[list[int]]) -> Tensor:
        """The scores of U distinct sequences, [U] in float32."""
        if self.is_packed:
            return packed_forward(self.network, sequences, self.runtime)
        return forward(self.network, sequences, self.runtime)


def packed_forward(
    network: Any, sequences: Sequence[list[int]], runtime: Runtime, *, long: int = LONG
) -> Tensor:
    """The scores of U distinct sequences in one row without padding, [U] in float32."""
    layout = lay_out(sequences, network.config.pad_token_id, long=long).to(runtime.device)
    with packed_attention(network), autocast(runtime):
        states = network.base_model(
            input_ids=layout.ids[None],
            position_ids=layout.positions[None],
            use_cache=False,
            layout=layout,
        ).last_hidden_state  # [1, T, H]
        logits = network.score(states[0].index_select(0, layout.ends))  # [U, H] → [U, 1]
    scores: Tensor = logits.float().squeeze(-1)
    return scores


def why_not_packed(network: Any, runtime: Runtime) -> str | None:
    """None where packed scores are verified to be the plain ones for this network, else why not."""
    config = network.config.get_text_config()
    if not isinstance(getattr(network, "score", None), nn.Linear):
        return "its head is not that of a causal network"
    if any(getattr(config, name, None) for name in _WINDOWS) and getattr(
        config, "use_sliding_window", True
    ):
        return "its attention has a window"
    if set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return "not all of its layers have full attention"
    rotary = getattr(config, "rope_parameters", None) or {}
    if rotary.get("rope_type") in _MOVING_ROTARY:
        return "its positions depend on the longest sequence beside"
    return _check(network, runtime)


def _check(network: Any, runtime: Runtime) -> str | None:
    """Compare both ways on made-up sequences with and without a common beginning.

    They are short, and those of 16 tokens count as long, so that every kind of call is tried.
    """
    sequences = _examples(network.config)
    plain_runtime = Runtime(runtime.device, torch.float32, 0, 1, is_main=True)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            plain = forward(network, sequences, plain_runtime)
            packed = packed_forward(network, sequences, plain_runtime, long=16)
    except Exception as error:  # whatever a network does not take is a reason not to pack
        return f"it does not take a packed row ({type(error).__name__}: {error})"
    finally:
        network.train(was_training)
    off = float((plain - packed).abs().max() / plain.abs().max().clamp(min=1e-9))
    if not off < _CLOSE:
        return f"packed scores differ from plain ones by {off:.1g}"
    return None


def _examples(config: Any) -> list[list[int]]:
    size = config.get_text_config().vocab_size
    longest = min(getattr(config, "max_position_embeddings", None) or 40, 40)
    stream = torch.Generator().manual_seed(0)

    def draw(length: int) -> list[int]:
        return torch.randint(0, size, (length,), generator=stream).tolist()

    prompt, other = draw(longest * 2 // 5), draw(5)
    return [
        prompt + draw(longest // 2),
        prompt + draw(longest * 3 // 5),
        prompt + draw(3),
        other + draw(4),
        other + draw(9),
        draw(1),
        draw(7),
        draw(7),
    ]
