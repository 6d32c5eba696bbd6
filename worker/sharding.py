"""A network whose weights are spread over processes (FSDP2), so that one larger than a GPU trains.

Each process keeps its part of every weight and of the optimiser's state; what a layer needs is
gathered when its turn comes. `torch.distributed.fsdp.fully_shard` does that in place.
"""

from typing import Any

import torch
from torch import nn


def shard(network: Any) -> None:
    """Spread the weights of each layer, and of what is beside the layers, over all processes.

    The parts of the network are sharded, not the network itself, so that a packed row may go
    through its base model and its head one after the other.
    """
    from torch.distributed.fsdp import fully_shard
    from transformers.modeling_layers import GradientCheckpointingLayer

    for module in list(network.modules()):
        if isinstance(module, GradientCheckpointingLayer):
            fully_shard(module)
    for child in network.children():
        if any(True for _ in child.parameters()):
            fully_shard(child)


def whole_state(
    network: Any, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All weights and the optimiser's state on the first process's CPU; every process must ask."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_state_dict(network, optimiser, options=options)


def take_state(
    network: Any,
    optimiser: torch.optim.Optimizer,
    weights: dict[str, Any],
    optimiser_state: dict[str, Any],
) -> None:
    """Put back what `whole_state` gave; every process passes all of it."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_state_dict

    set_state_dict(
        network,
        optimiser,
        model_state_dict=weights,
        optim_state_dict=optimiser_state,
        options=StateDictOptions(full_state_dict=True),
    )


def gather_into(plain: nn.Module, network: Any) -> None:
    """Copy the weights of a sharded network into a whole one; every process must call it."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    plain.load_state_dict(
        get_model_state_dict(network, options=StateDictOptions(full_state_dict=True))
    )


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that may be spread over processes, brought together."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()
