"""Which loss suits these comparisons: decided on held-out pairs, with heads on frozen features."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from worker.reward.data import Encoded
from worker.reward.diverging import diverges, held_out_normal
from worker.reward.frozen import FrozenFeatures, sample
from worker.reward.score import calibrate_temperature
from worker.reward.strength import USUAL_THRESHOLD, Loss, losses_of, pair_weights

N_FOLDS = 4
FEWEST = 40
_PRECISIONS = (1.0, 10.0, 100.0, 1000.0)
# Of soft targets: from nearly hard labels to ones that hardly say more than the side.
_TEMPERATURES = (0.5, 0.85, 1.5, 3.0)
# Of ties: how far apart scores may lie and still be taken for equal.
_THRESHOLDS = (0.25, 0.75)


# Temperatures beyond are those of heads that know nothing, or of pairs that hold no doubt.
_SENSIBLE = (0.1, 10.0)


@dataclass(frozen=True)
class Candidate:
    """A loss, for soft targets with their temperature, for ties with their threshold."""

    loss: Loss
    temperature: float = 1.0
    threshold: float = USUAL_THRESHOLD

    @property
    def name(self) -> str:
        if self.loss is Loss.TIES:
            return f"ties within {self.threshold:g}"
        return f"soft at {self.temperature:g}" if self.loss is Loss.SOFT else str(self.loss)


CANDIDATES = (
    Candidate(Loss.PLAIN),
    Candidate(Loss.SCALED),
    Candidate(Loss.MARGIN),
    *(Candidate(Loss.SOFT, one) for one in _TEMPERATURES),
)
NORMAL = Candidate(Loss.MEAN_VARIANCE)
WITH_TIES = tuple(Candidate(Loss.TIES, threshold=one) for one in _THRESHOLDS)


@dataclass(frozen=True)
class Choice:
    """The candidate chosen, and each one's held-out log-loss beside that of plain Bradley-Terry.

    figures: name → {"log_loss", "accuracy", "gain", "gain_standard_error"}, where gain is the log-
    loss of the plain one less this one's, over the same pairs; for mean-variance, whose means alone
    are published, also that with each completion's own variance. units: how wide each one's scores
    are for what they know, beside those of plain Bradley-Terry with all answers alike, which are
    log-odds; out of fold as well.
    """

    candidate: Candidate
    figures: dict[str, dict[str, float]]
    precision: float | None = None  # of the heads' prior
    units: Mapping[Candidate, float] = field(default_factory=dict)


def choose_loss(
    features: FrozenFeatures,
    data: Encoded,
    *,
    seed: int,
    candidates: Sequence[Candidate] | None = None,
) -> Choice:
    """Choose by cross-validation over groups; scaled, without figures, with too few comparisons.

    Features are what the head reads of each completion before any training, so that this costs
    one reading of at most 2,000 comparisons.
    """
    rows = sample(range(len(data)), seed)
    if len(rows) < FEWEST:
        return Choice(Candidate(Loss.SCALED), {})
    chosen, rejected = ends = features.ends(rows)
    return compare(chosen - rejected, rows, data, seed, candidates=candidates, ends=ends)


def compare(
    differences: Tensor,
    rows: Sequence[int],
    data: Encoded,
    seed: int,
    *,
    candidates: Sequence[Candidate] | None = None,
    ends: tuple[Tensor, Tensor] | None = None,
) -> Choice:
    """The same for differences of features, [N, H], of the comparisons `rows` [N] of `data`.

    Without `candidates` all are tried that the data allow; the first is what the others are
    measured against. With the features of both `ends`, [N, H] each, mean-variance is one of them
    where enough pairs were answered either way.
    """
    x = differences.double()
    x = x / x.square().mean(dim=0, keepdim=True).sqrt().clamp(min=1e-6)  # [N, H]
    index = torch.tensor(rows)
    precision = choose_precision(x, index, data, seed)
    folds = _folds([data.groups[row] for row in rows], seed)  # [N]
    kept = ~data.is_tie[index]
    if candidates is None:
        candidates = CANDIDATES if bool(kept.all()) else CANDIDATES + WITH_TIES
        if ends is not None and diverges(data, rows):
            candidates = (*candidates, NORMAL)

    def judged(candidate: Candidate, data: Encoded) -> Tensor:
        return held_out_differences(x, index, data, folds, candidate, precision=precision)[kept]

    found = {one: judged(one, data) for one in candidates if one != NORMAL}
    logits = None
    if NORMAL in candidates and ends is not None:
        means, logits = held_out_normal(ends, index, data, folds, precision=precision)
        found[NORMAL] = means[kept]
    baseline = _log_losses(found[candidates[0]])
    figures = {one.name: _figures(d, baseline) for one, d in found.items()}
    if logits is not None:
        own = float(_log_losses(logits[kept]).mean())
        figures[NORMAL.name]["log_loss_by_own_variance"] = own
    best = min(candidates, key=lambda one: figures[one.name]["log_loss"])
    alike = judged(CANDIDATES[0], replace(data, weights=torch.ones(len(data))))
    units = {one: _unit(d, alike) for one, d in found.items()}
    return Choice(best, figures, precision, units)


def _unit(differences: Tensor, usual: Tensor) -> float:
    """How many times wider than `usual` they are for what they know; 1 where they know nothing."""
    one, other = calibrate_temperature(differences), calibrate_temperature(usual)
    least, most = _SENSIBLE
    return one / other if least < one < most and least < other < most else 1.0


def choose_precision(x: Tensor, rows: Tensor, data: Encoded, seed: int) -> float:
    """The prior precision of a plain head with the least held-out log-loss, for x [n, H]."""
    folds = _folds([data.groups[row] for row in rows.tolist()], seed)  # [n]
    kept = ~data.is_tie[rows]

    def loss(precision: float) -> float:
        found = held_out_differences(x, rows, data, folds, CANDIDATES[0], precision=precision)
        return float(_log_losses(found[kept]).mean())

    return min(_PRECISIONS, key=loss)


def held_out_differences(
    x: Tensor,
    rows: Tensor,
    data: Encoded,
    folds: Tensor,
    candidate: Candidate,
    *,
    precision: float,
) -> Tensor:
    """Score differences of each comparison by a head that has not seen its fold, [N]."""
    out = torch.zeros(len(x), dtype=torch.double)
    for fold in range(N_FOLDS):
        train, test = folds != fold, folds == fold
        if bool(train.any()) and bool(test.any()):
            out[test] = x[test] @ head_of(x[train], rows[train], data, candidate, precision)
    return out


def head_of(
    x: Tensor, rows: Tensor, data: Encoded, candidate: Candidate, precision: float
) -> Tensor:
    """The head [H] that a candidate's loss gives for features x [n, H] of `rows` [n], weighted."""
    weights = pair_weights(data, candidate.loss)[rows].double()

    def objective(difference: Tensor) -> Tensor:
        losses = losses_of(
            candidate.loss,
            difference,
            torch.zeros_like(difference),
            strengths=data.strengths[rows].double(),
            is_tie=data.is_tie[rows],
            soft=candidate.temperature,
            threshold=candidate.threshold,
        )
        return (weights * losses).sum()

    return fit_head(x, objective, precision)


