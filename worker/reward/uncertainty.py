"""What a trained reward model does not know: measured, kept beside its weights, and read again.

`last_layer.safetensors` lies in the artefact's folder, where transformers and TRL do not look.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from worker.errors import TrainerError
from worker.progress import Progress
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Encoded
from worker.reward.ensemble import fit_heads, head_errors
from worker.reward.evaluate import expected_calibration_error
from worker.reward.laplace import (
    Posterior,
    choose_precision,
    folds_of,
    laplace,
    moderate,
)
from worker.reward.loss import strength_targets
from worker.reward.score import read_features
from worker.reward.strength import Loss, expected_targets, pair_weights
from worker.runtime import Runtime

FILE = "last_layer.safetensors"
MOST_ROWS, MOST_HELD_OUT = 2_000, 1_000
# A wider layer is read along its main axes: a covariance of 4,096² would not be changed in time.
MOST_DIMENSIONS = 1_024


@dataclass(frozen=True)
class Counting:
    """How comparisons count, so that later ones count alike: ω = weight · strength? / unit."""

    loss: str
    soft_temperature: float
    unit: float

    def weigh(self, strength: float, weight: float) -> float:
        return weight * (strength if self.loss == Loss.SCALED else 1.0) / self.unit

    def target(self, strength: float, *, is_tie: bool) -> float:
        """The chance that the chosen side wins."""
        if is_tie:
            return 0.5
        if self.loss != Loss.SOFT:
            return 1.0
        return float(strength_targets(torch.tensor([strength]), self.soft_temperature))


@dataclass(frozen=True)
class LastLayer:
    """The posterior over a head, in logits: a score divided by `temperature`.

    `basis` [d, H] holds the axes that the posterior is on, None where it is on the features
    themselves; `heads` [n, d] the ensemble's distances from the trained head, n = 0 without one.
    """

    posterior: Posterior
    basis: Tensor | None
    heads: Tensor
    temperature: float
    counting: Counting

    def reduce(self, features: Tensor) -> Tensor:
        """Features in the posterior's coordinates, [N, H] → [N, d], float64."""
        wide = features.double()
        return wide if self.basis is None else wide @ self.basis.T

    def errors_of_scores(self, features: Tensor) -> Tensor:
        """Standard errors of scores, told beside the mean completion's, [N, H] → [N]."""
        return self.temperature * self.posterior.errors_of_scores(self.reduce(features))

    def ensemble_errors(self, features: Tensor) -> Tensor | None:
        """The same by how far the ensemble's heads disagree; None without an ensemble."""
        if len(self.heads) < 2:
            return None
        rows = self.reduce(features) - self.posterior.centre
        return self.temperature * head_errors(self.heads, rows)


def find_head(model: Any) -> Any:
    """The linear layer that gives the score. Raises TrainerError where there is none."""
    heads = [
        module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == 1
    ]
    if not heads:
        raise TrainerError("This reward model has no linear layer with one output.")
    return heads[-1]


def measure_and_judge(
    model: Any,
    data: Encoded,
    held_out: Encoded,
    configuration: RewardConfiguration,
    runtime: Runtime,
    *,
    judged: dict[str, Any],
    progress: Progress,
) -> tuple[LastLayer | None, dict[str, Any] | None]:
    """`measure` at the temperature of an evaluation, and its report with that of `judge`.

    None, with a note, for a network whose last layer cannot be found.
    """
    try:
        layer, report = measure(
            model, data, configuration, runtime, temperature=judged["temperature"] or 1.0
        )
    except TrainerError as error:
        progress.note(f"Scores of this model come without a standard error: {error.message}")
        return None, None
    return layer, report | judge(layer, model, held_out, configuration.batch_size, runtime)


def measure(
    model: Any,
    data: Encoded,
    configuration: RewardConfiguration,
    runtime: Runtime,
    *,
    temperature: float,
) -> tuple[LastLayer, dict[str, Any]]:
    """The posterior of a trained network's head after the comparisons it learnt from; a report.

    Of many comparisons 2,000 are read, and count for all. Raises TrainerError for a network whose
    last layer cannot be found.
    """
    head = _weights_of(find_head(model))  # [H]
    counting = _counting(data, configuration)
    every = torch.arange(len(data))
    rows = every[:: math.ceil(len(data) / MOST_ROWS)]
    features, centre = _differences(model, data, rows, configuration.batch_size, runtime)
    basis = _basis(features, head)
    x, mean, centre = (
        one if basis is None else one @ basis.T for one in (features, head / temperature, centre)
    )
    targets, weights = _evidence(data, rows, counting)
    groups = [data.groups[row] for row in rows.tolist()]
    precision, losses = choose_precision(x, targets, weights, folds_of(groups))
    weights = weights * (len(data) / len(rows))
    posterior = laplace(x, weights, mean, precision, centre)
    heads = torch.empty(0, x.shape[1], dtype=torch.float64)
    if configuration.ensemble:
        heads = fit_heads(
            x, targets, weights, precision,
            groups=groups, n=configuration.ensemble, seed=configuration.seed,
        )  # fmt: skip
    layer = LastLayer(posterior, basis, heads, temperature, counting)
    return layer, {
        "prior_precision": precision,
        "log_losses": {f"{one:g}": loss for one, loss in losses.items()},
        "dimensions": x.shape[1],
        "n_comparisons": len(rows),
        "n_heads": len(heads),
        "temperature": temperature,
    }


