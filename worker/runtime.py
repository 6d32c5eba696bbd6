"""Device, precision, seed and processes: the only module that names a device.

Importing this module does not import torch, because the thread environment must be set first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.errors import ModelNotFound, Stopped, TrainerError

if TYPE_CHECKING:
    import torch

__all__ = [
    "ModelNotFound",
    "Runtime",
    "Stopped",
    "TrainerError",
    "all_reduce_mean",
    "all_reduce_sum",
    "autocast",
    "distribute",
    "end_runtime",
    "install_stop_handler",
    "quiet_libraries",
    "refuse_several_processes",
    "restore_rng_state",
    "rng_state",
    "seed_everything",
    "set_thread_environment",
    "start_runtime",
    "stop_requested",
    "unwrap",
]

STOP_GRACE_SECONDS = 20


@dataclass(frozen=True)
class Runtime:
    """Where this process computes. `world_size` is 1 outside of torchrun."""

    device: torch.device
    dtype: torch.dtype
    rank: int
    world_size: int
    is_main: bool


def set_thread_environment() -> None:
    """Set what OpenMP and the libraries read once, at import. Call before torch is imported.

    Spinning OpenMP threads on a machine that others use turned a 7-second job into 77 seconds.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if os.environ.get("PREFLOOP_OFFLINE", "").lower() in {"1", "true", "yes"}:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def quiet_libraries() -> None:
    """Keep the bars and load reports of transformers out of our own progress."""
    from transformers.utils import logging

    settings: Any = logging
    settings.set_verbosity_error()
    settings.disable_progress_bar()


def start_runtime(
    seed: int,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
) -> Runtime:
    """Choose the device, join the other processes of a torchrun, and seed this one.

    Without `device`, the GPU when there is one. Weights are float32 everywhere; `dtype` is what
    `autocast` computes in: `precision` (float32 or bfloat16) when given, else bfloat16 on GPUs
    that support it and float32 elsewhere.
    Raises TrainerError when a device is asked for that is not there, or an unknown precision.
    """
    import torch

    if threads:
        torch.set_num_threads(threads)
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    chosen = _choose_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if world_size > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    seed_everything(seed)
    return Runtime(
        device=chosen,
        dtype=_choose_dtype(precision, chosen),
        rank=rank,
        world_size=world_size,
        is_main=rank == 0,
    )


def end_runtime(runtime: Runtime) -> None:
    """Leave the group of processes, if there is one."""
    import torch

    if runtime.world_size > 1 and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def refuse_several_processes(runtime: Runtime, what: str) -> None:
    """Raises TrainerError under torchrun, for what would be done twice rather than shared."""
    if runtime.world_size > 1:
        raise TrainerError(
            f"{what} works in one process so far; only reward training can be spread over "
            "several. Start it without torchrun."
        )


def _choose_dtype(precision: str | None, device: torch.device) -> torch.dtype:
    import torch

    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if precision is None:
        is_fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return known["bfloat16" if is_fast else "float32"]
    if precision not in known:
        raise TrainerError(f"“{precision}” is no precision. Use float32 or bfloat16.")
    return known[precision]


def _choose_device(name: str | None, local_rank: int) -> torch.device:
    import torch

    has_gpu = torch.cuda.is_available()
    if name and name.startswith("cuda") and not has_gpu:
        raise TrainerError(
            "A GPU was asked for, but PyTorch sees none on this machine. Leave the device out to "
            "train on the CPU, or install a GPU build of PyTorch and its driver."
        )
    if name is None and not has_gpu:
        return torch.device("cpu")
    if name is None or name == "cuda":
        torch.cuda.set_device(local_rank)
        return torch.device("cuda", local_rank)
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise TrainerError(f"“{name}” is not a device. Use cpu or cuda.") from error


@contextlib.contextmanager
def autocast(runtime: Runtime) -> Iterator[None]:
    """Compute matrix products in `runtime.dtype`; does nothing in float32."""
    import torch

    if runtime.dtype == torch.float32:
        yield
        return
    with torch.autocast(runtime.device.type, dtype=runtime.dtype):
        yield


def seed_everything(*parts: int | str) -> int:
    """Seed Python, NumPy and torch from (job, step, rank, …); the same parts, the same stream."""
    import numpy as np
    import torch

    text = "\x1f".join(str(part) for part in parts)
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 2**63
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    return seed


def rng_state() -> dict[str, Any]:
    """Every random stream of this process, in types that `torch.load(weights_only=True)` reads."""
    import numpy as np
    import torch

    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (str(name), [int(key) for key in keys], int(position), has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_rng_state(state: dict[str, Any]) -> None:
    """Put back what `rng_state` returned; GPU streams only where the number of GPUs is equal."""
    import numpy as np
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])


def all_reduce_sum(tensor: torch.Tensor, runtime: Runtime) -> torch.Tensor:
    """The sum of `tensor` over all processes, same shape, detached; a copy even when alone."""
    import torch

    total = tensor.detach().clone().to(runtime.device)
    if runtime.world_size > 1:
        torch.distributed.all_reduce(total)
    return total


def all_reduce_mean(tensor: torch.Tensor, runtime: Runtime) -> torch.Tensor:
    """The mean of `tensor` over all processes, same shape, detached."""
    return all_reduce_sum(tensor, runtime) / runtime.world_size


def distribute(model: Any, runtime: Runtime) -> Any:
    """The model that averages gradients over processes; the model itself when alone.

    Buffers stay each process's own once it begins: they are constants in the networks used here,
    and to send them at each pass would make processes of unlike numbers of passes wait.
    """
    from torch.nn.parallel import DistributedDataParallel

    if runtime.world_size == 1:
        return model
    # Without device_ids it leaves what it is given where it is; callers move their own tensors.
    return DistributedDataParallel(model, forward_sync_buffers=False)


def unwrap(model: Any) -> Any:
    """The network inside of what `distribute` returned."""
    return getattr(model, "module", model)


_stop = {"requested": False}


def install_stop_handler() -> None:
    """On SIGTERM, ask the training loop to save and end; after a grace time, end at once.

    The process ends with code 143 either way, as a process that dies of SIGTERM does.
    """

    def ask(_signal: int, _frame: object) -> None:
        _stop["requested"] = True
        signal.signal(signal.SIGALRM, lambda *_: os._exit(143))
        signal.alarm(STOP_GRACE_SECONDS)

    signal.signal(signal.SIGTERM, ask)


def stop_requested(runtime: Runtime | None = None) -> bool:
    """Whether this run should save a checkpoint at this step boundary and raise `Stopped`.

    With `runtime`, all processes give one answer: one that stopped alone would leave the others
    waiting for its gradients.
    """
    import torch

    if runtime is None or runtime.world_size == 1:
        return _stop["requested"]
    return bool(all_reduce_sum(torch.tensor(float(_stop["requested"])), runtime) > 0)
