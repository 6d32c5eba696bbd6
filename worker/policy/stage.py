"""One policy run, from files to a folder that loads in plain transformers."""

import json
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.checkpoints import checkpoint_of, save_checkpoint
from worker.errors import Stopped, TrainerError
from worker.models import load_policy, load_reward_model, load_tokenizer, prompt_room
from worker.policy.alarms import Watch
from worker.policy.config import PolicyConfig, as_plain, without_places
from worker.policy.evaluate import Evaluation, evaluate
from worker.policy.files import (
    finished_report,
    hold_out,
    model_identity,
    publish,
    read_prompts,
    run_folder,
)
from worker.policy.objective import AdaptiveKL, FixedKL
from worker.policy.ppo import Learner, Scores, collect, update
from worker.policy.sample import Prompt, count_cut, rollouts, training_rule
from worker.policy.value import ValueModel
from worker.progress import Progress, finite
from worker.provenance import code_commit, file_hash
from worker.reward.panel import Panel
from worker.runtime import (
    Runtime,
    autocast,
    refuse_several_processes,
    seed_everything,
    stop_requested,
)

KIND = "policy"
SAMPLES = "evaluation_samples.jsonl"
_STATE = "state.pt"
_N_NORMALISING = 256


class PolicyRun:
    """A run in memory: networks, prompts, where it stands, and what it has seen.

    Prompts and random streams are functions of (seed, step), so a checkpoint holds neither, and a
    killed run that is started again ends with the same weights, bit for bit, on one CPU process.
    """

    def __init__(self, config: PolicyConfig, runtime: Runtime, progress: Progress) -> None:
        config.validate()
        refuse_several_processes(runtime, "A policy run")
        self.config, self.runtime, self.progress = config, runtime, progress
        self.folder = run_folder(config.out)
        self.prompts, self.held_out = _prompts(config)
        self.identity = {
            "configuration": without_places(config),
            "data_hash": _data_hash(config),
        }
        self.learner, self.raw_scores = _learner(config, runtime)
        limit = 1e-3 if runtime.dtype == torch.float32 else 0.05
        self.watch = Watch(config.kl_budget, limit)
        self.scale: tuple[float, float] = (0.0, 1.0)  # mean and deviation of raw scores
        self.step = 0
        self._shuffled: tuple[int, list[int]] | None = None  # an epoch and its order
        self.evaluations: list[dict[str, Any]] = []
        self.learner.scores = self._normalised

    def _normalised(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> Tensor:
        mean, deviation = self.scale
        return (self.raw_scores(prompts, texts) - mean) / deviation

    def start(self) -> None:
        """Take up the newest checkpoint, or normalise the scores and look at the start."""
        if self._resume():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / SAMPLES).unlink(missing_ok=True)
        seed_everything(self.config.seed, "normalise")
        prompts = [self.prompts[i % len(self.prompts)] for i in range(_N_NORMALISING)]
        learner = self.learner
        self._tell_what_is_cut()
        with autocast(self.runtime):
            batch = rollouts(
                learner.reference, learner.tokenizer, prompts, learner.sampling,
                self.config.max_new_tokens, room=learner.prompt_room,
            )  # fmt: skip
        raw = self.raw_scores(prompts, batch.texts(learner.tokenizer))
        self.scale = (float(raw.mean()), max(float(raw.std()), 1e-6))
        self.evaluate()

    def _tell_what_is_cut(self) -> None:
        learner, prompts = self.learner, [*self.prompts, *self.held_out]
        n = count_cut(learner.tokenizer, prompts, learner.prompt_room)
        if n:
            self.progress.note(
                f"{n} of {len(prompts)} prompts are longer than {learner.prompt_room} tokens; "
                "their beginning is not read."
            )

    def batch_prompts(self) -> list[Prompt]:
        """The prompts of this step: each once in an epoch, in an order that the seed gives."""
        config = self.config
        repeat = 1 if config.algorithm == "ppo" else config.group_size
        n = config.batch_size // repeat
        chosen = []
        for position in range(self.step * n, self.step * n + n):
            epoch, index = divmod(position, len(self.prompts))
            chosen += [self.prompts[self._order(epoch)[index]]] * repeat
        return chosen

    def _order(self, epoch: int) -> list[int]:
        """The order of the prompts in an epoch; shuffled once, because the list may be long."""
        if self._shuffled is None or self._shuffled[0] != epoch:
            order = list(range(len(self.prompts)))
            stream = random.Random(f"{self.config.seed} {epoch}")  # noqa: S311 (must be seeded)
            stream.shuffle(order)
            self._shuffled = (epoch, order)
        return self._shuffled[1]

    def advance(self) -> dict[str, float]:
        """One step: sample, score, update."""
        started = time.monotonic()
        seed_everything(self.config.seed, "step", self.step, self.runtime.rank)
        experience = collect(self.learner, self.batch_prompts())
        for sentence in self.watch.observe(self.step, experience.kl_sums, experience.sampler_gap):
            self.progress.note(sentence)
        figures = {**experience.figures, **update(self.learner, experience)}
        mean, deviation = self.scale
        figures["score_mean"] = figures["score_mean"] * deviation + mean
        figures["kl_coef"] = self.learner.kl.coefficient
        figures["sampler_gap"] = experience.sampler_gap
        self.learner.kl.update(figures["kl"], len(experience.kl_sums))
        self.step += 1
        figures["seconds"] = time.monotonic() - started
        return figures

    def evaluate(self) -> None:
        """Sample the held-out prompts and append what came out to the samples file."""
        with autocast(self.runtime):
            found = evaluate(self.learner, self.held_out, self.raw_scores)
        self.evaluations.append({"step": self.step, **found.summary()})
        _append(self.folder / SAMPLES, self.step, found)
        for sentence in self.watch.observe_distance(self.step, found.summary()["kl"]):
            self.progress.note(sentence)

    def save(self) -> None:
        """Write a checkpoint of everything that a later step depends on."""
        learner = self.learner
        state = {
            "policy": learner.policy.state_dict(),
            "value": learner.value.state_dict(),
            "policy_optimiser": learner.policy_optimiser.state_dict(),
            "value_optimiser": learner.value_optimiser.state_dict(),
        }
        extra = {
            "identity": self.identity,
            "kl_coef": learner.kl.coefficient,
            "scale": self.scale,
            "alarms": self.watch.alarms,
            "evaluations": self.evaluations,
        }
        save_checkpoint(
            self.folder, self.step, lambda path: torch.save(state, path / _STATE),
            extra=finite(extra),
        )  # fmt: skip

    def _resume(self) -> bool:
        found = checkpoint_of(self.folder, self.identity, self.progress.note)
        if found is None:
            return False
        load: Callable[..., Any] = torch.load
        state = load(found.path / _STATE, map_location=self.runtime.device, weights_only=True)
        learner = self.learner
        learner.policy.load_state_dict(state["policy"])
        learner.value.load_state_dict(state["value"])
        learner.policy_optimiser.load_state_dict(state["policy_optimiser"])
        learner.value_optimiser.load_state_dict(state["value_optimiser"])
        learner.kl.coefficient = found.extra["kl_coef"]
        self.scale = tuple(found.extra["scale"])
        self.watch.alarms = list(found.extra["alarms"])
        self.evaluations = list(found.extra["evaluations"])
        self.step = found.step
        _keep_until(self.folder / SAMPLES, found.step)
        self.progress.note(f"Resumed after step {found.step}.")
        return True

    def report(self, seconds: float) -> dict[str, Any]:
        """What the run says at its end."""
        before, after = self.evaluations[0], self.evaluations[-1]
        return {
            "before": before,
            "after": after,
            "kl": after["kl"],
            "entropy": after["entropy"],
            "evaluations": self.evaluations,
            "alarms": self.watch.alarms,
            "is_trustworthy": self.watch.is_trustworthy,
            "n_steps": self.step,
            "n_prompts": len(self.prompts),
            "n_held_out_prompts": len(self.held_out),
            "seconds": seconds,
            "data_hash": self.identity["data_hash"],
            "configuration": as_plain(self.config),
            "code_commit": code_commit(),
        }


