"""Layers of Llama and its kin that pass over memory less often than as they are written out.

Training on a CPU spends a third of its time outside of matrix products: each product, power and
copy of [tokens, width] goes through memory, forward and back, and leaves a tensor for the backward
pass. Here a layer is one function with its gradient written out: what is cheap is computed again,
what is not needed any more is written over. Weights and results are those of transformers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from worker.reward.lean_attention import attend_leanly

# Families whose layers are, word for word, those of Llama; attention may have biases.
_FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3")
_NORMS = {f"{family}RMSNorm" for family in _FAMILIES}
_GATED = {f"{family}MLP" for family in _FAMILIES}
_ATTENTIONS = {f"{family}Attention" for family in _FAMILIES[:3]}  # Qwen3 norms queries and keys


@contextmanager
def lean_layers(network: nn.Module) -> Iterator[None]:
    """Let the layers that are known pass over memory less; whatever they get else, as always.

    Layers of another kind, with adapters or on a GPU, which has kernels for it, stay as they are.
    """
    changed: list[Any] = []
    try:
        for module in network.modules():
            lean = _lean_forward(module)
            if lean is not None and "forward" not in vars(module):
                vars(module)["forward"] = partial(lean, module, module.forward)
                changed.append(module)
        yield
    finally:
        for module in changed:
            vars(module).pop("forward", None)


def _lean_forward(module: nn.Module) -> Callable[..., Any] | None:
    name = type(module).__name__
    if not type(module).__module__.startswith("transformers.models."):
        return None
    if name in _NORMS:
        return _norm
    if name in _GATED and isinstance(module.act_fn, nn.SiLU | _silu_of_transformers()):
        return _gated
    return _attention if name in _ATTENTIONS else None


def _silu_of_transformers() -> type:
    from transformers.activations import ACT2FN

    return type(ACT2FN["silu"])


def _can(states: Tensor, module: Any) -> bool:
    """Whether these are plain float32 weights on a CPU, in linear layers without adapters."""
    return (
        states.device.type == "cpu"
        and states.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and all(type(one) is nn.Linear for one in module.children() if hasattr(one, "weight"))
        and all(
            type(one) is nn.Parameter and one.dtype == torch.float32 for one in module.parameters()
        )
    )


def _norm(module: Any, plain: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
    if not _can(states, module):
        return plain(states)
    normed: Tensor = _Norm.apply(  # type: ignore[no-untyped-call]
        states, module.weight, module.variance_epsilon
    )
    return normed


def _gated(module: Any, plain: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
    layers = (module.gate_proj, module.up_proj, module.down_proj)
    if not _can(states, module) or any(one.bias is not None for one in layers):
        return plain(states)
    rows = states.reshape(-1, states.shape[-1])
    weights = (one.weight for one in layers)
    out: Tensor = _Gated.apply(rows, *weights)  # type: ignore[no-untyped-call]
    return out.view(states.shape)


def _attention(
    module: Any, plain: Callable[..., Any], hidden_states: Tensor, **given: Any
) -> tuple[Tensor, None]:
    is_still = not module.training or module.attention_dropout == 0
    if is_still and given.get("layout") is not None and _can(hidden_states, module):
        out = attend_leanly(module, hidden_states, **given)
        if out is not None:
            return out, None
    rest: tuple[Tensor, None] = plain(hidden_states=hidden_states, **given)
    return rest


class _Norm(torch.autograd.Function):
    """w · x / √(mean x² + ε) over the last dimension, [..., H] and [H]."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        length = torch.linalg.vector_norm(states, dim=-1, keepdim=True)  # [..., 1]
        scale = length.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(states, weight, scale)
        normed: Tensor = (states * scale).mul_(weight)
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        states, weight, scale = ctx.saved_tensors
        products = (gradient * states).reshape(-1, weight.numel())  # [T, H]
        for_weight = scale.reshape(1, -1) @ products  # [1, H]
        along = (products @ weight).view(scale.shape)  # Σ g·w·x, [..., 1]
        along.mul_(scale.pow(3)).div_(-weight.numel())
        for_states = (gradient * weight).mul_(scale).addcmul_(states, along)
        return for_states, for_weight[0], None


class _Gated(torch.autograd.Function):
    """(silu(x Gᵀ) · (x Uᵀ)) Dᵀ; [T, H], [F, H] twice and [H, F] → [T, H]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
        opened, raised = rows @ gate.t(), rows @ up.t()  # [T, F] twice
        ctx.save_for_backward(rows, gate, up, down, opened, raised)
        return silu(opened).mul_(raised) @ down.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, gate, up, down, opened, raised = ctx.saved_tensors
        needs = ctx.needs_input_grad
        open_ = silu(opened)
        for_down = gradient.t() @ (open_ * raised) if needs[3] else None
        inner = gradient @ down  # [T, F]
        for_opened = torch.ops.aten.silu_backward(inner * raised, opened)
        for_raised = inner.mul_(open_)
        return (
            (for_opened @ gate).addmm_(for_raised, up) if needs[0] else None,
            for_opened.t() @ rows if needs[1] else None,
            for_raised.t() @ rows if needs[2] else None,
            for_down,
        )
