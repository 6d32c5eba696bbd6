"""A reward network that scores sequences together, without padding where that is verified."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from worker.quantised import computing_in
from worker.reward.flex_attention import NAME as FLEX
from worker.reward.flex_attention import Kernel, flex_row, register
from worker.reward.forward import forward
from worker.reward.packed_attention import packed_attention
from worker.reward.packing import LONG, Layout, lay_out
from worker.runtime import Runtime, autocast

_CLOSE = 1e-4
_WINDOWS = ("sliding_window", "attention_chunk_size", "attention_window")
_MOVING_ROTARY = {"dynamic", "longrope"}


@dataclass(frozen=True)
class Packing:
    """How a network takes a packed row. `first` is the position of a sequence's first token."""

    is_causal: bool
    first: int = 0


CAUSAL = Packing(is_causal=True)
_found: WeakKeyDictionary[Any, tuple[Packing | None, str | None]] = WeakKeyDictionary()


class Scorer(nn.Module):
    """Scores token lists with a sequence-classification network of one output.

    `packing` says how they go through as one row, in which a prompt that completions share stands
    once where the network is causal. That is so where a check at the start finds the scores equal
    to the plain ones; elsewhere it is None and `reason` says why, such as a window of attention.
    """

    def __init__(self, network: Any, runtime: Runtime) -> None:
        super().__init__()
        self.network = network
        self.runtime = runtime
        self.packing, self.reason = find_packing(network, runtime)
        self.kernel: Kernel | None = None

    @property
    def is_packed(self) -> bool:
        return self.packing is not None

    @contextmanager
    def learning(self, *, has_dropout: bool, recomputes: bool) -> Iterator[None]:
        """A forward and its backward pass: with dropout or not, with states kept or recomputed.

        Layers read again for their gradients must meet the same attention, so the row's stays in
        place until the end. transformers recomputes only layers that are in training mode.
        """
        self.network.train(has_dropout)
        if not recomputes:
            yield
            return
        self.network.activation_checkpointing_enable({"use_reentrant": False})
        for module in self.network.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.training = True
        try:
            with _attention(self.network, self.kernel) if self.is_packed else nullcontext():
                yield
        finally:
            self.network.activation_checkpointing_disable()
            self.network.train(has_dropout)

    def reading_order(self, sequences: Sequence[list[int]]) -> list[int]:
        """In which order to cut many into batches: equal beginnings together, or like lengths."""
        if self.is_packed and is_causal(self.network):
            return sorted(range(len(sequences)), key=lambda one: sequences[one])
        return sorted(range(len(sequences)), key=lambda one: len(sequences[one]))

    def forward(self, sequences: Sequence[list[int]]) -> Tensor:
        """The scores of U distinct sequences, [U] in float32."""
        if self.packing is None:
            return forward(self.network, sequences, self.runtime)
        return packed_forward(
            *(self.network, sequences, self.runtime, self.packing), kernel=self.kernel
        )


def packed_forward(
    network: Any,
    sequences: Sequence[list[int]],
    runtime: Runtime,
    packing: Packing = CAUSAL,
    *,
    long: int = LONG,
    kernel: Kernel | None = None,
) -> Tensor:
    """The scores of U distinct sequences in one row without padding, [U] in float32."""
    layout = lay_out(
        sequences, network.config.pad_token_id, is_causal=packing.is_causal, long=long
    ).to(runtime.device)
    row = {
        "input_ids": layout.ids[None],
        "position_ids": layout.positions[None] + packing.first,
        **({"flex_row": flex_row(layout, kernel)} if kernel else {"layout": layout}),
    }
    with _attention(network, kernel), autocast(runtime):
        if packing.is_causal:
            states = network.base_model(**row, use_cache=False).last_hidden_state  # [1, T, H]
            logits = network.score(states[0].index_select(0, layout.reads))  # [U, H] → [U, 1]
        else:
            with _read_apart(network.base_model, layout):
                logits = network(**row).logits  # [U, 1]
    scores: Tensor = logits.float().squeeze(-1)
    return scores


