"""How a network is computed, chosen by what this machine can do: attention, compiled layers.

What is tried is compared with what is known to be right before it is used; where it fails or
differs, training goes on without it and says why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worker.errors import TrainerError
from worker.reward.compiling import AUTO, CLOSE, OFF, ON, compile_layers, first_line, why_not
from worker.reward.configuration import RewardConfiguration
from worker.reward.flex_attention import Kernel, compiled, flex_row
from worker.reward.flex_attention import attend as attend_by
from worker.reward.packed_attention import attend
from worker.reward.packing import Layout, lay_out
from worker.reward.scorer import Scorer
from worker.runtime import Runtime

BLOCKS, FLEX, PLAIN = "blocks", "flex", "plain"
_TRIED = "flex attention, when tried,"
_DROPOUTS = ("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop")


@dataclass
class Computing:
    """What was chosen for a run, and why nothing else; the reasons are empty where none is due."""

    attention: str = BLOCKS
    attention_reason: str = ""
    is_compiled: bool = False
    compile_reason: str = ""

    def settle(
        self,
        scorer: Scorer,
        configuration: RewardConfiguration,
        *,
        n_steps: int,
        note: Callable[[str], None],
        kernel: Callable[[], Kernel] = compiled,
    ) -> None:
        """Choose for `scorer`, and change it and its network accordingly; `note` is told why."""
        attention, compiles = configuration.attention, configuration.compiles
        found, self.attention_reason = _attention(scorer, configuration, kernel)
        scorer.kernel = found
        self.attention = FLEX if found else BLOCKS if scorer.is_packed else PLAIN
        is_sharded = configuration.is_sharded and scorer.runtime.world_size > 1
        refused = why_not(scorer, compiles, n_steps, is_sharded=is_sharded)
        failed = "" if refused else compile_layers(scorer)
        self.compile_reason = refused or failed
        self.is_compiled = not self.compile_reason
        # What was asked for, or tried without being asked for, and is not done.
        if not found and (attention == FLEX or self.attention_reason.startswith(_TRIED)):
            note(f"Attention is computed part by part: {self.attention_reason}.")
        if failed or (refused and compiles == ON):
            note(f"The network is not compiled: {self.compile_reason}.")


def refuse_unknown(attention: str, compiles: str) -> None:
    """Raises TrainerError for a choice that does not exist."""
    for told, known in ((attention, (AUTO, BLOCKS, FLEX)), (compiles, (AUTO, ON, OFF))):
        if told not in known:
            raise TrainerError(f"“{told}” is no choice here. Use {', '.join(known)}.")


def _attention(
    scorer: Scorer, configuration: RewardConfiguration, kernel: Callable[[], Kernel]
) -> tuple[Kernel | None, str]:
    """The kernel for a whole row, or None and why."""
    config, packing = scorer.network.config.get_text_config(), scorer.packing
    on_gpu = scorer.runtime.device.type == "cuda"
    reason = ""
    if configuration.attention == BLOCKS:
        reason = "that was asked for"
    elif packing is None:
        reason = f"the network does not take packed rows ({scorer.reason})"
    elif not on_gpu and kernel is compiled:
        reason = "PyTorch's flex attention has gradients on GPUs alone"
    elif configuration.has_dropout and any(getattr(config, name, 0) for name in _DROPOUTS):
        reason = "flex attention has no dropout"
    else:
        reason = _fault(kernel, config, scorer.runtime, is_causal=packing.is_causal)
    return (None, reason) if reason else (kernel(), "")


def _fault(kernel: Callable[[], Kernel], config: Any, runtime: Runtime, *, is_causal: bool) -> str:
    """What is wrong with a kernel on this machine, for heads as this network has them; or ''."""
    try:
        off = _difference(kernel(), config, runtime, is_causal=is_causal)
    except Exception as error:  # whatever a compiler says is a reason to do without
        return f"{_TRIED} fails here ({first_line(error)})"
    return "" if off < CLOSE[runtime.dtype] else f"{_TRIED} differs by {off:.1g} here"


def _difference(kernel: Kernel, config: Any, runtime: Runtime, *, is_causal: bool) -> float:
    """By how much results and gradients of a kernel differ from the known ones, of the largest."""
    worst = 0.0
    for lengths in ((150, 40, 90), (200, 7, 300)):  # of two shapes, for a compiler may err on one
        layout = _example(lengths, is_causal=is_causal).to(runtime.device)
        rows = _draw(config, len(layout.positions), runtime)
        one = _with_gradients(attend_by, rows, is_causal, flex_row=flex_row(layout, kernel))
        wide = [row.float() for row in rows]
        two = _with_gradients(attend, wide, is_causal, layout=layout)
        for found, right in zip(one, two, strict=True):
            worst = max(worst, float((found.float() - right).abs().max() / right.abs().max()))
    return worst


def _example(lengths: tuple[int, int, int], *, is_causal: bool) -> Layout:
    """Sequences of which some begin alike, in a row."""
    prompt, short, long = lengths
    start = list(range(1, prompt + 1))
    rows = [[*start, *[0] * short], [*start, *[1] * long], [*[2] * long], [3]]
    return lay_out(rows, None, is_causal=is_causal)


def _draw(config: Any, n_tokens: int, runtime: Runtime) -> list[Tensor]:
    """Queries, keys and values as this network has them, [1, H, T, D] and [1, K, T, D] twice."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    stream = torch.Generator().manual_seed(0)
    shapes = [(1, n, n_tokens, width) for n in (heads, groups, groups)]
    return [
        torch.randn(shape, generator=stream).to(runtime.device, runtime.dtype) for shape in shapes
    ]


def _with_gradients(
    attention: Callable[..., tuple[Tensor, None]], rows: list[Tensor], is_causal: bool, **told: Any
) -> list[Tensor]:
    """What attention gives for queries, keys and values, and the gradients of those."""
    read = [row.detach().requires_grad_() for row in rows]
    out = attention(None, *read, None, is_causal=is_causal, **told)[0]
    weights = torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out)
    return [out.detach(), *torch.autograd.grad((out.float() * weights).sum(), read)]
