"""Several heads on one trunk, each learnt from other weights and another prior. Pure.

Head k is the most probable one where each group of comparisons counts by a draw from Exp(1)
(Rubin 1981, the Bayesian bootstrap) and the prior is centred on a draw from itself (Pearce et al.
2020, arXiv 1810.05546, randomised MAP sampling). How far the heads disagree says how little is
known, without assuming that the posterior is normal.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.reward.laplace import fit_map


def fit_heads(
    x: Tensor,
    targets: Tensor,
    weights: Tensor,
    precision: float,
    *,
    groups: Sequence[str],
    n: int,
    seed: int,
) -> Tensor:
    """n heads as distances from their mean, [n, d]; added to a trained head they keep its score.

    x: [N, d] differences; targets, weights: [N]; groups: [N] names drawn together. n is 2 or more.
    """
    stream = torch.Generator().manual_seed(seed)
    names = {name: index for index, name in enumerate(sorted(set(groups)))}
    rows = torch.tensor([names[group] for group in groups])
    heads = []
    for _ in range(n):
        drawn = torch.rand(len(names), generator=stream, dtype=torch.float64)
        counts = -torch.log1p(-drawn)[rows]  # Exp(1), [N]
        anchor = torch.randn(x.shape[1], generator=stream, dtype=torch.float64) / precision**0.5
        heads.append(fit_map(x, targets, weights * counts, precision, anchor=anchor))
    found = torch.stack(heads)
    return found - found.mean(dim=0)


def head_errors(heads: Tensor, x: Tensor) -> Tensor:
    """The standard deviation among heads of w·x for each row, [n, d], [N, d] → [N]."""
    return (x.to(heads) @ heads.T).std(dim=1)