def _attention(network: Any, kernel: Kernel | None) -> AbstractContextManager[None]:
    if kernel is None:
        return packed_attention(network)
    register()
    return packed_attention(network, FLEX)


@contextmanager
def _read_apart(base: Any, layout: Layout) -> Iterator[None]:
    """Let an encoder's head see each sequence's first state alone, as a batch of one-token texts.

    Whatever the head is (a pooler, layers of its own), it is the network's, applied as always.
    """

    def part(_module: Any, _given: Any, out: Any) -> Any:
        states = out.last_hidden_state[0].index_select(0, layout.reads)[:, None]  # [U, 1, H]
        pooler = getattr(base, "pooler", None)
        if getattr(out, "pooler_output", None) is None or pooler is None:
            return type(out)(last_hidden_state=states)
        return type(out)(last_hidden_state=states, pooler_output=pooler(states))

    hook = base.register_forward_hook(part)
    try:
        yield
    finally:
        hook.remove()


def find_packing(network: Any, runtime: Runtime) -> tuple[Packing | None, str | None]:
    """How packed scores are verified to be the plain ones for this network, or else why not.

    What was found is kept as long as the network is.
    """
    if network not in _found:
        _found[network] = _find_packing(network, runtime)
    return _found[network]


def _find_packing(network: Any, runtime: Runtime) -> tuple[Packing | None, str | None]:
    config = network.config.get_text_config()
    if any(getattr(config, name, None) for name in _WINDOWS) and getattr(
        config, "use_sliding_window", True
    ):
        return None, "its attention has a window"
    if set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}:
        return None, "not all of its layers have full attention"
    rotary = getattr(config, "rope_parameters", None) or {}
    if rotary.get("rope_type") in _MOVING_ROTARY:
        return None, "its positions depend on the longest sequence beside"
    reason = None
    for packing in _candidates(network):
        reason = _check(network, runtime, packing)
        if reason is None:
            return packing, None
    return None, reason


def is_causal(network: Any) -> bool:
    """Whether this is a causal network: in transformers its head is a linear layer `score`."""
    return isinstance(getattr(network, "score", None), nn.Linear)


def _candidates(network: Any) -> list[Packing]:
    """The ways worth trying; RoBERTa's kin count positions from beyond that of padding."""
    if is_causal(network):
        return [CAUSAL]
    pad = network.config.pad_token_id or 0
    return [Packing(is_causal=False), Packing(is_causal=False, first=pad + 1)]


def _check(network: Any, runtime: Runtime, packing: Packing) -> str | None:
    """Compare both ways on made-up sequences with and without a common beginning.

    They are short, and those of 16 tokens count as long, so that every kind of call is tried.
    """
    sequences = _examples(network.config, packing)
    plain_runtime = Runtime(runtime.device, torch.float32, 0, 1, is_main=True)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), computing_in(network, torch.float32):
            plain = forward(network, sequences, plain_runtime)
            packed = packed_forward(network, sequences, plain_runtime, packing, long=16)
    except Exception as error:  # whatever a network does not take is a reason not to pack
        return f"it does not take a packed row ({type(error).__name__}: {error})"
    finally:
        network.train(was_training)
    off = float((plain - packed).abs().max() / plain.abs().max().clamp(min=1e-9))
    if not off < _CLOSE:
        return f"packed scores differ from plain ones by {off:.1g}"
    return None


def _examples(config: Any, packing: Packing) -> list[list[int]]:
    size = config.get_text_config().vocab_size
    pad = None if packing.is_causal else config.pad_token_id  # encoders never meet it within a text
    longest = min(getattr(config, "max_position_embeddings", None) or 40, 40)
    stream = torch.Generator().manual_seed(0)

    def draw(length: int) -> list[int]:
        ids = torch.randint(0, size, (length,), generator=stream).tolist()
        return [(one + 1) % size if one == pad else one for one in ids]

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
