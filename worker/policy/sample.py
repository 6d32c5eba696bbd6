"""Writing completions: one sampling rule, shared by the sampler and by whoever needs log-probs.

What the sampler cannot write must have probability zero in every log-probability computed later;
otherwise a policy that moves mass to a forbidden token looks closer to its reference than it is,
and a KL penalty rewards it for that. So both sides go through `SamplingRule.log_probabilities`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from worker.models import cut_prompt, prompt_room
from worker.policy.objective import entropy

Message = dict[str, str]
Prompt = list[Message]
_NUMBERS_AT_ONCE = 2**26  # a quarter of a GiB in float32


@dataclass(frozen=True, slots=True)
class SamplingRule:
    """From logits to the distribution that completions are drawn from."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    forbidden_tokens: tuple[int, ...] = ()

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Log-probabilities under the rule, same shape [..., V], float32; -inf where forbidden."""
        scaled = logits.float() / self.temperature
        if self.forbidden_tokens:
            forbidden = torch.tensor(self.forbidden_tokens, device=logits.device)
            scaled = scaled.index_fill(-1, forbidden, -torch.inf)
        if self.top_k is not None and self.top_k < scaled.shape[-1]:
            least = scaled.topk(self.top_k, dim=-1).values[..., -1:]  # [..., V] -> [..., 1]
            scaled = scaled.masked_fill(scaled < least, -torch.inf)
        if self.top_p is not None and self.top_p < 1.0:
            scaled = scaled.masked_fill(_outside_nucleus(scaled, self.top_p), -torch.inf)
        return scaled.log_softmax(dim=-1)


def _outside_nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Which tokens lie outside the smallest set of probability `top_p`, boolean [..., V]."""
    probabilities, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    before = probabilities.cumsum(dim=-1) - probabilities
    return torch.zeros_like(before).bool().scatter(-1, order, before >= top_p)


@dataclass(frozen=True)
class Rollouts:
    """Completions as they were sampled: prompts padded on the left, completions on the right."""

    prompt_ids: Tensor  # [B, P]
    prompt_mask: Tensor  # [B, P]
    completion_ids: Tensor  # [B, T], the end token included
    mask: Tensor  # [B, T], float
    logprobs: Tensor  # [B, T], of the sampler, zero on padding
    is_finished: Tensor  # [B], bool

    @property
    def ids(self) -> Tensor:
        """Prompt and completion, [B, P + T]."""
        return torch.cat([self.prompt_ids, self.completion_ids], dim=1)

    @property
    def attention_mask(self) -> Tensor:
        """[B, P + T], one on real tokens."""
        return torch.cat([self.prompt_mask, self.mask.long()], dim=1)

    def select(self, rows: Tensor) -> "Rollouts":
        """The rollouts of some rows [b], without the columns that are padding for all of them."""
        longest = max(1, int(self.mask[rows].sum(dim=1).max()))
        start = self.prompt_ids.shape[1] - int(self.prompt_mask[rows].sum(dim=1).max())
        return Rollouts(
            self.prompt_ids[rows, start:],
            self.prompt_mask[rows, start:],
            self.completion_ids[rows, :longest],
            self.mask[rows, :longest],
            self.logprobs[rows, :longest],
            self.is_finished[rows],
        )

    def parts(self, n_rows: int) -> "Iterator[Rollouts]":
        """The rollouts, `n_rows` at a time, as wide as they are together."""
        for start in range(0, len(self.mask), n_rows):
            here = slice(start, start + n_rows)
            yield Rollouts(
                self.prompt_ids[here],
                self.prompt_mask[here],
                self.completion_ids[here],
                self.mask[here],
                self.logprobs[here],
                self.is_finished[here],
            )

    def texts(self, tokenizer: Any) -> list[str]:
        """The completions as text, without control tokens."""
        rows = [
            ids[mask.bool()].tolist()
            for ids, mask in zip(self.completion_ids, self.mask, strict=True)
        ]
        return [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]


def stop_tokens(policy: Any, tokenizer: Any) -> list[int]:
    """The tokens that end a completion, the tokenizer's end token first."""
    stated = policy.generation_config.eos_token_id
    others = stated if isinstance(stated, list) else [stated]
    ids = [tokenizer.eos_token_id, *others]
    return list(dict.fromkeys(int(one) for one in ids if one is not None))


def training_rule(policy: Any, tokenizer: Any, temperature: float) -> SamplingRule:
    """The rule of a training run: no control token but those that end a completion."""
    stops = set(stop_tokens(policy, tokenizer))
    specials = {tokenizer.pad_token_id, *tokenizer.all_special_ids}
    return SamplingRule(temperature, forbidden_tokens=tuple(sorted(specials - stops)))


def position_ids(attention_mask: Tensor) -> Tensor:
    """Positions [B, L] that count real tokens only, so that left padding moves nothing."""
    return (attention_mask.cumsum(dim=1) - 1).clamp(min=0)


