"""The last layer's posterior: against a Hessian by autograd, and against simulated truth."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from worker.reward.ensemble import fit_heads, head_errors
from worker.reward.laplace import (
    choose_precision,
    fit_map,
    folds_of,
    laplace,
    moderate,
    standard_errors,
)


def world(n: int, d: int, seed: int, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Differences, outcomes, weights, and the head that made the outcomes."""
    stream = torch.Generator().manual_seed(seed)
    truth = torch.randn(d, generator=stream, dtype=torch.float64) * scale
    x = torch.randn(n, d, generator=stream, dtype=torch.float64)
    won = torch.rand(n, generator=stream, dtype=torch.float64) < torch.sigmoid(x @ truth)
    return x, won.double(), torch.ones(n, dtype=torch.float64), truth


def objective(w: Tensor, x: Tensor, y: Tensor, weights: Tensor, precision: float) -> Tensor:
    losses = binary_cross_entropy_with_logits(x @ w, y, weight=weights, reduction="sum")
    return losses + precision * w.square().sum() / 2


def test_the_covariance_is_the_inverse_of_the_dense_hessian() -> None:
    x, y, _, _ = world(80, 5, 0)
    weights = torch.rand(80, dtype=torch.float64) + 0.2
    y = y * 0.9 + 0.05  # soft targets have the same curvature
    mean = fit_map(x, y, weights, 0.7)
    found = laplace(x, weights, mean, 0.7, torch.zeros(5, dtype=torch.float64))
    hessian = torch.autograd.functional.hessian(lambda w: objective(w, x, y, weights, 0.7), mean)
    torch.testing.assert_close(found.covariance, torch.linalg.inv(hessian), rtol=1e-9, atol=1e-12)
    leaf = mean.clone().requires_grad_()
    objective(leaf, x, y, weights, 0.7).backward()
    assert leaf.grad is not None
    assert float(leaf.grad.abs().max()) < 1e-4


def test_a_known_answer_in_one_dimension() -> None:
    x = torch.tensor([[2.0]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    # At w = 0 the curvature is 3·¼·4 + 1 = 4.
    found = laplace(x, 3 * one, zero, 1.0, zero)
    assert float(found.covariance) == pytest.approx(0.25)
    assert found.errors(x).tolist() == pytest.approx([1.0])
    assert found.errors_of_scores(torch.tensor([[-3.0]])).tolist() == pytest.approx([1.5])
    # Four wins in four at precision 1: 4(1 - σ(w)) = w.
    w = fit_map(
        torch.ones(4, 1, dtype=torch.float64), torch.ones(4).double(), torch.ones(4).double(), 1.0
    )
    assert 4 * (1 - 1 / (1 + math.exp(-float(w)))) == pytest.approx(float(w), abs=1e-6)


def test_a_prior_of_a_whole_matrix_around_an_anchor_is_kept() -> None:
    empty = torch.empty(0, 2, dtype=torch.float64)
    anchor = torch.tensor([1.0, -2.0], dtype=torch.float64)
    nothing = torch.empty(0, dtype=torch.float64)
    prior = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(fit_map(empty, nothing, nothing, prior, anchor=anchor), anchor)


def test_extreme_data_ends_in_numbers() -> None:
    x = torch.tensor([[1e6], [1e6]], dtype=torch.float64)
    w = fit_map(x, torch.ones(2).double(), torch.ones(2).double(), 1e-6)
    assert bool(torch.isfinite(w).all())
    assert float(torch.sigmoid(x[0] @ w)) > 0.99


def test_intervals_cover_true_score_differences_as_often_as_they_say() -> None:
    inside, n = 0, 0
    for seed in range(12):
        x, y, weights, truth = world(600, 12, seed, scale=0.5)
        precision, _ = choose_precision(x, y, weights, torch.arange(600) % 3)
        mean = fit_map(x, y, weights, precision)
        known = laplace(x, weights, mean, precision, torch.zeros(12, dtype=torch.float64))
        fresh = torch.randn(
            200, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        off = (fresh @ (mean - truth)).abs() / known.errors(fresh)
        inside, n = inside + int((off < 1.645).sum()), n + 200
    assert 0.85 < inside / n < 0.95


def test_noise_asks_for_a_stronger_prior_than_a_clear_taste() -> None:
    x, _, weights, truth = world(300, 20, 1)
    stream = torch.Generator().manual_seed(2)
    noise = (torch.rand(300, generator=stream) < 0.5).double()
    clear = (x @ truth > 0).double()
    folds = torch.arange(300) % 3
    assert (
        choose_precision(x, noise, weights, folds)[0]
        > choose_precision(x, clear, weights, folds)[0]
    )
    assert len(choose_precision(x, noise, weights, folds)[1]) > 3
    few, tried = choose_precision(x[:5], noise[:5], weights[:5], folds[:5])
    assert few > 0
    assert tried == {}


def test_groups_stay_in_one_fold_where_there_are_enough() -> None:
    folds = folds_of([f"g{i % 10}" for i in range(40)])
    assert all(len({int(folds[i]) for i in range(g, 40, 10)}) == 1 for g in range(10))
    assert len(folds_of(["one"] * 6).unique()) == 3


def test_what_is_not_known_draws_chances_to_a_half() -> None:
    logits = torch.tensor([2.0, -2.0, 0.0])
    assert moderate(logits, torch.zeros(3)).tolist() == [2.0, -2.0, 0.0]
    drawn = moderate(logits, torch.full((3,), 4.0))
    assert 0 < float(drawn[0]) < 1
    assert float(drawn[2]) == 0.0
    # Against the integral of σ over N(2, 4²).
    at = torch.linspace(-30, 34, 20_001, dtype=torch.float64)
    density = torch.exp(-((at - 2) ** 2) / 32)
    exact = float((torch.sigmoid(at) * density).sum() / density.sum())
    assert float(torch.sigmoid(drawn[0])) == pytest.approx(exact, abs=0.02)


def test_heads_disagree_about_as_much_as_the_posterior_says_and_keep_the_score() -> None:
    x, y, weights, _ = world(500, 6, 3, scale=0.5)
    mean = fit_map(x, y, weights, 1.0)
    known = laplace(x, weights, mean, 1.0, torch.zeros(6, dtype=torch.float64))
    heads = fit_heads(x, y, weights, 1.0, groups=[str(i) for i in range(500)], n=24, seed=0)
    assert heads.shape == (24, 6)
    assert float(heads.mean(dim=0).abs().max()) < 1e-9
    ratio = head_errors(heads, x) / standard_errors(known.covariance, x)
    assert 0.75 < float(ratio.median()) < 1.3
    again = fit_heads(x, y, weights, 1.0, groups=[str(i) for i in range(500)], n=24, seed=0)
    assert torch.equal(heads, again)
