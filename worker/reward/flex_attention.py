"""Attention over a packed row in one kernel, by PyTorch's flex attention: made for GPUs.

Which token sees which is told per token, and per square of 128 by 128 tokens whether it holds
anything to see, so that the kernel passes the rest by: Dong et al., arXiv 2412.05496.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.functional import pad

from worker.reward.packed_attention import refuse_unknown
from worker.reward.packing import Layout

NAME = "prefloop_flex"
SQUARE = 128
Kernel = Callable[..., Tensor]


@dataclass(frozen=True)
class FlexRow:
    """A packed row of T tokens, which of them see which, and what computes their attention."""

    mask: BlockMask
    is_causal: bool
    kernel: Kernel


def flex_row(layout: Layout, kernel: Kernel) -> FlexRow:
    """The same row for flex attention; all that it needs lies on the layout's device."""
    return FlexRow(mask_of(layout), layout.is_causal, kernel)


@cache
def compiled() -> Kernel:
    """The fused kernel, compiled when it is first called; without, all T × T scores are kept."""
    kernel: Kernel = torch.compile(flex_attention, dynamic=True)
    return kernel


@cache
def register() -> None:
    """Let networks of transformers find this attention by its name."""
    from transformers import AttentionInterface

    # Compiled layers leave it alone, but what it calls is compiled.
    compiler: Any = torch.compiler
    AttentionInterface.register(NAME, compiler.disable(attend, recursive=False))


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None,
    *,
    flex_row: FlexRow,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Each token's attention to its own sequence; [1, H, T, D] and [1, K, T, D] → [1, T, H, D].

    Raises ValueError for what the network asks for besides, such as dropout.
    """
    refuse_unknown(module, others | {"dropout": dropout or None}, is_causal=flex_row.is_causal)
    n_tokens, n_padded = query.shape[2], flex_row.mask.seq_lengths[0]
    dtype = query.dtype
    if torch.is_autocast_enabled(query.device.type):
        dtype = torch.get_autocast_dtype(query.device.type)
    rows = [pad(one.to(dtype), (0, 0, 0, n_padded - n_tokens)) for one in (query, key, value)]
    out = flex_row.kernel(
        *rows,
        block_mask=flex_row.mask,
        scale=scaling,
        enable_gqa=key.shape[1] != query.shape[1],
    )  # [1, H, T padded, D]
    return out[:, :, :n_tokens].transpose(1, 2), None


def segments(positions: Tensor) -> tuple[Tensor, Tensor]:
    """To which stretch each token of a row belongs, and which stretch it sees besides; [T] twice.

    A stretch is a shared beginning, what follows it in one sequence, or a sequence that shares
    nothing. Both are read off the positions, [T]: a sequence begins at 0, and where they leap to
    another place, its neighbour goes on behind the same beginning.
    """
    begins = torch.ones_like(positions, dtype=torch.bool)
    begins[1:] = positions[1:] != positions[:-1] + 1
    is_first = begins & (positions == 0)
    group = is_first.cumsum(0) - 1  # [T]
    start = is_first.nonzero()[:, 0]  # [groups]
    trunk = torch.zeros_like(start).scatter_reduce_(
        0, group, torch.where(begins, positions, 0), "amax"
    )  # [groups], the length of the shared beginning; 0 where there is none
    begins[(start + trunk)[trunk > 0]] = True
    own = begins.cumsum(0) - 1
    return own, own[start][group]


def mask_of(layout: Layout) -> BlockMask:
    """Which token sees which: those of its stretch and of its beginning; before it, if causal."""
    own, trunk = segments(layout.positions)
    missing = -len(own) % SQUARE
    last = int(own[-1]) + 1  # what is put behind the row sees itself alone, and nobody sees it
    own, trunk = (pad(one, (0, missing), value=last) for one in (own, trunk))
    partial, full = _squares(own, trunk, is_causal=layout.is_causal)

    def causal(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & ((own[key] == own[query]) | (own[key] == trunk[query]))

    def both_ways(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return own[key] == own[query]

    return BlockMask.from_kv_blocks(
        *_ordered(partial),
        *_ordered(full),
        BLOCK_SIZE=SQUARE,
        mask_mod=causal if layout.is_causal else both_ways,
    )


def _squares(own: Tensor, trunk: Tensor, *, is_causal: bool) -> tuple[Tensor, Tensor]:
    """Squares where some token may see another, and where each sees all; [T / 128, T / 128] twice.

    Both stretches grow along the row, so the first and the last token tell of those between.
    """
    low, high = own[::SQUARE], own[SQUARE - 1 :: SQUARE]  # [T / 128] each
    low_trunk, high_trunk = trunk[::SQUARE], trunk[SQUARE - 1 :: SQUARE]
    some = (low <= high[:, None]) & (high >= low[:, None])
    every = (low == high) & (low == low[:, None]) & (low == high[:, None])
    if not is_causal:
        return some & ~every, every
    some |= (low <= high_trunk[:, None]) & (high >= low_trunk[:, None])
    every |= (low == high) & (low == low_trunk[:, None]) & (low == high_trunk[:, None])
    place = torch.arange(len(low), device=own.device)
    some &= place <= place[:, None]
    every &= place < place[:, None]
    return some & ~every, every


def _ordered(squares: Tensor) -> tuple[Tensor, Tensor]:
    """How many squares of each row are marked, and which, those first: [1, 1, R], [1, 1, R, R]."""
    which = squares.int().argsort(dim=-1, descending=True, stable=True)
    return squares.sum(-1).int()[None, None], which.int()[None, None]
