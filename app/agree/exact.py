"""Exact binomial tests, Wilson's interval, and many tests at once. No scipy."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NORMAL = NormalDist()


def normal_cdf(x: Floats) -> Floats:
    """The standard normal distribution function, elementwise."""
    flat = [0.5 * math.erfc(-one / math.sqrt(2)) for one in np.ravel(x)]
    return np.asarray(flat).reshape(np.shape(x))


def binomial_masses(n: int, share: float) -> Floats:
    """The probability of 0 to n successes in n trials, [n + 1]; `share` strictly within 0 and 1."""
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(n + 1)
    ways = log_factorials[n] - log_factorials - log_factorials[::-1]
    return np.asarray(np.exp(ways + k * math.log(share) + (n - k) * math.log1p(-share)))


def binomial_two_sided(k: int, n: int, share: float = 0.5) -> float:
    """The chance of an outcome no likelier than `k` of `n`; 1 for no trials.

    The exact test as R's binom.test counts it, with the same tolerance for equal masses.
    """
    masses = binomial_masses(n, share)
    return min(1.0, float(masses[masses <= masses[k] * (1 + 1e-7)].sum()))


def binomial_at_least(k: int, n: int, share: float) -> float:
    """The chance of `k` or more of `n`."""
    return min(1.0, float(binomial_masses(n, share)[k:].sum()))


def wilson(k: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's (1927) score interval for a share; (0, 1) for no trials."""
    if n == 0:
        return 0.0, 1.0
    z = NORMAL.inv_cdf((1 + confidence) / 2)
    share, spread = k / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def discoveries(p_values: Sequence[float | None], rate: float = 0.05) -> NDArray[np.bool_]:
    """Which tests to call found so that at most `rate` of those called are false, on average.

    Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate" (1995), eq. 1. A None was not
    tested and is never found.
    """
    p = np.asarray([math.nan if one is None else one for one in p_values], dtype=np.float64)
    tested = np.flatnonzero(~np.isnan(p))
    found = np.zeros(len(p), dtype=bool)
    if len(tested) == 0:
        return found
    order = tested[np.argsort(p[tested], kind="stable")]
    passing = np.flatnonzero(p[order] <= rate * np.arange(1, len(order) + 1) / len(order))
    if len(passing):
        found[order[: passing[-1] + 1]] = True
    return found
