"""Supervised warm start: a base model learns to answer as the demonstrations do."""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from worker.checkpoints import checkpoint_of, save_checkpoint
from worker.errors import Stopped, TrainerError
from worker.models import (
    encode_completion,
    load_policy,
    load_tokenizer,
    longest_input,
    render_prompt,
    resolve_base_model,
)
from worker.policy.config import SupervisedConfig, as_plain, without_places
from worker.policy.files import (
    finished_report,
    model_identity,
    publish,
    read_demonstrations,
    run_folder,
)
from worker.policy.sample import Prompt
from worker.progress import Progress, finite
from worker.provenance import code_commit, file_hash
from worker.runtime import (
    Runtime,
    autocast,
    refuse_several_processes,
    seed_everything,
    stop_requested,
)

KIND = "supervised policy"
_STATE = "state.pt"
_IGNORED = -100


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids of a prompt and its completion; the first `n_prompt` are not learnt."""

    ids: list[int]
    n_prompt: int


def fine_tune(
    config: SupervisedConfig, runtime: Runtime, progress: Progress, models_folder: Path
) -> dict[str, Any]:
    """Train on demonstrations and publish the policy; returns the report.

    Batches are a function of (seed, epoch), so a killed run that is started again ends with the
    same weights, bit for bit, on one CPU process. Raises TrainerError and Stopped.
    """
    refuse_several_processes(runtime, "Supervised training")
    started = time.monotonic()
    data_hash = file_hash_of(config.demonstrations)
    identity = {
        "configuration": without_places(config),
        "data_hash": f"{data_hash}+{model_identity(config.base_model)}",
    }
    finished = finished_report(config.out, KIND, identity)
    if finished is not None:
        progress.note("This run is finished already; its report is given again.")
        progress.result(finished)
        return finished
    rows = read_demonstrations(config.demonstrations)
    texts = [text for prompt, answer in rows for text in (_text(prompt), answer)]
    name = resolve_base_model(config.base_model, texts, models_folder, seed=config.seed)
    tokenizer, policy = load_tokenizer(name), load_policy(name, runtime).eval()
    max_length = longest_input(policy, config.max_length)
    training, held_out = _split(_encode(rows, tokenizer, max_length), config)
    before = held_out_loss(policy, held_out, runtime)
    n_steps = _train(
        policy, training, config, runtime=runtime, progress=progress, identity=identity
    )
    report: dict[str, Any] = {
        "before": before,
        "after": held_out_loss(policy, held_out, runtime),
        "n_train": len(training),
        "n_held_out": len(held_out),
        "n_steps": n_steps,
        "seconds": time.monotonic() - started,
        "data_hash": data_hash,
        "configuration": as_plain(config),
        "code_commit": code_commit(),
    }
    report = finite(report)
    publish(config.out, policy, tokenizer, kind=KIND, identity=identity, report=report)
    shutil.rmtree(run_folder(config.out), ignore_errors=True)
    progress.result(report)
    return report


def file_hash_of(path: Path) -> str:
    """SHA-256 of a file. Raises TrainerError where there is none."""
    if not path.is_file():
        raise TrainerError(f"There is no file {path}.")
    return file_hash(path)


def _text(prompt: Prompt) -> str:
    return " ".join(message["content"] for message in prompt)


def _encode(rows: Sequence[tuple[Prompt, str]], tokenizer: Any, max_length: int) -> list[Example]:
    """Examples cut to `max_length` tokens from the right."""
    examples = []
    for prompt, answer in rows:
        asked = render_prompt(tokenizer, prompt)
        ids = (asked + encode_completion(tokenizer, answer))[:max_length]
        if len(ids) > len(asked):
            examples.append(Example(ids, len(asked)))
    if not examples:
        raise TrainerError(f"Every prompt is longer than {max_length} tokens; raise the limit.")
    return examples


def _split(
    examples: list[Example], config: SupervisedConfig
) -> tuple[list[Example], list[Example]]:
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.randperm(len(examples), generator=generator).tolist()
    n_held_out = min(len(examples) - 1, math.ceil(len(examples) * config.held_out))
    shuffled = [examples[i] for i in order]
    return shuffled[n_held_out:], shuffled[:n_held_out]


def _plan(n: int, config: SupervisedConfig) -> list[list[int]]:
    """The batches of the whole run; a fraction of an epoch ends within it."""
    batches: list[list[int]] = []
    for epoch in range(math.ceil(config.epochs)):
        generator = torch.Generator().manual_seed(config.seed * 1009 + epoch)
        order = torch.randperm(n, generator=generator)
        batches += [rows.tolist() for rows in torch.split(order, config.batch_size)]
    return batches[: max(1, round(math.ceil(n / config.batch_size) * config.epochs))]


def token_losses(policy: Any, examples: Sequence[Example], runtime: Runtime) -> Tensor:
    """Negative log-likelihood of each completion token of a batch, in nats, flat, [n tokens]."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)  # [B, L]
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, _IGNORED)
    for row, example in enumerate(examples):
        n = len(example.ids)
        ids[row, :n] = torch.tensor(example.ids)
        mask[row, :n] = 1
        labels[row, example.n_prompt : n] = ids[row, example.n_prompt : n]
    with autocast(runtime):
        logits = policy(
            input_ids=ids.to(runtime.device),
            attention_mask=mask.to(runtime.device),
            use_cache=False,
        ).logits[:, :-1]  # [B, L, V] -> [B, L - 1, V]
    targets = labels[:, 1:].to(runtime.device)  # [B, L - 1]
    is_learnt = targets != _IGNORED
    return cross_entropy(logits[is_learnt].float(), targets[is_learnt], reduction="none")


