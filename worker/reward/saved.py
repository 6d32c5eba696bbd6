"""What a checkpoint of a reward run holds, and how a run goes on from it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from worker.checkpoints import checkpoint_of, save_checkpoint
from worker.runtime import Runtime, restore_rng_state, rng_state
from worker.sharding import take_state, whole_state

_STATE = "state.pt"


@dataclass(frozen=True)
class Saved:
    """A network and its optimiser, in `checkpoints` as those of the run `identity`."""

    model: Any
    optimiser: torch.optim.Optimizer
    checkpoints: Path
    identity: dict[str, Any]
    is_sharded: bool

    def save(self, step: int, runtime: Runtime) -> None:
        """Write a checkpoint after `step`; every process takes part where weights are sharded."""
        state = self._state()
        if runtime.is_main:
            save_checkpoint(
                *(self.checkpoints, step, lambda path: torch.save(state, path / _STATE)),
                extra=self.identity,
            )

    def _state(self) -> dict[str, Any]:
        if self.is_sharded:
            weights, moments = whole_state(self.model, self.optimiser)
        else:
            frozen = {name for name, one in self.model.named_parameters() if not one.requires_grad}
            kept = self.model.state_dict().items()
            weights = {name: one for name, one in kept if not _belongs(name, frozen)}
            moments = self.optimiser.state_dict()
        return {"model": weights, "optimiser": moments, "random": rng_state()}

    def resume(self, runtime: Runtime, note: Callable[[str], None]) -> int:
        """Take up the newest whole checkpoint; the steps that it knows, 0 without any."""
        found = checkpoint_of(self.checkpoints, self.identity, note)
        if found is None:
            return 0
        load: Callable[..., Any] = torch.load
        state = load(found.path / _STATE, map_location=runtime.device, weights_only=True)
        if self.is_sharded:
            take_state(self.model, self.optimiser, state["model"], state["optimiser"])
        else:
            self.model.load_state_dict(state["model"], strict=False)  # frozen: the base model's
            self.optimiser.load_state_dict(state["optimiser"])
        restore_rng_state(state["random"])
        note(f"Resumed after step {found.step}.")
        return found.step


def _belongs(name: str, frozen: set[str]) -> bool:
    """Whether an entry is one of these weights, or a scale of one in four bits."""
    return name in frozen or any(name.startswith(one + ".") for one in frozen)
