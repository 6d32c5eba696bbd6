"""Layers of a network compiled by `torch.compile`, where that works and pays."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from worker.reward.scorer import Scorer

AUTO, ON, OFF = "auto", "on", "off"
# Compiling takes about a minute, which a shorter run does not earn back; an estimate.
STEPS_WORTH_COMPILING = 500
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}  # of the largest


def why_not(scorer: Scorer, wanted: str, n_steps: int, *, is_sharded: bool) -> str:
    """Why layers are not to be compiled; or ''."""
    if wanted == OFF:
        return "that was asked for"
    if is_sharded:
        return "its weights are spread over processes"
    if wanted == ON:
        return ""
    if scorer.runtime.device.type != "cuda":
        return "on a CPU it does not pay"
    if n_steps < STEPS_WORTH_COMPILING:
        return f"{n_steps} steps do not earn it back"
    return ""


def compile_layers(scorer: Scorer) -> str:
    """Compile each layer of the network in place; why not, where it fails or gives other scores.

    Layers are alike, so that one is compiled for all; lengths may vary without compiling anew.
    """
    layers = _layers(scorer.network)
    if not layers:
        return "it has no layers that are known to compile alike"
    plain = _try(scorer)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own affair
            for layer in layers:
                nn.Module.compile(layer, dynamic=True)
            found = _try(scorer)
    except Exception as error:  # no compiler, or one that fails, is a reason to do without
        forget_compiled(scorer.network)
        return f"compiling fails here ({first_line(error)})"
    off = float((found - plain).abs().max() / plain.abs().max().clamp(min=1e-9))
    if not off < CLOSE[scorer.runtime.dtype]:
        forget_compiled(scorer.network)
        return f"compiled scores differ by {off:.1g}"
    return ""


def _try(scorer: Scorer) -> Tensor:
    """Scores of made-up sequences, read forward and back as in training; without dropout."""
    size = scorer.network.config.get_text_config().vocab_size
    start = [1 + place % (size - 1) for place in range(12)]
    rows = [[*start, 1, 2], [*start, 2, 1, 1], [1 % size, 2 % size]]
    was_training = scorer.network.training
    scorer.network.eval()
    try:
        scores: Tensor = scorer(rows)
        learns = [one for one in scorer.network.parameters() if one.requires_grad]
        torch.autograd.grad(scores.sum(), learns, allow_unused=True)
    finally:
        scorer.network.train(was_training)
    return scores.detach()


def forget_compiled(network: Any) -> None:
    """Let the layers of a network run as they are written again."""
    for layer in _layers(network):
        layer._compiled_call_impl = None


def _layers(network: Any) -> list[Any]:
    return [one for one in network.modules() if isinstance(one, GradientCheckpointingLayer)]


def first_line(error: Exception) -> str:
    """What an error is and says first, in one line."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"
