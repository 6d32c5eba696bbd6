"""The live last layer: each answer at once, taken back without a trace, and equal to the batch."""

import time

import pytest
import torch
from torch import Tensor

from worker.reward.laplace import Posterior, fit_map, information
from worker.reward.live import Live, follow


def start(d: int, precision: float = 1.0, seed: int = 0) -> Posterior:
    """A training that knows a little: a random mean and a covariance that is not round."""
    stream = torch.Generator().manual_seed(seed)
    mean = torch.randn(d, generator=stream, dtype=torch.float64) * 0.1
    rows = torch.randn(2 * d, d, generator=stream, dtype=torch.float64)
    known = precision * torch.eye(d, dtype=torch.float64) + rows.T @ rows / 8
    return Posterior(mean, torch.linalg.inv(known), torch.zeros(d, dtype=torch.float64), precision)


def answers(n: int, d: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    truth = torch.randn(d, generator=stream, dtype=torch.float64)
    x = torch.randn(n, d, generator=stream, dtype=torch.float64) * 0.7
    y = (torch.rand(n, generator=stream, dtype=torch.float64) < torch.sigmoid(x @ truth)).double()
    return x, y, torch.rand(n, generator=stream, dtype=torch.float64) + 0.5


def batch(begun: Posterior, x: Tensor, y: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The most probable head by the whole batch at once, and its covariance."""
    prior = torch.linalg.inv(begun.covariance)
    mean = fit_map(x, y, weights, prior, anchor=begun.mean)
    p = torch.sigmoid(x @ mean)
    return mean, torch.linalg.inv(prior + information(x, p, weights))


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def test_a_thousand_updates_come_near_the_batch_and_settling_reaches_it() -> None:
    begun = start(24)
    x, y, weights = answers(1_000, 24)
    live: Live[int] = Live(begun)
    for i in range(1_000):
        live.add(i, x[i], float(y[i]), float(weights[i]))
    mean, covariance = batch(begun, x, y, weights)
    assert cosine(live.mean, mean) > 0.994
    live.settle()
    torch.testing.assert_close(live.mean, mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(live.covariance, covariance, rtol=1e-5, atol=1e-8)


def test_one_update_is_the_exact_maximum_and_laplace_there() -> None:
    begun = start(7)
    x, _, _ = answers(1, 7)
    live: Live[str] = Live(begun)
    live.add("one", x[0], 1.0, 1.7)
    one = torch.ones(1, dtype=torch.float64)
    mean, covariance = batch(begun, x, one, 1.7 * one)
    torch.testing.assert_close(live.mean, mean, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(live.covariance, covariance, rtol=1e-7, atol=1e-10)


def test_an_answer_taken_back_at_once_leaves_no_trace() -> None:
    begun = start(9)
    x, y, _ = answers(30, 9)
    live: Live[int] = Live(begun)
    for i in range(30):
        live.add(i, x[i], float(y[i]))
    for i in reversed(range(30)):
        live.take_back(i)
    assert not live.sites
    torch.testing.assert_close(live.mean, begun.mean, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(live.covariance, begun.covariance, rtol=1e-8, atol=1e-9)


def test_answers_changed_later_end_where_the_batch_of_the_changed_ones_is() -> None:
    begun = start(16)
    x, y, weights = answers(400, 16)
    live: Live[int] = Live(begun)
    for i in range(400):
        live.add(i, x[i], float(1 - y[i]) if i % 3 == 0 else float(y[i]), float(weights[i]))
    for i in range(0, 400, 3):
        live.take_back(i)
        if i % 2 == 0:
            live.add(i, x[i], float(y[i]), float(weights[i]))
    kept = [i for i in range(400) if i % 3 or i % 2 == 0]
    mean, _ = batch(begun, x[kept], y[kept], weights[kept])
    assert cosine(live.mean, mean) > 0.994
    live.settle()
    assert cosine(live.mean, mean) > 0.999999
    with pytest.raises(KeyError):
        live.add(1, x[1], 1.0)
    with pytest.raises(KeyError):
        live.take_back(0 if 0 not in live.sites else 3)


def test_an_answer_of_the_training_is_unlearnt() -> None:
    x, y, weights = answers(300, 8)
    eye = torch.eye(8, dtype=torch.float64)
    zero = torch.zeros(8, dtype=torch.float64)
    flat = Posterior(zero, eye, zero, 1.0)
    mean, covariance = batch(flat, x, y, weights)
    live: Live[int] = Live(Posterior(mean, covariance, zero, 1.0))
    for i in range(20):
        live.unlearn(x[i], float(y[i]), float(weights[i]))
    less, spread = batch(flat, x[20:], y[20:], weights[20:])
    assert float((live.mean - less).norm()) < 0.1 * float((mean - less).norm())
    torch.testing.assert_close(live.covariance, spread, rtol=0.2, atol=0.02)
    before = live.mean.clone()
    live.settle()
    torch.testing.assert_close(live.mean, before, rtol=1e-6, atol=1e-7)


def test_unlearning_what_was_never_learnt_keeps_a_covariance() -> None:
    live: Live[int] = Live(start(4))
    for _ in range(40):
        live.unlearn(torch.ones(4, dtype=torch.float64) * 3, 1.0, 5.0)
    live.settle()
    assert float(torch.linalg.eigvalsh(live.covariance).min()) > 0


def test_spreads_of_open_pairs_follow_a_change() -> None:
    live: Live[int] = Live(start(6))
    x, y, _ = answers(50, 6)
    spreads = live.errors(x).square()
    spreads = follow(spreads, x, live.add(0, x[0], float(y[0])))
    spreads = follow(spreads, x, live.add(1, x[1], float(y[1])))
    spreads = follow(spreads, x, live.take_back(0))
    torch.testing.assert_close(spreads, live.errors(x).square(), rtol=1e-9, atol=1e-10)


def test_a_sure_answer_against_all_that_is_known_ends_in_numbers() -> None:
    live: Live[int] = Live(start(3))
    for i in range(20):
        live.add(i, torch.tensor([1e4, 0.0, 0.0]), float(i % 2), 100.0)
    assert bool(torch.isfinite(live.mean).all())
    live.settle()
    assert bool(torch.isfinite(live.mean).all())


def test_an_update_of_384_dimensions_takes_milliseconds() -> None:
    begun = start(384)
    x, y, _ = answers(60, 384)
    live: Live[int] = Live(begun)
    took = []
    for i in range(60):
        began = time.perf_counter()
        live.add(i, x[i], float(y[i]))
        took.append(time.perf_counter() - began)
    assert sorted(took)[30] < 0.01