def judge(
    layer: LastLayer, model: Any, data: Encoded, batch_size: int, runtime: Runtime
) -> dict[str, Any]:
    """What the errors say of held-out comparisons, ties left out; None where there is none.

    The mean standard error of a score difference, and log-loss and calibration error of chances
    that are drawn to ½ by it.
    """
    rows = torch.arange(len(data))[~data.is_tie][:MOST_HELD_OUT]
    if not len(rows):
        return {"mean_standard_error": None, "log_loss": None, "ece": None}
    wide, _ = _differences(model, data, rows, batch_size, runtime)
    x = layer.reduce(wide)
    errors = layer.posterior.errors(x)
    logits = moderate(x @ layer.posterior.mean, errors)
    return {
        "mean_standard_error": layer.temperature * float(errors.mean()),
        "log_loss": float(binary_cross_entropy_with_logits(logits, torch.ones_like(logits))),
        "ece": expected_calibration_error(logits.float()),
    }


def save(layer: LastLayer, folder: Path) -> None:
    """Write FILE into a folder that is being made."""
    from safetensors.torch import save_file

    posterior = layer.posterior
    tensors = {
        "mean": posterior.mean,
        "covariance": posterior.covariance,
        "centre": posterior.centre,
        "heads": layer.heads,
        **({} if layer.basis is None else {"basis": layer.basis}),
    }
    numbers = {
        "precision": posterior.precision,
        "temperature": layer.temperature,
        "counting": layer.counting.__dict__,
    }
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / FILE, metadata={"last_layer": json.dumps(numbers)})


def load(folder: Path) -> LastLayer | None:
    """What `save` wrote; None for a reward model of before there was such a file."""
    from safetensors import safe_open

    path = folder / FILE
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        numbers = json.loads(opened.metadata()["last_layer"])
    posterior = Posterior(
        tensors["mean"], tensors["covariance"], tensors["centre"], numbers["precision"]
    )
    return LastLayer(
        posterior,
        tensors.get("basis"),
        tensors["heads"],
        numbers["temperature"],
        Counting(**numbers["counting"]),
    )


def _weights_of(head: Any) -> Tensor:
    """The weights of a layer with one output, [H] in float64, whole also where they are sharded."""
    found = head.weight.detach()
    whole: Tensor = found.full_tensor() if hasattr(found, "full_tensor") else found
    return whole.double().cpu()[0]


def _counting(data: Encoded, configuration: RewardConfiguration) -> Counting:
    plain = data.weights * (data.strengths if configuration.loss is Loss.SCALED else 1.0)
    return Counting(configuration.loss, configuration.soft_temperature, float(plain.mean()))


def _evidence(data: Encoded, rows: Tensor, counting: Counting) -> tuple[Tensor, Tensor]:
    """The chance that the chosen side wins, and how much it counts; [n], [n] in float64."""
    strengths, ties = data.strengths[rows].tolist(), data.is_tie[rows].tolist()
    targets = [counting.target(s, is_tie=t) for s, t in zip(strengths, ties, strict=True)]
    weights = pair_weights(data, Loss(counting.loss))[rows].double()
    found = torch.tensor(targets)
    if counting.loss == Loss.SOFT and data.posteriors is not None:
        told = expected_targets(found, data.posteriors[rows], counting.soft_temperature)
        found = torch.where(data.is_tie[rows], found, told)
    return found.double(), weights


def _differences(
    model: Any, data: Encoded, rows: Tensor, batch_size: int, runtime: Runtime
) -> tuple[Tensor, Tensor]:
    """Chosen less rejected as the head reads them, [n, H], and the mean completion [H]; float64."""
    sides = torch.cat([data.chosen[rows], data.rejected[rows]])  # [2n]
    used, places = torch.unique(sides, return_inverse=True)  # [U], [2n]
    sequences: Sequence[list[int]] = [data.sequences[index] for index in used.tolist()]
    features = read_features(model, sequences, batch_size, runtime).double()  # [U, H]
    chosen, rejected = features[places].chunk(2)
    return chosen - rejected, features.mean(dim=0)


def _basis(x: Tensor, head: Tensor) -> Tensor | None:
    """Orthonormal axes [d, H]: the head's own direction and the main ones of x; None if narrow."""
    if x.shape[1] <= MOST_DIMENSIONS:
        return None
    _, _, axes = torch.linalg.svd(x, full_matrices=False)
    wide = torch.cat([head[None], axes[: MOST_DIMENSIONS - 1]])
    found: Tensor = torch.linalg.qr(wide.T).Q.T.contiguous()
    return found
