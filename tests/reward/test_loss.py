import math

import pytest
import torch

from worker.reward import loss


def test_bradley_terry_agrees_with_figures_worked_by_hand() -> None:
    chosen, rejected = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0])
    # −log σ(1) = log(1 + e⁻¹) = 0.3132617; −log σ(0) = log 2 = 0.6931472.
    torch.testing.assert_close(
        loss.bradley_terry_losses(chosen, rejected), torch.tensor([0.3132617, 0.6931472])
    )


def test_a_strength_weighs_its_pair_and_leaves_the_others_alone() -> None:
    chosen, rejected = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0])
    value = loss.bradley_terry_loss(chosen, rejected, torch.tensor([3.0, 1.0]))
    assert value.item() == pytest.approx((3 * 0.3132617 + 0.6931472) / 2, abs=1e-6)


def test_a_margin_asks_for_that_much_more_difference() -> None:
    one = torch.tensor([1.0])
    value = loss.margin_losses(one, torch.tensor([0.0]), one)
    assert value.item() == pytest.approx(math.log(2), abs=1e-6)
    torch.testing.assert_close(
        loss.strength_margins(torch.tensor([1.0, 2.0, 3.0, 4.0])),
        torch.tensor([0.0, 1 / 3, 2 / 3, 1.0]),
    )


def test_a_soft_target_is_least_where_the_model_states_just_that_probability() -> None:
    target = torch.tensor([0.75])
    zero = torch.tensor([0.0])
    at = loss.soft_target_losses(torch.tensor([math.log(3.0)]), zero, target)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert at.item() == pytest.approx(entropy, abs=1e-6)
    for other in (0.9, 1.3):
        assert loss.soft_target_losses(torch.tensor([other]), zero, target).item() > entropy
    # A rating of 8 lies 3.5 from the middle: σ(3.5 / 0.5) = σ(7).
    value = loss.strength_targets(torch.tensor([4.0]), 0.5)
    assert value.item() == pytest.approx(1 / (1 + math.exp(-7)), abs=1e-6)


def test_the_centring_penalty_is_the_squared_sum_of_both_scores() -> None:
    value = loss.centring_penalties(torch.tensor([2.0, 1.0]), torch.tensor([1.0, -1.0]))
    assert value.tolist() == [9.0, 0.0]


def test_a_column_of_scores_is_refused_instead_of_broadcast() -> None:
    vector, column = torch.zeros(3), torch.zeros(3, 1)
    for function in (loss.bradley_terry_losses, loss.centring_penalties):
        with pytest.raises(ValueError, match="one length"):
            function(vector, column)
    with pytest.raises(ValueError, match="one length"):
        loss.bradley_terry_loss(vector, vector, torch.ones(2))
    with pytest.raises(ValueError, match="one length"):
        loss.margin_losses(vector, vector, column)


def test_a_difference_of_a_thousand_gives_a_finite_loss_and_gradient() -> None:
    rejected = torch.tensor([1000.0], requires_grad=True)
    value = loss.bradley_terry_losses(torch.tensor([0.0]), rejected).sum()
    value.backward()
    assert value.item() == 1000.0
    assert rejected.grad is not None
    assert rejected.grad.item() == 1.0


def test_gradients_agree_with_differences_in_double_precision() -> None:
    scores = [torch.tensor([0.3, -1.2], dtype=torch.double, requires_grad=True) for _ in range(2)]
    targets = torch.tensor([0.7, 0.5], dtype=torch.double)
    assert torch.autograd.gradcheck(
        lambda a, b: loss.soft_target_losses(a, b + 1, targets), tuple(scores)
    )
