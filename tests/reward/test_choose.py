import math
from dataclasses import replace

import pytest
import torch

from worker.reward import loss
from worker.reward.choose import CANDIDATES, WITH_TIES, compare, fit_head
from worker.reward.data import Encoded
from worker.reward.strength import Loss, tie_threshold, variances_of


def answers(n: int, *, says_strength: bool, seed: int = 0) -> tuple[torch.Tensor, Encoded]:
    """Differences [n, 12] with a linear utility; the strength is how much it was felt, or noise."""
    stream = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=stream)
    taste = torch.randn(12, generator=stream)
    felt = x @ taste / 3.5 + 0.7 * torch.randn(n, generator=stream)
    x = x * felt.sign()[:, None]  # the chosen one comes first
    strengths = (1 + felt.abs() / 0.5).floor().clamp(max=4)
    if not says_strength:
        strengths = strengths[torch.randperm(n, generator=stream)]
    data = Encoded(
        sequences=[],
        chosen=torch.zeros(n, dtype=torch.long),
        rejected=torch.zeros(n, dtype=torch.long),
        strengths=strengths,
        weights=torch.ones(n),
        is_tie=torch.zeros(n, dtype=torch.bool),
        groups=[str(index // 2) for index in range(n)],
        n_truncated=0,
    )
    return x, data


def test_strength_is_used_where_it_says_something() -> None:
    x, data = answers(300, says_strength=True)
    choice = compare(x, range(300), data, seed=0)
    assert choice.candidate.loss is not Loss.PLAIN
    assert choice.figures[choice.candidate.name]["gain"] > 0
    assert set(choice.figures) == {one.name for one in CANDIDATES}
    assert choice.figures["plain"]["gain"] == 0.0


def diverging(n_pairs: int, seed: int = 0) -> tuple[tuple[torch.Tensor, torch.Tensor], Encoded]:
    """Each pair answered four times. On what the last feature marks, people toss a coin."""
    stream = torch.Generator().manual_seed(seed)
    texts = torch.randn(2 * n_pairs, 12, generator=stream)
    texts[:, -1] = (torch.rand(2 * n_pairs, generator=stream) < 0.25).float()
    taste = torch.randn(12, generator=stream)
    taste[-1] = 0.0
    first = torch.arange(n_pairs).repeat_interleave(4) * 2
    felt = (texts[first] - texts[first + 1]) @ taste / 2
    is_odd = (texts[first, -1] + texts[first + 1, -1]) > 0
    felt = torch.where(is_odd, 0.05 * felt, 2 * felt)
    flips = torch.rand(len(first), generator=stream) > torch.sigmoid(felt)
    data = Encoded(
        sequences=[],
        chosen=torch.where(flips, first + 1, first),
        rejected=torch.where(flips, first, first + 1),
        strengths=torch.ones(len(first)),
        weights=torch.ones(len(first)),
        is_tie=torch.zeros(len(first), dtype=torch.bool),
        groups=[str(one) for one in first.tolist()],
        n_truncated=0,
    )
    return (texts[data.chosen], texts[data.rejected]), data


def test_a_variance_is_tried_where_people_diverge_and_there_alone() -> None:
    ends, data = diverging(250)
    rows = range(len(data.chosen))
    choice = compare(ends[0] - ends[1], rows, data, seed=0, ends=ends)
    found = choice.figures["mean-variance"]
    assert abs(found["gain"]) < 0.02, "the means alone say what those of plain do"
    assert found["log_loss_by_own_variance"] < choice.figures["plain"]["log_loss"] - 0.02
    agreed = replace(
        data,
        chosen=torch.minimum(data.chosen, data.rejected),
        rejected=torch.maximum(data.chosen, data.rejected),
    )
    assert "mean-variance" not in compare(ends[0] - ends[1], rows, agreed, 0, ends=ends).figures
    assert "mean-variance" not in compare(ends[0] - ends[1], rows, data, 0).figures


def test_a_head_is_the_optimum_of_its_objective() -> None:
    x = torch.randn(50, 3, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    target = torch.tensor([1.0, -2.0, 0.5], dtype=torch.double)
    w = fit_head(x, lambda d: (d - x @ target).square().sum(), 1e-9)
    torch.testing.assert_close(w, target, atol=1e-5, rtol=0)


def test_the_three_chances_of_a_comparison_with_ties_add_to_one() -> None:
    one, two = torch.tensor([0.7, -2.0]), torch.tensor([0.1, 0.4])
    no, yes = torch.zeros(2, dtype=torch.bool), torch.ones(2, dtype=torch.bool)
    chances = sum(
        (-losses).exp()
        for losses in (
            loss.tie_losses(one, two, no, 0.5),
            loss.tie_losses(two, one, no, 0.5),
            loss.tie_losses(one, two, yes, 0.5),
        )
    )
    torch.testing.assert_close(chances, torch.ones(2))
    with pytest.raises(ValueError, match="positive"):
        loss.tie_losses(one, two, no, 0.0)


def test_wide_scores_make_a_comparison_less_sure() -> None:
    one, zero = torch.tensor([1.0]), torch.tensor([0.0])
    half = torch.tensor([0.5])
    # Φ(1) = 0.8413447, −log of it 0.1727538; with a variance of 4, Φ(0.5) = 0.6914625: 0.3689464.
    narrow = loss.mean_variance_losses(one, zero, half, half)
    wide = loss.mean_variance_losses(one, zero, 4 * half, 4 * half)
    assert narrow.item() == pytest.approx(0.1727538, abs=1e-6)
    assert wide.item() == pytest.approx(0.3689464, abs=1e-6)
    with pytest.raises(ValueError, match="one length"):
        loss.mean_variance_losses(one, zero, half, half[:, None])


def test_ties_are_a_candidate_where_people_found_pairs_about_equal() -> None:
    x, data = answers(200, says_strength=True)
    data = replace(data, is_tie=data.strengths == 1)
    choice = compare(x, range(200), data, seed=0)
    assert set(choice.figures) == {one.name for one in (*CANDIDATES, *WITH_TIES)}
    share = float(data.is_tie.float().mean())
    # Rao and Kupper's chance of a tie at equal scores, (θ − 1) / (θ + 1), with θ = exp(threshold).
    threshold = tie_threshold(data)
    assert math.expm1(threshold) / (math.exp(threshold) + 1) == pytest.approx(share, abs=1e-6)


def test_a_variance_is_positive_whatever_the_head_says() -> None:
    assert bool((variances_of(torch.tensor([-1e4, 0.0, 1e4])) > 0).all())


def test_scores_of_any_loss_are_brought_to_log_odds() -> None:
    x, data = answers(300, says_strength=True)
    units = compare(x, range(300), data, seed=0).units
    by_name = {one.name: unit for one, unit in units.items()}
    assert by_name["plain"] == pytest.approx(1.0)
    # The softer the targets the narrower the scores; margins widen them.
    assert (
        by_name["soft at 3"] < by_name["soft at 1.5"] < by_name["soft at 0.5"] < by_name["margin"]
    )
    nothing = torch.randn(300, 12, generator=torch.Generator().manual_seed(5))
    assert all(0.2 < one < 5 for one in compare(nothing, range(300), data, seed=0).units.values())
