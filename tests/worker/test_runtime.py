import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from worker.errors import TrainerError
from worker.runtime import (
    all_reduce_mean,
    all_reduce_sum,
    autocast,
    restore_rng_state,
    rng_state,
    seed_everything,
    start_runtime,
)


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(1))


def test_the_same_parts_give_the_same_random_streams_and_others_do_not() -> None:
    seed_everything(1, "step", 2, 0)
    first = draw()
    seed_everything(1, "step", 2, 0)
    assert draw() == first
    seed_everything(1, "step", 2, 1)
    assert all(one != two for one, two in zip(draw(), first, strict=True))


def test_random_streams_go_on_where_they_were_saved() -> None:
    seed_everything(7)
    draw()
    state = rng_state()
    expected = draw()
    restore_rng_state(state)
    assert draw() == expected


def test_one_process_on_the_cpu_computes_in_float32_and_sums_with_nobody() -> None:
    runtime = start_runtime(0, "cpu", threads=1)
    assert (runtime.world_size, runtime.rank, runtime.is_main) == (1, 0, True)
    assert runtime.dtype is torch.float32
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    assert all_reduce_sum(value, runtime).tolist() == [1.0, 2.0]
    assert all_reduce_mean(value, runtime).requires_grad is False
    with autocast(runtime):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32
    halved = start_runtime(0, "cpu", threads=1, precision="bfloat16")
    with autocast(halved):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.bfloat16


@pytest.mark.parametrize("device", ["cuda", "nonsense"])
def test_a_device_that_is_not_there_is_refused_in_words(device: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(TrainerError, match=r"cpu|CPU"):
        start_runtime(0, device)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(TrainerError, match="float32 or bfloat16"):
        start_runtime(0, "cpu", precision="float8")


def test_the_thread_environment_is_set_before_torch_is_there() -> None:
    script = (
        "import os, sys\n"
        "from worker.runtime import set_thread_environment\n"
        "assert 'torch' not in sys.modules\n"
        "set_thread_environment()\n"
        "print(os.environ['OMP_WAIT_POLICY'], os.environ['GOMP_SPINCOUNT'],"
        " os.environ.get('HF_HUB_OFFLINE'))"
    )
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OMP", "GOMP", "HF_", "PREFLOOP"))
    }
    answers = [
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={**clean, **more},
        ).stdout.strip()
        for more in ({}, {"PREFLOOP_OFFLINE": "1"})
    ]
    assert answers == ["PASSIVE 0 None", "PASSIVE 0 1"]
