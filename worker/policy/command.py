"""`prefloop-worker policy`, `sample` and `sft`: the policy stages on files, without a database."""

from pathlib import Path
from typing import Annotated, Any

import typer

from worker.options import (
    Combine,
    Device,
    ModelsFolder,
    Report,
    SafetyHead,
    SafetyModel,
    SafetyThreshold,
    SafetyWeight,
    Threads,
    Voice,
)
from worker.progress import make_progress

Steps = Annotated[int, typer.Option(min=1, help="In optimiser or training steps.")]
PromptTokens = Annotated[int, typer.Option(min=1, help="Longer prompts lose their beginning.")]


def policy(
    *,
    policy: Annotated[str, typer.Option(help="The policy to start from: folder or hub id.")],
    reference: Annotated[str, typer.Option(help="What the KL penalty keeps it near.")],
    reward_model: Annotated[str, typer.Option(help="Folder of the reward model.")],
    prompts: Annotated[Path, typer.Option(help="JSON lines with “prompt”.")],
    out: Annotated[Path, typer.Option(help="Folder for the new policy.")],
    evaluation_prompts: Annotated[
        Path | None, typer.Option(help="Held-out prompts; without, a part of the prompts.")
    ] = None,
    report: Report = None,
    algorithm: Annotated[str, typer.Option(help="ppo, rloo or grpo.")] = "ppo",
    steps: Steps = 24,
    batch_size: Annotated[int, typer.Option(min=1, help="Completions a step.")] = 128,
    minibatches: Annotated[int, typer.Option(min=1)] = 4,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over each batch.")] = 3,
    group_size: Annotated[int, typer.Option(min=2, help="Completions a prompt; not for ppo.")] = 4,
    kl_coef: Annotated[float, typer.Option(min=0.0, help="Weight of the KL penalty.")] = 0.1,
    kl_target: Annotated[
        float | None, typer.Option(help="Nats a completion; makes the weight adaptive.")
    ] = None,
    kl_budget: Annotated[float, typer.Option(help="Nats a completion before an alarm.")] = 20.0,
    learning_rate: Annotated[float, typer.Option()] = 1e-3,
    value_learning_rate: Annotated[
        float | None, typer.Option(help="By default twice the policy's.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 40,
    max_prompt_tokens: PromptTokens = 1024,
    rows_at_once: Annotated[
        int | None, typer.Option(min=1, help="Completions a pass; by default what memory allows.")
    ] = None,
    temperature: float = 1.0,
    missing_eos_penalty: float = 1.0,
    seed: int = 0,
    evaluate_every: Steps = 8,
    n_evaluation_prompts: Annotated[int, typer.Option(min=1)] = 128,
    samples_per_evaluation_prompt: Annotated[int, typer.Option(min=1)] = 2,
    checkpoint_every: Steps = 20,
    safety_model: SafetyModel = None,
    safety_head: SafetyHead = False,
    combine: Combine = "llama2",
    safety_threshold: SafetyThreshold = 0.15,
    safety_weight: SafetyWeight = 1.0,
    progress: Voice = "bar",
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Optimise a policy against a reward model, with a KL penalty to a reference."""
    _optimise(**locals())


def _optimise(
    *,
    report: Path | None,
    progress: str,
    device: str | None,
    threads: int | None,
    value_learning_rate: float | None,
    safety_head: bool,
    **options: Any,
) -> None:
    """The command `policy` with its options; those that are not named here are PolicyConfig's."""
    from worker.policy.config import PolicyConfig
    from worker.policy.files import write_report
    from worker.policy.stage import optimise
    from worker.runtime import end_runtime, start_runtime

    if value_learning_rate is None:
        value_learning_rate = 2 * options["learning_rate"]
    config = PolicyConfig(
        value_learning_rate=value_learning_rate, has_safety_head=safety_head, **options
    )
    runtime = start_runtime(config.seed, device=device, threads=threads)
    result = optimise(config, runtime, make_progress(progress))
    write_report(report, result)
    if progress == "bar":
        typer.echo(_policy_summary(result))
    end_runtime(runtime)


def _policy_summary(result: dict[str, Any]) -> str:
    before, after = result["before"], result["after"]
    verdict = "" if result["is_trustworthy"] else " An alarm says not to trust these figures."
    return (
        f"Mean score {before['score_mean']:.3f} before, {after['score_mean']:.3f} "
        f"± {after['standard_error'] or 0:.3f} (standard error) after, on {after['n']} held-out "
        f"completions; KL {after['kl']:.2f} nats a completion; {result['seconds']:.0f} s.{verdict}"
    )


def sft(
    *,
    demonstrations: Annotated[Path, typer.Option(help="JSON lines: prompt, completion.")],
    base_model: Annotated[str, typer.Option(help="A folder, a hub id, or tiny.")],
    out: Annotated[Path, typer.Option(help="Folder for the policy.")],
    report: Report = None,
    epochs: Annotated[float, typer.Option(min=0.001)] = 3.0,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    learning_rate: Annotated[float, typer.Option()] = 5e-3,
    max_length: Annotated[int, typer.Option(min=8, help="Tokens; longer ones are cut.")] = 512,
    seed: int = 0,
    checkpoint_every: Steps = 100,
    models_folder: ModelsFolder = None,
    progress: Voice = "bar",
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Teach a base model to answer as the demonstrations do."""
    from worker.policy.config import SupervisedConfig
    from worker.policy.files import write_report
    from worker.policy.sft import fine_tune
    from worker.runtime import end_runtime, start_runtime

    config = SupervisedConfig(
        base_model=base_model,
        demonstrations=demonstrations,
        out=out,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_length=max_length,
        seed=seed,
        checkpoint_every=checkpoint_every,
    )
    runtime = start_runtime(seed, device=device, threads=threads)
    result = fine_tune(config, runtime, make_progress(progress), models_folder or out.parent)
    write_report(report, result)
    end_runtime(runtime)


def sample(
    *,
    model: Annotated[str, typer.Option(help="The policy: folder or hub id.")],
    prompts: Annotated[Path, typer.Option(help="JSON lines with “prompt”, perhaps “id”.")],
    out: Annotated[Path, typer.Option(help="JSON lines: id, prompt, completions.")],
    n: Annotated[int, typer.Option(min=1, help="Different completions a prompt.")] = 2,
    report: Report = None,
    temperature: Annotated[float, typer.Option(min=0.01)] = 1.0,
    top_k: Annotated[int | None, typer.Option(min=1)] = None,
    top_p: Annotated[float | None, typer.Option(min=0.01, max=1.0)] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 40,
    max_prompt_tokens: PromptTokens = 1024,
    batch_size: Annotated[int, typer.Option(min=1)] = 128,
    seed: int = 0,
    progress: Voice = "bar",
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Write completions for prompts, different ones for each prompt."""
    from worker.policy.files import write_report
    from worker.policy.writing import WritingConfig, write_completions
    from worker.runtime import end_runtime, start_runtime

    config = WritingConfig(
        model=model,
        prompts=prompts,
        out=out,
        n=n,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        max_new_tokens=max_new_tokens,
        max_prompt_tokens=max_prompt_tokens,
        batch_size=batch_size,
        seed=seed,
    )
    runtime, voice = start_runtime(seed, device=device, threads=threads), make_progress(progress)
    result = write_completions(config, runtime, voice)
    if result["n_dropped"]:
        voice.note(
            f"{result['n_dropped']} of {result['n_prompts'] * n} completions stayed empty or "
            "equal to another one of their prompt, and were left out."
        )
    voice.result(result)
    write_report(report, result)
    end_runtime(runtime)


def talk(*, device: Device = None, threads: Threads = None) -> None:
    """Answer requests, a JSON object a line, with a policy that stays in memory."""
    import sys

    from worker.policy.talk import Speaker, converse
    from worker.runtime import start_runtime

    speaker = Speaker(start_runtime(0, device=device, threads=threads))
    converse(speaker, sys.stdin, sys.stdout, sys.stderr)
