"""`prefloop-worker reward`: train a reward model from files, alone or under torchrun."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.options import Device, ModelsFolder, Precision, Report, Threads, Voice
from worker.progress import finite, make_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.reward.configuration import RewardConfiguration

# Measured for the two smallest sizes (docs/decisions/0010-reward-defaults.md); usual beyond.
_LEARNING_RATES = ((1e6, 1e-3), (5e7, 2e-4), (2e8, 5e-5), (1e9, 2e-5))
_LARGEST_RATE = 1e-5
_AUTO = "auto"

LossName = Annotated[
    str, typer.Option(help="auto, scaled, plain, margin, soft, ties or mean-variance.")
]
ReliabilityName = Annotated[
    str, typer.Option(help="auto: weigh annotators; given: the file's weights alone; off.")
]
Flag = Annotated[
    str | None, typer.Option(help="Learn from this flag; +FLAG where more of it is better.")
]
SafetyFlag = Annotated[
    str | None, typer.Option(help="A safety head on the same trunk, learnt from this flag.")
]


def reward(
    *,
    preferences: Annotated[Path, typer.Option(help="JSON lines: prompt, chosen, rejected, …")],
    out: Annotated[Path, typer.Option(help="Folder for the reward model.")],
    base_model: Annotated[str, typer.Option(help="A folder, a hub id, or tiny.")],
    evaluation: Annotated[
        Path | None, typer.Option("--eval", help="Held-out lines; without, a tenth of the prompts.")
    ] = None,
    report: Report = None,
    loss: LossName = "auto",
    reliability: ReliabilityName = "auto",
    objective: Annotated[str, typer.Option(help="helpfulness or safety.")] = "helpfulness",
    flag: Flag = None,
    safety_flag: SafetyFlag = None,
    attributes: Annotated[
        str, typer.Option(help="Names with commas: a head on the same trunk for each.")
    ] = "",
    epochs: Annotated[
        float | None,
        typer.Option(min=0.001, help="By default 1, or more where a step reads many pairs."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0.0, help="By default from the model's size.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs a step, all processes.")] = 32,
    max_length: Annotated[int, typer.Option(min=8, help="Tokens of prompt and completion.")] = 1024,
    seed: int = 0,
    dropout: Annotated[
        bool | None, typer.Option(help="The base model's dropout; by default encoders keep it.")
    ] = None,
    recomputes: Annotated[
        bool, typer.Option("--recompute", help="Spare memory: compute states twice.")
    ] = False,
    lora_rank: Annotated[
        int | None, typer.Option("--lora", min=1, help="Train adapters of this rank alone (peft).")
    ] = None,
    quantisation: Annotated[
        str | None,
        typer.Option("--quantise", help="4bit: keep the weights beside adapters so (QLoRA)."),
    ] = None,
    attention: Annotated[
        str, typer.Option(help="auto, blocks, or flex: one kernel for a packed row (GPUs).")
    ] = "auto",
    compiles: Annotated[
        str, typer.Option("--compile", help="auto, on or off: layers through torch.compile.")
    ] = "auto",
    is_sharded: Annotated[
        bool, typer.Option("--shard", help="Under torchrun, spread the weights (FSDP2).")
    ] = False,
    centring: Annotated[float, typer.Option(min=0.0, help="Pull scores towards 0.")] = 0.01,
    tie_threshold: Annotated[
        float | None, typer.Option(min=0.01, help="For --loss ties; else from the share of ties.")
    ] = None,
    length: Annotated[
        str, typer.Option(help="off, covariate, or log-odds to hold against longer answers.")
    ] = "off",
    soft_temperature: Annotated[float, typer.Option(min=0.01, help="For --loss soft.")] = 0.85,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps.")] = 100,
    ensemble: Annotated[int, typer.Option(min=0, help="Heads that tell how sure a score is.")] = 0,
    progress: Voice = "bar",
    models_folder: ModelsFolder = None,
    device: Device = None,
    precision: Precision = None,
    threads: Threads = None,
) -> None:
    """Train a reward model on human comparisons and say how it does on held-out ones."""
    _train(**locals())


def _train(
    *,
    preferences: Path,
    evaluation: Path | None,
    out: Path,
    models_folder: Path | None,
    report: Path | None,
    progress: str,
    device: str | None,
    precision: str | None,
    threads: int | None,
    **options: Any,
) -> None:
    """The command `reward` with its options; those not named here are RewardConfiguration's."""
    from worker.reward.files import RewardFiles
    from worker.reward.stage import train_reward_model
    from worker.runtime import end_runtime, start_runtime

    configure = _configure(**options)
    base_model, seed = options["base_model"], options["seed"]
    voice = make_progress(progress)
    files = RewardFiles(preferences, evaluation, out, models_folder or out.parent)
    runtime = start_runtime(seed, device=device, threads=threads, precision=precision)
    result = train_reward_model(
        files,
        configure,
        runtime,
        voice,
        base_model=base_model,
        seed=seed,
        is_quantised=options["quantisation"] is not None,
        chooses_loss=options["loss"] == _AUTO,
    )
    if report is not None and runtime.is_main:
        text = json.dumps(finite(result), indent=2, ensure_ascii=False)
        report.write_text(text + "\n", "utf-8")
    if progress == "bar" and runtime.is_main:
        typer.echo(_summary(result))
    end_runtime(runtime)


