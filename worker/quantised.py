"""Base models whose linear layers are kept in four bits, so that a larger one fits (QLoRA).

NF4 with doubly quantised scales: Dettmers et al., arXiv 2305.14314, §3; by bitsandbytes.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from worker.errors import TrainerError

if TYPE_CHECKING:
    import torch

    from worker.runtime import Runtime

FOUR_BITS = "4bit"


def refuse_unusable(quantisation: str | None, *, has_adapters: bool, is_sharded: bool) -> None:
    """Raises TrainerError for a quantisation that is unknown or goes with nothing that is asked."""
    if quantisation is None:
        return
    if quantisation != FOUR_BITS:
        raise TrainerError(f"“{quantisation}” is no quantisation. Use {FOUR_BITS}.")
    if not has_adapters:
        raise TrainerError(
            "Weights in four bits stand still: only adapters beside them learn. Ask for some with "
            "--lora, or leave --quantise out."
        )
    if is_sharded:
        raise TrainerError(
            "Weights in four bits are not spread over processes. Leave --shard out, and each "
            "process keeps a copy of them; or leave --quantise out."
        )


def loading_options(config: Any, runtime: "Runtime") -> dict[str, Any]:
    """What `from_pretrained` takes to quantise each linear layer of the base model, not the head.

    Raises TrainerError where bitsandbytes is not installed.
    """
    # It warns of a kernel for inference that it would fetch, and that `prepare` does without.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        import accelerate  # noqa: F401 (transformers asks for it)
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise TrainerError(
            f"Weights in four bits need the library {error.name}, which is not installed. Install "
            "the extra `quantised`, or leave --quantise out."
        ) from error
    import transformers

    library: Any = transformers
    told = library.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=runtime.dtype,
        llm_int8_skip_modules=_heads(config),
    )
    return {"quantization_config": told, "device_map": {"": str(runtime.device)}}


def prepare(network: Any) -> None:
    """Make a network that was loaded in four bits trainable by adapters, in place."""
    import peft

    library: Any = peft
    library.prepare_model_for_kbit_training(network, use_gradient_checkpointing=False)
    for layer in _layers(network):
        # On processors with AVX512-BF16 a pass without gradients would rearrange the weights for a
        # kernel that computes in bfloat16 and gives no gradients ever after.
        layer.support_avx512bf16_for_cpu = False


def is_quantised(layer: Any) -> bool:
    """Whether this layer's weights are kept in four bits."""
    return getattr(getattr(layer, "weight", None), "quant_state", None) is not None


def plain(layer: Any) -> "torch.nn.Linear":
    """A linear layer in float32 on the CPU with the weights that a quantised one stands for."""
    import torch
    from bitsandbytes.functional import dequantize_4bit

    state = layer.weight.quant_state
    whole = torch.nn.Linear(state.shape[1], state.shape[0], bias=layer.bias is not None)
    with torch.no_grad():
        whole.weight.copy_(dequantize_4bit(layer.weight.data, state))
        if layer.bias is not None:
            whole.bias.copy_(layer.bias)
    return whole


def forget(network: Any) -> bool:
    """Whether a network, whose layers are all plain again, was quantised; takes its marks away."""
    if not getattr(network, "is_loaded_in_4bit", False):
        return False
    network.hf_quantizer.remove_quantization_config(network)
    network.is_loaded_in_4bit = False
    return True


def n_weights(network: Any) -> int:
    """How many weights a network has, where one byte may hold two of them."""
    return sum(
        one.quant_state.shape.numel() if hasattr(one, "quant_state") else one.numel()
        for one in network.parameters()
    )


@contextmanager
def computing_in(network: Any, dtype: "torch.dtype") -> Iterator[None]:
    """Let quantised layers compute in `dtype`, whatever they were loaded for."""
    before = [(layer, layer.compute_dtype) for layer in _layers(network)]
    try:
        for layer, _ in before:
            layer.compute_dtype = dtype
        yield
    finally:
        for layer, own in before:
            layer.compute_dtype = own


def _heads(config: Any) -> list[str]:
    """The parts of a network beside its base model, looked up on one that has no weights."""
    import torch
    import transformers

    library: Any = transformers
    with torch.device("meta"):
        shell = library.AutoModelForSequenceClassification.from_config(config)
    return [name for name, child in shell.named_children() if child is not shell.base_model]


def _layers(network: Any) -> list[Any]:
    return [one for one in network.modules() if is_quantised(one)]