@torch.no_grad()
def held_out_loss(policy: Any, examples: Sequence[Example], runtime: Runtime) -> dict[str, Any]:
    """Mean loss in nats a token over examples, with their number; None where there is none."""
    losses = [
        token_losses(policy, examples[start : start + 64], runtime)
        for start in range(0, len(examples), 64)
    ]
    mean = float(torch.cat(losses).mean()) if losses else None
    return {"loss": mean, "n": len(examples)}


def rate_factor(step: int, n_steps: int, warmup: float) -> float:
    """Share of the full learning rate: a linear rise, then a cosine fall to a hundredth."""
    n_warmup = max(1, round(n_steps * warmup))
    if step < n_warmup:
        return (step + 1) / n_warmup
    fallen = (step - n_warmup) / max(1, n_steps - n_warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fallen))


def _train(
    policy: Any,
    examples: list[Example],
    config: SupervisedConfig,
    *,
    runtime: Runtime,
    progress: Progress,
    identity: dict[str, Any],
) -> int:
    plan, folder = _plan(len(examples), config), run_folder(config.out)
    optimiser = torch.optim.AdamW(policy.parameters(), config.learning_rate, weight_decay=0.01)
    step = _resume(policy, optimiser, folder, identity, progress)

    def save(after: int) -> None:
        state = {"policy": policy.state_dict(), "optimiser": optimiser.state_dict()}
        save_checkpoint(
            folder, after, lambda path: torch.save(state, path / _STATE), extra=identity
        )

    while step < len(plan):
        seed_everything(config.seed, "step", step, runtime.rank)
        rate = config.learning_rate * rate_factor(step, len(plan), config.warmup)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = token_losses(policy, [examples[i] for i in plan[step]], runtime).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0))
        if not math.isfinite(loss.item() + norm):
            raise TrainerError(
                f"The loss is not a number any more at step {step + 1}. The last checkpoint is "
                "kept. Try a lower learning rate."
            )
        optimiser.step()
        step += 1
        progress.metrics(step, {"loss": loss.item(), "learning_rate": rate, "gradient_norm": norm})
        progress.advance(step, len(plan), "Learning from demonstrations")
        is_stopping = stop_requested() and step < len(plan)
        if is_stopping or step % config.checkpoint_every == 0:
            save(step)
        if is_stopping:
            raise Stopped(f"Stopped after step {step} of {len(plan)}; it is saved.")
    return len(plan)


def _resume(
    policy: Any,
    optimiser: torch.optim.Optimizer,
    folder: Path,
    identity: dict[str, Any],
    progress: Progress,
) -> int:
    found = checkpoint_of(folder, identity, progress.note)
    if found is None:
        return 0
    load: Callable[..., Any] = torch.load
    state = load(found.path / _STATE, map_location=policy.device, weights_only=True)
    policy.load_state_dict(state["policy"])
    optimiser.load_state_dict(state["optimiser"])
    progress.note(f"Resumed after step {found.step}.")
    return found.step
