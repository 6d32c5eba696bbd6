"""Attention over a packed row of sequences, for networks of Hugging Face transformers."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from worker.reward.lean import lean_layers
from worker.reward.packing import Block, Call, Gathered, Layout

NAME = "prefloop_packed"
# What a network passes to its attention and this one leaves out without changing the result.
_HARMLESS = {"position_ids", "use_cache", "cache_position", "position_embeddings", "is_causal"}


@contextmanager
def packed_attention(network: Any, name: str = NAME) -> Iterator[None]:
    """Let the network's attention read a `layout` that is passed to its forward.

    Or by another `name` that is registered already.
    """
    _register()
    configs = {id(one.config): one.config for one in network.modules() if hasattr(one, "config")}
    before = [(config, config._attn_implementation) for config in configs.values()]
    try:
        for config, _ in before:
            config._attn_implementation = name
        with nullcontext() if _is_compiled(network) else lean_layers(network):
            yield
    finally:
        for config, own in before:
            config._attn_implementation = own


def _is_compiled(network: Any) -> bool:
    """Whether a compiler took care of what passes over memory already."""
    return any(one._compiled_call_impl is not None for one in network.modules())


@cache
def _register() -> None:
    from transformers import AttentionInterface

    # Compiled layers leave it alone: each batch has another layout.
    compiler: Any = torch.compiler
    AttentionInterface.register(NAME, compiler.disable(attend))


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None,
    *,
    layout: Layout,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Each token's attention to its own sequence; [1, H, T, D] three times → [1, T, H, D].

    Raises ValueError for what the network asks for besides, such as a sliding window.
    """
    refuse_unknown(module, others, is_causal=layout.is_causal)
    if key.shape[1] != query.shape[1]:
        repeats = query.shape[1] // key.shape[1]
        key, value = (one.repeat_interleave(repeats, dim=1) for one in (key, value))
    rows = [_Row(one[0].transpose(0, 1), layout) for one in (query, key, value)]  # [T, H, D]
    parts = []
    for call, mask in zip(layout.calls, layout.masks, strict=True):
        q, k, v = _read(call, rows)
        out = scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=layout.is_causal and mask is None,
            scale=scaling,
        )  # [n, H, L, D]
        parts.append(out.transpose(1, 2).flatten(0, 1))
    together = parts[0] if len(parts) == 1 else torch.cat(parts)  # [results, H, D]
    if layout.order is not None:
        together = together.index_select(0, layout.order)
    return together[None], None  # [T, H, D] → [1, T, H, D]


def refuse_unknown(module: Any, others: dict[str, Any], *, is_causal: bool) -> None:
    """Raises ValueError for what a network asks of its attention and this does not give."""
    unknown = [name for name, one in others.items() if one is not None and name not in _HARMLESS]
    asked = others.get("is_causal")
    if asked is None:
        asked = getattr(module, "is_causal", True)
    if unknown or bool(asked) != is_causal:
        raise ValueError(f"packed attention does not know {unknown or 'this direction'}")


class _Row:
    """One of query, key and value, [T, H, D], cut once into what the calls read.

    Slices would do the same, but the gradient of each is a row of zeros as long as the whole.
    """

    def __init__(self, row: Tensor, layout: Layout) -> None:
        self.starts = [0, *accumulate(layout.sizes)]
        self.stretches: Sequence[Tensor] = torch.split(row, list(layout.sizes))
        places = [call.places for call in layout.calls if isinstance(call, Gathered)]
        self.gathered: Iterator[Tensor] = iter(())
        if places:
            taken = row.index_select(0, torch.cat([one.flatten() for one in places]))
            sizes = [one.numel() for one in places]
            self.gathered = iter(torch.split(taken, sizes))

    def between(self, start: int, end: int) -> Tensor:
        """Tokens `start` to `end`, which lie within one stretch."""
        place = bisect_right(self.starts, start) - 1
        return self.stretches[place].narrow(0, start - self.starts[place], end - start)

    def next_gathered(self, n: int, length: int) -> Tensor:
        """What the next Gathered call reads, [n, L, H, D]; calls must ask in their order."""
        taken = next(self.gathered)
        return taken.view(n, length, *taken.shape[1:])


def _read(call: Call, rows: list[_Row]) -> list[Tensor]:
    """What a call reads of query, key and value, [T, H, D] → [n, L, H, D]."""
    if isinstance(call, Block):
        end = call.start + call.n * call.length
        read = [one.between(call.start, end) for one in rows]
        return [one.view(call.n, call.length, *one.shape[1:]) for one in read]
    if isinstance(call, Gathered):
        return [one.next_gathered(*call.places.shape) for one in rows]
    query, *others = rows
    own = query.between(call.start, call.end)[None]  # [1, B, H, D]
    read = [
        torch.cat([one.between(call.trunk, call.trunk_end), one.between(call.start, call.end)])
        for one in others
    ]  # [P + B, H, D] twice
    return [own, *(one[None] for one in read)]