def fit_head(x: Tensor, objective: Callable[[Tensor], Tensor], precision: float) -> Tensor:
    """The head w [H] least in objective(x @ w) + precision · |w|² / 2, for x [N, H]; by L-BFGS."""
    w = torch.zeros(x.shape[1], dtype=x.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS([w], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimiser.zero_grad()
        value = objective(x @ w) + precision * w.square().sum() / 2
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return w.detach()


def _figures(differences: Tensor, baseline: Tensor) -> dict[str, float]:
    losses = _log_losses(differences)
    gain = baseline - losses
    return {
        "log_loss": float(losses.mean()),
        "accuracy": float((differences > 0).double().mean()),
        "gain": float(gain.mean()),
        "gain_standard_error": float(gain.std() / len(gain) ** 0.5),
    }


def _log_losses(differences: Tensor) -> Tensor:
    """−log σ(d / T) with the one T that suits them all, so that no loss wins by its scale alone."""
    return -logsigmoid(differences / calibrate_temperature(differences))


def _folds(groups: Sequence[str], seed: int) -> Tensor:
    """The fold of each row, [N]; a group stays in one where there are enough groups."""
    names = list(dict.fromkeys(groups))
    stream = random.Random(f"folds {seed}")  # noqa: S311 (no secret)
    if len(names) < 2 * N_FOLDS:
        order = list(range(len(groups)))
        stream.shuffle(order)
        return torch.tensor(order) % N_FOLDS
    stream.shuffle(names)
    fold = {name: place % N_FOLDS for place, name in enumerate(names)}
    return torch.tensor([fold[name] for name in groups])