def optimise(config: PolicyConfig, runtime: Runtime, progress: Progress) -> dict[str, Any]:
    """Optimise a policy against a reward model and publish it; returns the report.

    A finished run that is started again returns the report it wrote. Raises TrainerError, and
    Stopped when the process was asked to end, after saving.
    """
    started = time.monotonic()
    run = PolicyRun(config, runtime, progress)
    finished = finished_report(config.out, KIND, run.identity)
    if finished is not None:
        progress.note("This run is finished already; its report is given again.")
        progress.result(finished)
        return finished
    run.start()
    while run.step < config.steps:
        figures = run.advance()
        progress.metrics(run.step, figures)
        progress.advance(run.step, config.steps, "Optimising the policy")
        is_last = run.step == config.steps
        if is_last or run.step % config.evaluate_every == 0:
            run.evaluate()
        is_stopping = stop_requested() and not is_last
        if is_last or is_stopping or run.step % config.checkpoint_every == 0:
            run.save()
        if is_stopping:
            raise Stopped(f"Stopped after step {run.step} of {config.steps}; it is saved.")
    report: dict[str, Any] = finite(run.report(time.monotonic() - started))
    publish(
        config.out, run.learner.policy, run.learner.tokenizer,
        kind=KIND, identity=run.identity, report=report, files=[run.folder / SAMPLES],
    )  # fmt: skip
    shutil.rmtree(run.folder, ignore_errors=True)
    progress.result(report)
    return report


