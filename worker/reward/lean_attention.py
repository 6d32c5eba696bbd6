"""Attention over a packed row on a CPU, from states to states, as one function with its gradient.

Queries, keys and values are one matrix product, and turned by their positions where they stand
(rotary embeddings: Su et al., arXiv 2104.09864, §3.4). PyTorch's flash kernel reads them there, and
their gradients are added up in one buffer like theirs.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from worker.reward.packing import Block, Branch, Call, Layout

_KNOWN = {
    *("layout", "position_embeddings", "position_ids", "use_cache", "cache_position"),
    *("attention_mask", "is_causal"),
}
_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def attend_leanly(module: Any, states: Tensor, **given: Any) -> Tensor | None:
    """What a Llama's attention returns for a packed row, [1, T, E] → [1, T, E].

    None where it is asked for something that this does not know.
    """
    unknown = [name for name, one in given.items() if one is not None and name not in _KNOWN]
    if unknown or not given["layout"].is_causal or states.shape[0] != 1:
        return None
    cos, sin = (one[0] for one in given["position_embeddings"])  # [T, D] twice
    layers = (module.q_proj, module.k_proj, module.v_proj)
    out: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
        *(states[0], _Reading(cos, sin, given["layout"], module.scaling), module.o_proj.weight),
        *(one.weight for one in layers),
        *(one.bias for one in layers),
    )
    return (out if module.o_proj.bias is None else out + module.o_proj.bias)[None]


@dataclass(frozen=True)
class _Reading:
    """How tokens are turned, [T, D] twice, which of them see which, and the scale of logits."""

    cos: Tensor
    sin: Tensor
    layout: Layout
    scale: float


class _Attention(torch.autograd.Function):
    """States [T, E]; weights [E, H·D], then [H·D, E], [K·D, E] twice and their biases → [T, E]."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, reading: _Reading, last: Tensor, *weights: Tensor | None
    ) -> Tensor:
        layout = reading.layout
        read = _project(states, weights).view(
            len(states), -1, reading.cos.shape[-1]
        )  # [T, H + 2 K, D]
        heads = _Heads.of(last, read)
        _turn(heads.turned(read), reading)
        results, sums = [], []
        for call, bias in zip(layout.calls, layout.biases, strict=True):
            result, total = _flash(
                *heads.part(read, call), 0.0, bias is None, attn_mask=bias, scale=reading.scale
            )
            results.append(result.transpose(1, 2).flatten(0, 1))  # [n, H, L, D] → [n L, H, D]
            sums.append(total)
        together = results[0] if len(results) == 1 else torch.cat(results)
        ctx.reading = reading
        ctx.save_for_backward(states, last, read, together, *weights, *sums)
        return _ordered(together, layout) @ last.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, last, read, together, *others = ctx.saved_tensors
        weights, sums = others[:6], others[6:]
        layout, needs = ctx.reading.layout, ctx.needs_input_grad
        for_last = gradient.t() @ _ordered(together, layout) if needs[2] else None
        inner = (gradient @ last).view(len(gradient), *together.shape[1:])  # [T, H, D]
        if layout.order is not None:
            inner = torch.zeros_like(together).index_copy_(0, layout.order, inner)
        heads = _Heads.of(last, read)
        for_read = torch.zeros_like(read)
        sizes = [call.n_results for call in layout.calls]
        pieces = zip(torch.split(together, sizes), torch.split(inner, sizes), strict=True)
        for call, bias, total, (result, wanted) in zip(
            layout.calls, layout.biases, sums, pieces, strict=True
        ):
            part = heads.part(read, call)
            found = _flash_backward(
                _apart(wanted, part[0]),
                *part,
                _apart(result, part[0]),
                total,
                0.0,
                bias is None,
                attn_mask=bias,
                scale=ctx.reading.scale,
            )
            heads.add(for_read, call, found)
        _turn(heads.turned(for_read), ctx.reading, is_back=True)
        flat = for_read.flatten(1)  # [T, (H + 2 K) D]
        for_states = flat @ torch.cat(weights[:3]) if needs[0] else None
        for_weights = _split_like(flat.t() @ states, weights[:3]) if any(needs[3:6]) else [None] * 3
        for_biases = _split_like(flat.sum(0), weights[3:]) if any(needs[6:]) else [None] * 3
        return (for_states, None, for_last, *for_weights, *for_biases)


