"""The arithmetic of policy optimisation against figures worked out by hand."""

import math

import pytest
import torch

from worker.policy.objective import (
    AdaptiveKL,
    FixedKL,
    clip_fraction,
    clipped_policy_loss,
    clipped_value_loss,
    entropy,
    explained_variance,
    generalized_advantages,
    group_normalised_advantages,
    last_real_token,
    leave_one_out_advantages,
    masked_mean,
    masked_whiten,
    per_token_kl,
    token_rewards,
)

MASK = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])


def near(actual, expected):
    torch.testing.assert_close(actual, torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_a_masked_mean_ignores_padding_and_is_zero_where_nothing_is_real():
    near(masked_mean(torch.tensor([[1.0, 2.0, 99.0], [3.0, 4.0, 5.0]]), MASK), 3.0)
    near(masked_mean(torch.ones(1, 2), torch.zeros(1, 2)), 0.0)


def test_whitening_looks_at_real_tokens_only_and_leaves_zero_on_padding():
    white = masked_whiten(torch.tensor([[1.0, 2.0, 1e6], [3.0, 4.0, 5.0]]), MASK)
    step = 1 / math.sqrt(2)
    near(white, [[-2 * step, -step, 0.0], [0.0, step, 2 * step]])


def test_the_three_kl_estimators_at_one_token_each():
    p, q = torch.tensor([[math.log(0.5)]]), torch.tensor([[math.log(0.25)]])
    near(per_token_kl(p, q, "k1"), [[math.log(2)]])
    near(per_token_kl(p, q, "k2"), [[math.log(2) ** 2 / 2]])
    near(per_token_kl(p, q, "k3"), [[0.5 - 1 + math.log(2)]])
    with pytest.raises(ValueError, match="k1, k2 or k3"):
        per_token_kl(p, q, "k4")


def test_k1_and_k3_have_the_true_divergence_as_their_mean_and_k3_is_never_negative():
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.2, 0.3, 0.5])
    truth = (p * (p / q).log()).sum()
    for name in ("k1", "k3"):
        torch.testing.assert_close((p * per_token_kl(p.log(), q.log(), name)).sum(), truth)
    assert (per_token_kl(p.log(), q.log(), "k3") >= 0).all()


def test_the_score_arrives_on_the_last_real_token_and_the_penalty_on_every_one():
    logprobs = torch.tensor([[-1.0, -1.0, -7.0], [-1.0, -1.0, -1.0]])
    reference = torch.tensor([[-1.5, -1.0, 0.0], [-1.0, -0.5, -2.0]])
    rewards = token_rewards(torch.tensor([2.0, -1.0]), logprobs, reference, MASK, kl_coef=0.1)
    near(rewards, [[-0.05, 2.0, 0.0], [0.0, 0.05, -1.1]])
    near(last_real_token(MASK), [1, 2])


def test_advantages_by_hand_for_a_finished_and_a_full_row():
    rewards = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    values = torch.tensor([[0.5, 0.5, 9.0], [1.0, 1.0, 1.0]])
    advantages, returns = generalized_advantages(rewards, values, MASK, gamma=1.0, lam=0.5)
    near(advantages, [[0.25, 0.5, 0.0], [0.25, 0.5, 1.0]])
    near(returns, [[0.75, 1.0, 0.0], [1.25, 1.5, 2.0]])


def test_with_lambda_one_the_return_is_the_sum_of_rewards_to_come():
    rewards = torch.tensor([[1.0, 2.0, 3.0]])
    _, returns = generalized_advantages(rewards, torch.randn(1, 3), torch.ones(1, 3), lam=1.0)
    near(returns, [[6.0, 5.0, 3.0]])


def test_group_advantages_compare_completions_of_one_prompt_only():
    returns = torch.tensor([1.0, 3.0, 10.0, 10.0])
    near(leave_one_out_advantages(returns, 2), [-2.0, 2.0, 0.0, 0.0])
    step = 1 / (math.sqrt(2) + 1e-4)
    near(group_normalised_advantages(returns, 2), [-step, step, 0.0, 0.0])


def test_the_policy_loss_clips_gains_but_never_losses():
    old = torch.zeros(1, 4)
    new = torch.tensor([[1.5, 1.5, 0.5, 0.5]]).log()
    advantages, mask = torch.tensor([[1.0, -1.0, 1.0, -1.0]]), torch.ones(1, 4)
    loss = clipped_policy_loss(new, old, advantages, mask, clip=0.2)
    near(loss, (-1.2 + 1.5 - 0.5 + 0.8) / 4)
    near(clip_fraction(new, old, mask, 0.2), 1.0)
    new.requires_grad_()
    clipped_policy_loss(new, old, advantages, mask).backward()
    assert (new.grad == 0).tolist() == [[True, False, False, True]]


def test_losses_over_shards_add_up_to_the_loss_over_the_whole_when_given_the_global_count():
    torch.manual_seed(0)
    new, old, advantages = torch.randn(3, 2, 3)
    whole = clipped_policy_loss(new, old, advantages, MASK)
    shards = [
        clipped_policy_loss(new[i : i + 1], old[i : i + 1], advantages[i : i + 1], MASK[i : i + 1],
                            n_tokens=MASK.sum())
        for i in range(2)
    ]  # fmt: skip
    torch.testing.assert_close(sum(shards), whole)
    halves = [
        clipped_value_loss(new[i : i + 1], old[i : i + 1], advantages[i : i + 1], MASK[i : i + 1],
                           n_tokens=MASK.sum())
        for i in range(2)
    ]  # fmt: skip
    torch.testing.assert_close(sum(halves), clipped_value_loss(new, old, advantages, MASK))


def test_the_value_loss_takes_the_worse_of_the_free_and_the_clipped_value():
    values, old = torch.tensor([[1.0, 0.1]]), torch.zeros(1, 2)
    loss = clipped_value_loss(values, old, torch.ones(1, 2), torch.ones(1, 2), clip=0.2)
    near(loss, 0.5 * (0.64 + 0.81) / 2)


def test_entropy_of_a_fair_choice_is_its_logarithm_even_beside_forbidden_tokens():
    logprobs = torch.tensor([[[math.log(0.5), math.log(0.5), -math.inf]]])
    near(entropy(logprobs), [[math.log(2)]])


def test_explained_variance_is_one_for_the_truth_and_zero_for_a_constant():
    returns = torch.tensor([[1.0, 2.0, 50.0], [3.0, 4.0, 5.0]])
    near(explained_variance(returns, returns, MASK), 1.0)
    near(explained_variance(torch.zeros(2, 3), returns, MASK), 0.0)


def test_the_adaptive_coefficient_moves_at_most_a_fifth_of_its_step_and_the_fixed_one_never():
    rising, falling, fixed = AdaptiveKL(0.1, 6.0, 1000), AdaptiveKL(0.1, 6.0, 1000), FixedKL(0.1)
    rising.update(60.0, 100)
    falling.update(5.4, 100)
    fixed.update(60.0, 100)
    assert rising.coefficient == pytest.approx(0.1 * 1.02)
    assert falling.coefficient == pytest.approx(0.1 * 0.99)
    assert fixed.coefficient == 0.1
