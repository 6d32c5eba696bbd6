"""Low-rank adapters (LoRA) through peft: a few weights learn, and are added to the rest at the end.

W + (α / r) · B A with A [r, in] and B [out, r]: Hu et al., arXiv 2106.09685, §4.1.
"""

from typing import Any

import torch
from torch import nn

from worker import quantised
from worker.errors import TrainerError

_SCALE = 2  # α / r


def add_adapters(network: Any, rank: int) -> None:
    """Put adapters beside each linear layer of the base model, in place; the head learns whole.

    Raises TrainerError where peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TrainerError(
            "Adapters need the library peft, which is not installed. Install it, or train every "
            "weight by leaving --lora out."
        ) from error
    base = network.base_model
    prefix = network.base_model_prefix
    targets = [
        f"{prefix}.{name}" for name, module in base.named_modules() if isinstance(module, nn.Linear)
    ]
    if not targets:
        raise TrainerError("This network has no linear layer for adapters. Leave --lora out.")
    inject_adapter_in_model(
        LoraConfig(r=rank, lora_alpha=_SCALE * rank, target_modules=targets), network
    )
    for child in network.children():
        if child is not base:
            child.requires_grad_(requires_grad=True)


def merge_adapters(network: Any) -> None:
    """Add what the adapters learnt to the layers beside them, and take them out again.

    Layers in four bits become plain ones, on the CPU with all the network: what was trained is
    their rounded weights with the adapters, and so that is what they are from here on.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = [
        (name, one) for name, one in network.named_modules() if isinstance(one, BaseTunerLayer)
    ]
    for name, layer in found:
        base = layer.get_base_layer()
        if quantised.is_quantised(base):
            base = _merged(layer)
        else:
            layer.merge()
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, base)
    if quantised.forget(network):
        network.cpu()
    network.requires_grad_(requires_grad=True)


def _merged(layer: Any) -> nn.Linear:
    """A plain layer with the weights of a quantised one and of its adapters."""
    whole = quantised.plain(layer.get_base_layer())
    with torch.no_grad():
        for name in layer.active_adapters:
            whole.weight += layer.get_delta_weight(name).cpu()
    return whole
