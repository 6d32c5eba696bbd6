"""Everything that decides a reward run besides its data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.reward.reliability import Reliability
from worker.reward.strength import Loss


@dataclass(frozen=True)
class RewardConfiguration:
    """By the names of the options of `prefloop-worker reward`."""

    base_model: str
    loss: Loss = Loss.SCALED
    epochs: float | None = None  # None: what usual_epochs says
    learning_rate: float = 1e-4
    batch_size: int = 32
    max_length: int = 1024
    seed: int = 0
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    centring: float = 0.01
    tie_threshold: float | None = None  # log-odds within which scores are taken for equal
    soft_temperature: float = 0.85  # in half points of the 1-8 scale's distance from its middle
    reliability: Reliability = Reliability.AUTO
    length: str = "off"  # or covariate, or log-odds per standard deviation of log length ratio
    objective: str = "helpfulness"  # or safety: what the scores measure
    flag: str | None = None  # learn which completion this flag prefers, not which people did
    safety_flag: str | None = None  # fit a safety head on the trunk by this flag
    attributes: str = ""  # names, with commas: fit a head on the trunk for each
    has_dropout: bool = False
    recomputes: bool = False  # states within layers, for gradients: less memory, a third more work
    lora_rank: int | None = None  # None: every weight learns
    quantisation: str | None = None  # or 4bit: of the weights beside adapters
    attention: str = "auto"  # or blocks, or flex: how that of packed rows is computed
    compiles: str = "auto"  # or on, or off: whether layers go through torch.compile
    is_sharded: bool = False  # weights over the processes of a torchrun, instead of a copy on each
    checkpoint_every: int = 100  # steps
    ensemble: int = 0  # heads beside the trained one, for standard errors

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "RewardConfiguration":
        """From what `as_dict` gave, perhaps read from JSON. Raises TypeError and ValueError."""
        told = dict(values)
        for name, kind in (("loss", Loss), ("reliability", Reliability)):
            if name in told:
                told[name] = kind(told[name])
        return cls(**told)
