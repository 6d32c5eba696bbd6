"""A second output for networks that learn how far people diverge over a completion.

In training the head gives a mean and a variance; then the network is left with the mean alone, in
units of log-odds, and loads like any other. The variance's weights lie beside as a file that
transformers and TRL do not read.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worker.reward.data import Encoded
from worker.reward.loss import mean_variance_losses
from worker.reward.score import read_features
from worker.reward.strength import variances_of
from worker.reward.uncertainty import find_head
from worker.runtime import Runtime

FILE = "variance_head.safetensors"
# The logistic and the normal distribution are closest at this ratio of their scales
# (Bowling et al., “A logistic approximation to the cumulative normal distribution”, 2009).
_LOGISTIC = 1.702


def widen(model: Any) -> None:
    """Give the head a second output, which says the same of every completion at first."""
    head = find_head(model)
    wide = nn.Linear(head.in_features, 2, bias=head.bias is not None)
    wide = wide.to(head.weight.device, head.weight.dtype)
    with torch.no_grad():
        wide.weight.zero_()
        wide.weight[0] = head.weight[0]
        if head.bias is not None:
            wide.bias.zero_()
            wide.bias[0] = head.bias[0]
    _replace(model, head, wide)


class VarianceHead:
    """The variance of a score in log-odds², out of what the head reads of a completion."""

    def __init__(self, weight: Tensor, bias: Tensor, scale: float) -> None:
        self.weight, self.bias, self.scale = weight, bias, scale

    def variances(self, features: Tensor) -> Tensor:
        """[N, H] → [N]."""
        return variances_of(features.float() @ self.weight + self.bias) * self.scale**2

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        scale = torch.tensor([self.scale])
        save_file({"weight": self.weight, "bias": self.bias, "scale": scale}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> "VarianceHead | None":
        """What `save` wrote; None for a reward model that was trained otherwise."""
        from safetensors.torch import load_file

        if not (folder / FILE).is_file():
            return None
        found = load_file(folder / FILE)
        return cls(found["weight"], found["bias"], float(found["scale"]))


def fold(model: Any, data: Encoded, batch_size: int, runtime: Runtime) -> VarianceHead:
    """Leave the network with the mean, in log-odds at the usual variance; the rest is returned."""
    wide = next(one for one in reversed(list(model.modules())) if _is_wide(one))
    head = nn.Linear(wide.in_features, 1, bias=wide.bias is not None)
    head = head.to(wide.weight.device, wide.weight.dtype)
    weight = wide.weight.detach()[1].float().cpu().clone()  # [H]
    bias = torch.zeros(1) if wide.bias is None else wide.bias.detach()[1:].float().cpu().clone()
    with torch.no_grad():
        head.weight[0] = wide.weight[0]
        if wide.bias is not None:
            head.bias[0] = wide.bias[0]
    _replace(model, wide, head)
    step = max(1, len(data.sequences) // 1000)
    features = read_features(model, data.sequences[::step], batch_size, runtime)
    usual = float(variances_of(features @ weight + bias).mean())
    scale = _LOGISTIC / (2 * usual) ** 0.5
    with torch.no_grad():
        for one in head.parameters():
            one.mul_(scale)
    return VarianceHead(weight, bias, scale)


def judge_variances(
    head: VarianceHead, model: Any, held_out: Encoded, batch_size: int, runtime: Runtime
) -> dict[str, float | None]:
    """Held-out log-loss with each completion's own variance, ties left out; and their mean."""
    features = read_features(model, held_out.sequences, batch_size, runtime)  # [U, H]
    found = find_head(model)
    bias = 0.0 if found.bias is None else float(found.bias.detach())
    scores = features @ found.weight.detach()[0].float().cpu() + bias  # [U]
    variances = head.variances(features)  # [U]
    kept = ~held_out.is_tie
    one, two = held_out.chosen[kept], held_out.rejected[kept]
    losses = mean_variance_losses(
        _LOGISTIC * scores[one], _LOGISTIC * scores[two], variances[one], variances[two]
    )
    return {
        "log_loss": float(losses.mean()) if len(losses) else None,
        "mean_standard_deviation": float(variances.sqrt().mean()),
        "smallest": float(variances.sqrt().min()),
        "largest": float(variances.sqrt().max()),
    }


def _is_wide(module: Any) -> bool:
    return isinstance(module, nn.Linear) and module.out_features == 2


def _replace(model: Any, old: nn.Module, new: nn.Module) -> None:
    for parent in model.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
                return