def _configure(
    *,
    loss: str,
    reliability: str,
    length: str,
    learning_rate: float | None,
    dropout: bool | None,
    **options: Any,
) -> "Callable[[Any], RewardConfiguration]":
    """What makes the configuration once the network, and so its size, is known."""
    from app.tables.projects import Objective
    from worker.errors import TrainerError
    from worker.quantised import refuse_unusable
    from worker.reward.computing import refuse_unknown
    from worker.reward.configuration import RewardConfiguration
    from worker.reward.length import parse_length
    from worker.reward.reliability import Reliability
    from worker.reward.scorer import is_causal
    from worker.reward.strength import Loss

    if loss not in [*Loss, _AUTO]:
        raise TrainerError(f"“{loss}” is no loss. Use {', '.join([_AUTO, *Loss])}.")
    if options["ensemble"] == 1:
        raise TrainerError("One head disagrees with nobody. Ask for two or more, or for 0.")
    if reliability not in list(Reliability):
        raise TrainerError(f"“{reliability}” is no reliability. Use {', '.join(Reliability)}.")
    refuse_unknown(options["attention"], options["compiles"])
    refuse_unusable(
        options["quantisation"],
        has_adapters=options["lora_rank"] is not None,
        is_sharded=options["is_sharded"],
    )
    length = parse_length(length)
    if options["objective"] not in list(Objective):
        raise TrainerError(f"An objective is {' or '.join(Objective)}.")
    if loss == _AUTO:
        loss = Loss.SCALED  # where there is too little to choose by

    def configure(network: Any) -> RewardConfiguration:
        rate = default_rate(network) if learning_rate is None else learning_rate
        keeps = not is_causal(network) if dropout is None else dropout
        return RewardConfiguration(
            loss=Loss(loss),
            reliability=Reliability(reliability),
            length=length,
            learning_rate=rate,
            has_dropout=keeps,
            **options,
        )

    return configure


def default_rate(network: Any) -> float:
    """The learning rate for a network of this many parameters: the smaller, the faster."""
    from worker.quantised import n_weights

    size = n_weights(network)
    return next((rate for limit, rate in _LEARNING_RATES if size < limit), _LARGEST_RATE)


def _summary(result: dict[str, Any]) -> str:
    figures = result["eval"]
    if figures["accuracy"] is None:
        return "Trained; no held-out comparison was left to judge it by."
    return (
        f"Held-out accuracy {figures['accuracy']:.3f} on {figures['n']} comparisons "
        f"(the longer one wins: {figures['longer_wins']:.3f}), "
        f"log-loss {figures['log_loss']:.3f}, {result['seconds']:.0f} s."
    )