def _prompts(config: PolicyConfig) -> tuple[list[Prompt], list[Prompt]]:
    prompts = [prompt for _, prompt in read_prompts(config.prompts)]
    if config.evaluation_prompts is None:
        return hold_out(prompts, config.n_evaluation_prompts, config.seed)
    held_out = [prompt for _, prompt in read_prompts(config.evaluation_prompts)]
    return prompts, held_out[: config.n_evaluation_prompts]


def _data_hash(config: PolicyConfig) -> str:
    files = [file_hash(path) for path in (config.prompts, config.evaluation_prompts) if path]
    models = [config.policy, config.reference, config.reward_model]
    models += [config.safety_model] if config.safety_model else []
    return "+".join([*files, *map(model_identity, models)])


def _learner(config: PolicyConfig, runtime: Runtime) -> tuple[Learner, Scores]:
    tokenizer = load_tokenizer(config.policy)
    policy = load_policy(config.policy, runtime).eval()
    reference = load_policy(config.reference, runtime).eval().requires_grad_(False)
    if reference.config.vocab_size != policy.config.vocab_size:
        raise TrainerError("The policy and its reference must have one vocabulary.")
    panel = Panel(config.reward_model, runtime, config.combination)
    # A second copy, because the value model's backbone is trained and the reward model's is not.
    value = ValueModel(
        load_reward_model(config.reward_model, runtime, panel.first.tokenizer), policy
    )
    value.requires_grad_(True)

    def raw_scores(prompts: Sequence[Prompt], texts: Sequence[str]) -> Tensor:
        conversations = [
            [*prompt, {"role": "assistant", "content": text}]
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        return panel.scores(conversations)  # [B]

    rule = training_rule(policy, tokenizer, config.temperature)
    learner = Learner(
        config=config,
        runtime=runtime,
        tokenizer=tokenizer,
        policy=policy,
        reference=reference,
        value=value.eval(),
        scores=raw_scores,
        kl=(
            FixedKL(config.kl_coef)
            if config.kl_target is None
            else AdaptiveKL(config.kl_coef, config.kl_target)
        ),
        sampling=rule,
        rule=rule,
        prompt_room=prompt_room(
            [policy, reference, value.backbone], config.max_new_tokens, config.max_prompt_tokens
        ),
        policy_optimiser=torch.optim.Adam(policy.parameters(), config.learning_rate, eps=1e-5),
        value_optimiser=torch.optim.Adam(value.parameters(), config.value_learning_rate, eps=1e-5),
    )
    return learner, raw_scores


def _append(path: Path, step: int, found: Evaluation) -> None:
    with path.open("a", encoding="utf-8") as stream:
        for row in found.rows:
            line = finite({"step": step, **asdict(row)})
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def _keep_until(path: Path, step: int) -> None:
    """Drop the samples of steps that will be done again, and a line that a kill tore."""
    kept = []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []:
        try:
            is_kept = json.loads(line)["step"] <= step
        except ValueError:
            break
        kept += [line] if is_kept else []
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