def _project(states: Tensor, weights: tuple[Tensor | None, ...]) -> Tensor:
    """Queries, keys and values side by side; their three weights come before their biases."""
    present = [one for one in weights if one is not None]
    weight = torch.cat(present[:3]).t()
    return (
        states @ weight
        if len(present) == 3
        else torch.addmm(torch.cat(present[3:]), states, weight)
    )


def _split_like(whole: Tensor, parts: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.split(whole, [len(one) for one in parts])


def _turn(rows: Tensor, reading: _Reading, *, is_back: bool = False) -> None:
    """Turn rows [T, h, D] by their positions in place, or gradients of such rows back."""
    half = rows.shape[-1] // 2
    first, second = rows[..., :half], rows[..., half:]
    by, sines = reading.cos[:, None], reading.sin[:, None].chunk(2, dim=-1)  # [T, 1, D]
    before = first.clone()
    sign = 1 if is_back else -1
    first.mul_(by[..., :half]).addcmul_(second, sines[is_back], value=sign)
    second.mul_(by[..., half:]).addcmul_(before, sines[not is_back], value=-sign)


def _ordered(together: Tensor, layout: Layout) -> Tensor:
    """Results of all calls, [results, H, D], as the row has them, [T, H·D]."""
    taken = together if layout.order is None else together.index_select(0, layout.order)
    return taken.flatten(1)


def _apart(rows: Tensor, like: Tensor) -> Tensor:
    """Rows of one call, [n L, H, D] → [n, H, L, D]."""
    return rows.view(like.shape[0], like.shape[2], *rows.shape[1:]).transpose(1, 2)


@dataclass(frozen=True)
class _Heads:
    """H heads of queries and K each of keys and values, in a buffer [T, H + 2 K, D]."""

    queries: int
    keys: int

    @classmethod
    def of(cls, last: Tensor, read: Tensor) -> "_Heads":
        queries = last.shape[1] // read.shape[2]
        return cls(queries, (read.shape[1] - queries) // 2)

    def turned(self, read: Tensor) -> Tensor:
        """Queries and keys; values have no position."""
        return read[:, : self.queries + self.keys]

    def part(self, read: Tensor, call: Call) -> tuple[Tensor, Tensor, Tensor]:
        """What a call reads of queries, keys and values, [n, H, L, D] each."""
        if isinstance(call, Block):
            rows = read[call.start : call.start + call.n * call.length]
            return self._three(rows.view(call.n, call.length, *rows.shape[1:]))
        if isinstance(call, Branch):
            own = read[None, call.start : call.end]
            others = [read[None, call.trunk : call.trunk_end, self.queries :]]
            return self._three(own, torch.cat([*others, own[:, :, self.queries :]], dim=1))
        rows = read.index_select(0, call.places.flatten())
        return self._three(rows.view(*call.places.shape, *rows.shape[1:]))

    def _three(self, rows: Tensor, others: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """[n, L, H + 2 K, D], and keys and values apart where they are more, → three parts."""
        if others is None:
            others = rows[:, :, self.queries :]
        query = rows[:, :, : self.queries].transpose(1, 2)
        key, value = (one.transpose(1, 2) for one in torch.split(others, self.keys, dim=2))
        if self.keys != self.queries:
            repeats = self.queries // self.keys
            key, value = (one.repeat_interleave(repeats, dim=1) for one in (key, value))
        return query, key, value

    def add(self, total: Tensor, call: Call, found: tuple[Tensor, Tensor, Tensor]) -> None:
        """Add a call's gradients, [n, H, L, D] each, where in the buffer they belong."""
        query, *others = (one.transpose(1, 2).flatten(0, 1) for one in found)  # [n L, H, D]
        if self.keys != self.queries:
            others = [one.view(len(one), self.keys, -1, one.shape[2]).sum(2) for one in others]
        for start, rows in (
            (0, query),
            *zip((self.queries, self.queries + self.keys), others, strict=True),
        ):
            part = total[:, start : start + rows.shape[1]]
            if isinstance(call, Block):
                part[call.start : call.start + len(rows)] += rows
            elif not isinstance(call, Branch):
                part.index_add_(0, call.places.flatten(), rows)
            else:
                n_before = len(rows) - (call.end - call.start)
                part[call.trunk : call.trunk + n_before] += rows[:n_before]
                part[call.start : call.end] += rows[n_before:]
