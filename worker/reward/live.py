"""A last layer that learns from each comparison as it comes, between two trainings. Pure.

It begins as a reward model's Laplace posterior. Each comparison is kept as a site, a normal factor
τ, ν along its x (the parameters that expectation propagation keeps; Minka 2001), found by the exact
maximum along Σx and Laplace's approximation there. Adding one or taking it back is a rank-1 change
of the covariance (Sherman and Morrison 1950), so an answer that is changed leaves no trace.
`settle` moves to the maximum that all sites have together.

Each method costs O(d²), `settle` O(n·d² + d³).
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from worker.reward.laplace import Posterior, fit_map, information, standard_errors

Key = TypeVar("Key", bound=Hashable)
_STEPS = 50
# A factor that the posterior never held takes away at most this share of what is known along it.
_MOST_TAKEN = 0.9


@dataclass(frozen=True)
class Site:
    """A comparison: x [d], the chance `target` that its first side wins, how much it counts, and
    the normal factor that stands for it, exp(−τ(w·x)²/2 + ν·w·x)."""

    x: Tensor
    target: float
    weight: float
    tau: float
    nu: float


@dataclass(frozen=True)
class Change:
    """A change Σ → Σ − s·vvᵀ along v [d], by which spreads xᵀΣx follow in O(d) a row."""

    along: Tensor
    size: float


class Live(Generic[Key]):
    """The posterior after the comparisons so far: `mean` [d], `covariance` [d, d], in logits."""

    def __init__(self, start: Posterior) -> None:
        self.mean = start.mean.double().clone()
        self.covariance = start.covariance.double().clone()
        self.sites: dict[Key, Site] = {}
        # What the training knew, without what was taken back of it since.
        self._prior_mean = self.mean.clone()
        self._prior_covariance = self.covariance.clone()
        self._prior = torch.linalg.inv(self.covariance)

    def add(self, key: Key, x: Tensor, target: float, weight: float = 1.0) -> Change:
        """Learn from a comparison: x [d] = φ(first) − φ(second), `target` the first's chance.

        Raises KeyError for a key that is in already; take it back first.
        """
        if key in self.sites:
            raise KeyError(key)
        x = x.double()
        v = self.covariance @ x  # [d]
        s, mu = float(x @ v), float(x @ self.mean)
        alpha = _shift(mu, s, target, weight)
        p = _sigmoid(mu + s * alpha)
        tau = weight * p * (1 - p)
        self.sites[key] = Site(x, target, weight, tau, alpha + tau * (mu + s * alpha))
        self.mean += alpha * v
        return self._change(v, tau / (1 + tau * s))

    def take_back(self, key: Key) -> Change:
        """Forget a comparison as if it had never been. Raises KeyError for one that is not in."""
        site = self.sites.pop(key)
        return self._remove(site.x, site.tau, site.nu)

    def unlearn(self, x: Tensor, target: float, weight: float = 1.0) -> Change:
        """Take back a comparison of the training, linearised where the training ended.

        One that the training weighed less than is said here takes no more away than there is.
        """
        x = x.double()
        v = self._prior_covariance @ x
        at, s = float(x @ self._prior_mean), float(x @ v)
        p = _sigmoid(at)
        tau = min(weight * p * (1 - p), _MOST_TAKEN / max(s, 1e-12))
        nu = tau * at + weight * (target - p)
        self._prior_mean += v * (tau * at - nu) / (1 - tau * s)
        self._prior_covariance.addr_(v, v, alpha=tau / (1 - tau * s))
        self._prior.addr_(x, x, alpha=-tau)
        return self._remove(x, tau, nu)

    def settle(self) -> None:
        """Move to the most probable head given all comparisons, and to Laplace's posterior there.

        What rank-1 changes leave of rounding goes too.
        """
        x, targets, weights = self._stack()
        self.mean = fit_map(
            x, targets, weights, self._prior, anchor=self._prior_mean, start=self.mean
        )
        p = torch.sigmoid(x @ self.mean)
        self.covariance = torch.linalg.inv(self._prior + information(x, p, weights))
        logits = (x @ self.mean).tolist()
        for (key, site), at, chance in zip(
            list(self.sites.items()), logits, p.tolist(), strict=True
        ):
            tau = site.weight * chance * (1 - chance)
            nu = tau * at + site.weight * (site.target - chance)
            self.sites[key] = Site(site.x, site.target, site.weight, tau, nu)

    def errors(self, x: Tensor) -> Tensor:
        """Standard errors of w·x for rows of differences, [N, d] → [N]."""
        return standard_errors(self.covariance, x)

    def _stack(self) -> tuple[Tensor, Tensor, Tensor]:
        sites = list(self.sites.values())
        rows = [one.x for one in sites] or [torch.empty(0, len(self.mean), dtype=torch.float64)]
        x = torch.stack(rows) if sites else rows[0]  # [n, d]
        return (
            x,
            torch.tensor([one.target for one in sites], dtype=torch.float64),
            torch.tensor([one.weight for one in sites], dtype=torch.float64),
        )

    def _remove(self, x: Tensor, tau: float, nu: float) -> Change:
        v = self.covariance @ x
        s = float(x @ v)
        left = max(1 - tau * s, 1 - _MOST_TAKEN)
        self.mean += v * (tau * float(x @ self.mean) - nu) / left
        return self._change(v, -tau / left)

    def _change(self, v: Tensor, size: float) -> Change:
        self.covariance.addr_(v, v, alpha=-size)  # in place: allocating [d, d] costs more
        return Change(v, size)


def follow(spreads: Tensor, x: Tensor, change: Change) -> Tensor:
    """xᵀΣx of rows [N, d] after a change of Σ, from those before it, [N] → [N]."""
    return (spreads - change.size * (x @ change.along).square()).clamp(min=0.0)


def _shift(mu: float, s: float, target: float, weight: float) -> float:
    """α with α = ω(y − σ(μ + sα)): how far the maximum moves along Σx. By guarded Newton steps.

    The left side less the right grows with α, and is of either sign at the ends that are given.
    """
    low, high = weight * (target - 1), weight * target
    alpha = weight * (target - _sigmoid(mu)) / (1 + weight * s / 4)
    for _ in range(_STEPS):
        p = _sigmoid(mu + s * alpha)
        gap = alpha - weight * (target - p)
        if abs(gap) < 1e-12:
            break
        low, high = (low, alpha) if gap > 0 else (alpha, high)
        alpha -= gap / (1 + weight * s * p * (1 - p))
        if not low <= alpha <= high:
            alpha = (low + high) / 2
    return alpha


def _sigmoid(value: float) -> float:
    if value > 0:
        return 1 / (1 + math.exp(-value))
    return math.exp(value) / (1 + math.exp(value))