def pad_left(rows: Sequence[Sequence[int]], filler: int) -> tuple[Tensor, Tensor]:
    """Ids and mask, both [B, P], of rows of unequal length."""
    width = max(len(row) for row in rows)
    ids = [[filler] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids), torch.tensor(mask)


def count_cut(tokenizer: Any, prompts: Sequence[Prompt], room: int) -> int:
    """How many prompts have more tokens than `room`, so that their beginning is not read."""
    return sum(cut_prompt(tokenizer, prompt, room)[1] for prompt in prompts)


@torch.no_grad()
def rollouts(
    policy: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    rule: SamplingRule,
    max_new_tokens: int,
    *,
    room: int | None = None,
) -> Rollouts:
    """Sample one completion a prompt with torch's global random stream; T <= `max_new_tokens`.

    Prompts longer than `room` tokens, by default what the policy can read, lose their beginning.
    """
    from transformers import DynamicCache

    device = policy.device
    room = room or prompt_room([policy], max_new_tokens)
    encoded = {id(prompt): cut_prompt(tokenizer, prompt, room)[0] for prompt in prompts}
    ids, mask = pad_left([encoded[id(prompt)] for prompt in prompts], tokenizer.pad_token_id)
    prompt_ids, prompt_mask = ids.to(device), mask.to(device)
    stops = torch.tensor(stop_tokens(policy, tokenizer), device=device)
    cache, attention = DynamicCache(config=policy.config), prompt_mask
    current, positions = prompt_ids, position_ids(prompt_mask)
    is_alive = torch.ones(len(prompts), dtype=torch.bool, device=device)
    columns: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(max_new_tokens):
        output = policy(
            input_ids=current,
            attention_mask=attention,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        all_logprobs = rule.log_probabilities(output.logits[:, -1])  # [B, 1, V] -> [B, V]
        drawn = torch.multinomial(all_logprobs.exp(), 1)  # [B, 1]
        logprobs = all_logprobs.gather(1, drawn)[:, 0]  # [B, V] -> [B]
        token = torch.where(is_alive, drawn[:, 0], tokenizer.pad_token_id)
        columns.append((token, is_alive, logprobs * is_alive))
        attention = torch.cat([attention, is_alive.long()[:, None]], dim=1)  # [B, L + 1]
        is_alive = is_alive & ~torch.isin(token, stops)
        if not is_alive.any():
            break
        current, positions = token[:, None], positions[:, -1:] + 1  # [B, 1]
    tokens, alive, logprobs = (torch.stack(column, dim=1) for column in zip(*columns, strict=True))
    return Rollouts(prompt_ids, prompt_mask, tokens, alive.float(), logprobs, ~is_alive)


def rows_at_once(policy: Any, n_tokens: int, stated: int | None = None) -> int:
    """How many completions of `n_tokens` one pass reads: `stated`, or what bounds its memory.

    Log-probabilities of a whole vocabulary are the largest tensors of a run by far.
    """
    return stated or max(1, _NUMBERS_AT_ONCE // ((n_tokens + 1) * policy.config.vocab_size))


def completion_logprobs(policy: Any, batch: Rollouts, rule: SamplingRule) -> Tensor:
    """Log-probabilities of the completion tokens under the rule, [B, T].

    One pass, differentiable; zero on padding.
    """
    return _chosen(_all_logprobs(policy, batch, rule), batch)


@torch.no_grad()
def read_completions(
    policy: Any, batch: Rollouts, rule: SamplingRule, rows: int
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies of the completion tokens under the rule, both [B, T].

    `rows` at a time and without gradients; zero on padding.
    """
    logprobs, entropies = [], []
    for part in batch.parts(rows):
        all_logprobs = _all_logprobs(policy, part, rule)  # [b, T, V]
        logprobs.append(_chosen(all_logprobs, part))
        entropies.append(entropy(all_logprobs).masked_fill(~part.mask.bool(), 0.0))
    return torch.cat(logprobs), torch.cat(entropies)  # [b, T]... -> [B, T]


def _all_logprobs(policy: Any, batch: Rollouts, rule: SamplingRule) -> Tensor:
    """Log-probabilities of every token at each place of the completions, [B, T, V]."""
    n_tokens = batch.completion_ids.shape[1]
    logits = policy(
        input_ids=batch.ids,
        attention_mask=batch.attention_mask,
        position_ids=position_ids(batch.attention_mask),
        use_cache=False,
        logits_to_keep=n_tokens + 1,
    ).logits[:, :-1]  # [B, T + 1, V] -> [B, T, V]
    return rule.log_probabilities(logits)


def _chosen(all_logprobs: Tensor, batch: Rollouts) -> Tensor:
    """The log-probabilities [B, T] of what was written, out of those of every token [B, T, V]."""
    chosen = all_logprobs.gather(-1, batch.completion_ids[..., None])[..., 0]  # [B, T, V] -> [B, T]
    return chosen.masked_fill(~batch.mask.bool(), 0.0)
