"""The arithmetic of policy optimisation: pure tensor functions, no networks.

Shapes: B completions of at most T tokens. A `mask` is [B, T], one on real completion tokens and
zero on padding; real tokens come first. Log-probabilities are natural.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of [B, T] values over real tokens, a scalar; zero if there are none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def masked_whiten(values: Tensor, mask: Tensor) -> Tensor:
    """[B, T] values to mean 0 and variance 1 over the real tokens; padding becomes 0."""
    centred = (values - masked_mean(values, mask)) * mask
    return centred * torch.rsqrt(masked_mean(centred.square(), mask) + 1e-8)


def per_token_kl(logprobs: Tensor, reference_logprobs: Tensor, estimator: str = "k1") -> Tensor:
    """Estimate KL(policy, reference) at each sampled token, [B, T].

    k1 = log p/q is unbiased and can be negative, k2 = (log p/q)²/2 is biased and low in variance,
    k3 = q/p - 1 - log q/p is unbiased and never negative. Schulman, "Approximating KL divergence"
    (2020). Raises ValueError for another name.
    """
    log_ratio = logprobs - reference_logprobs
    if estimator == "k1":
        return log_ratio
    if estimator == "k2":
        return log_ratio.square() / 2
    if estimator == "k3":
        return torch.expm1(-log_ratio) + log_ratio
    raise ValueError(f"There is no KL estimator called {estimator}; choose k1, k2 or k3.")


def last_real_token(mask: Tensor) -> Tensor:
    """Index [B] of the last real token of each row; 0 for an empty row."""
    positions = torch.arange(mask.shape[1], device=mask.device)  # [T]
    return (mask.long() * positions).argmax(dim=1)  # [B, T] -> [B]


def token_rewards(
    scores: Tensor, logprobs: Tensor, reference_logprobs: Tensor, mask: Tensor, kl_coef: float
) -> Tensor:
    """Reward of each token, [B, T]: minus the k1 penalty, and the score [B] on the last token.

    Ziegler et al. 2019, "Fine-Tuning Language Models from Human Preferences", equation 2, spread
    over tokens as Stiennon et al. 2020 do.
    """
    rewards = -kl_coef * per_token_kl(logprobs, reference_logprobs) * mask
    rows = torch.arange(len(scores), device=scores.device)
    rewards[rows, last_real_token(mask)] += scores
    return rewards


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, both [B, T]; the value after the last real token is zero.

    GAE, arXiv 1506.02438, equations 11 to 16: a sum of temporal differences discounted by
    gamma·lambda. The returns, advantage plus value, are what the value model learns.
    """
    values = values * mask
    advantages, ahead = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    n_tokens = rewards.shape[1]
    for t in reversed(range(n_tokens)):
        value_ahead = values[:, t + 1] if t + 1 < n_tokens else torch.zeros_like(ahead)
        difference = rewards[:, t] + gamma * value_ahead - values[:, t]
        ahead = (difference + gamma * lam * ahead) * mask[:, t]
        advantages[:, t] = ahead
    return advantages, advantages + values


def leave_one_out_advantages(returns: Tensor, group_size: int) -> Tensor:
    """RLOO: each return [B] against the mean of the others of its prompt, [B].

    Rows of one prompt stand together. Ahmadian et al., arXiv 2402.14740, section 3.1.
    """
    grouped = returns.view(-1, group_size)  # [B] -> [B / K, K]
    others = (grouped.sum(dim=1, keepdim=True) - grouped) / (group_size - 1)
    return (grouped - others).view(-1)  # [B / K, K] -> [B]


def group_normalised_advantages(returns: Tensor, group_size: int) -> Tensor:
    """GRPO: each return [B] whitened within its prompt, [B]. arXiv 2402.03300, section 4.1.2."""
    grouped = returns.view(-1, group_size)  # [B] -> [B / K, K]
    centred = grouped - grouped.mean(dim=1, keepdim=True)
    return (centred / (grouped.std(dim=1, keepdim=True) + 1e-4)).view(-1)  # [B / K, K] -> [B]


def clipped_policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: float = 0.2,
    n_tokens: float | Tensor | None = None,
) -> Tensor:
    """PPO's clipped surrogate, negated, a scalar. arXiv 1707.06347, equation 7.

    The sum over tokens is divided by `n_tokens`, the count over all minibatch shards and ranks
    that make one optimiser step, so that a short shard does not weigh more a token; by default
    the mask's own count.
    """
    ratio = torch.exp((logprobs - old_logprobs) * mask)
    worse = torch.max(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip))
    return (worse * mask).sum() / (mask.sum() if n_tokens is None else n_tokens)


def clipped_value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    mask: Tensor,
    *,
    clip: float = 0.2,
    n_tokens: float | Tensor | None = None,
) -> Tensor:
    """Half the squared error of the values, the worse of free and clipped, a scalar.

    The clip keeps a value within `clip` of its old one, as in OpenAI's baselines and Ziegler 2019.
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    worse = torch.max((values - returns).square(), (near - returns).square())
    return 0.5 * (worse * mask).sum() / (mask.sum() if n_tokens is None else n_tokens)


def clip_fraction(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Share of real tokens whose probability ratio has left [1 - clip, 1 + clip]."""
    ratio = torch.exp((logprobs - old_logprobs) * mask)
    return masked_mean(((ratio - 1).abs() > clip).float(), mask)


def entropy(all_logprobs: Tensor) -> Tensor:
    """Entropy in nats of each distribution, [B, T, V] -> [B, T]; forbidden tokens add nothing."""
    finite = all_logprobs.clamp(min=torch.finfo(all_logprobs.dtype).min)
    return -(finite.exp() * finite).sum(dim=-1)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over real tokens; 1 is perfect, 0 knows nothing."""
    error = returns - values
    unexplained = masked_mean((error - masked_mean(error, mask)).square(), mask)
    total = masked_mean((returns - masked_mean(returns, mask)).square(), mask)
    return 1 - unexplained / total.clamp(min=1e-8)


@dataclass
class FixedKL:
    """A KL coefficient that stays where it was set."""

    coefficient: float

    def update(self, kl: float, n_completions: int) -> None:
        """Nothing to adapt."""


@dataclass
class AdaptiveKL:
    """A KL coefficient steered so that the KL of a completion stays near `target` nats.

    Ziegler et al. 2019, section 2.2: proportional control in log space, the error clipped to ±0.2,
    over a horizon counted in completions.
    """

    coefficient: float
    target: float
    horizon: int = 10_000

    def update(self, kl: float, n_completions: int) -> None:
        """Take the mean KL of the last `n_completions` completions into account."""
        error = max(-0.2, min(0.2, kl / self.target - 1))
        self.coefficient *= 1 + error * n_completions / self.horizon
