"""`prefloop demo`: turn the loop with people whose taste is known, and measure the truth."""

import json
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from app.errors import DomainError
from worker.demo.language import true_reward
from worker.demo.picture import Curve, draw
from worker.demo.report import Round, as_table
from worker.demo.rounds import Demonstration, read_samples
from worker.demo.settings import DemoSettings
from worker.progress import finite
from worker.runtime import start_runtime

TRUE_COLOUR, PREDICTED_COLOUR = "#1c1d20", "#5a3fd0"


def demo(
    rounds: Annotated[int, typer.Option(min=1, max=20, help="How often the loop turns.")] = 2,
    seed: Annotated[int, typer.Option(help="Fixes people, prompts and training.")] = 0,
    kl_coef: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Penalty for leaving the first policy; 0 shows why it is there."
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option("--json", help="Write every figure here.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="An SVG of true and predicted reward; beside the JSON.")
    ] = None,
) -> None:
    """Turn the loop with simulated annotators of known taste on a language of known reward."""
    began = time.monotonic()
    settings = DemoSettings.chosen(seed=seed, kl_coef=kl_coef)
    runtime = start_runtime(seed)
    demonstration = Demonstration(settings, runtime, typer.echo)
    demonstration.set_up()
    done: list[Round] = []
    for number in range(1, rounds + 1):
        done.append(demonstration.turn(number, is_last=number == rounds))
        typer.echo("\n" + as_table(done[-1]) + "\n")
    result = {
        "seed": seed,
        "kl_coef": settings.kl_coef,
        "rounds": [one.as_json() for one in done],
        "seconds": round(time.monotonic() - began, 2),
    }
    if report:
        _write(report, json.dumps(finite(result), indent=2) + "\n")
    target = picture or (report.with_suffix(".svg") if report else None)
    if target:
        _write(target, draw_demonstration(demonstration, done))
    typer.echo(f"{rounds} rounds in {result['seconds']:.0f} s.")


def draw_demonstration(demonstration: Demonstration, done: list[Round]) -> str:
    """True and predicted reward along the steps of every round's policy."""
    true_points: list[tuple[float, float]] = []
    predicted: list[list[tuple[float, float]]] = []
    offset = 0
    for _, file in demonstration.samples_along_the_way():
        steps = mean_by_step(file)
        true_points += [(offset + step, true) for step, (true, _) in steps.items()]
        predicted.append([(offset + step, score) for step, (_, score) in steps.items()])
        offset += max(steps, default=0)
    curves = [Curve("true reward", true_points, TRUE_COLOUR)] + [
        Curve("predicted" if part is predicted[-1] else "", part, PREDICTED_COLOUR, is_dashed=True)
        for part in predicted
    ]
    return draw(_title(done), _subtitle(demonstration.settings, done), curves)


def mean_by_step(file: Path) -> dict[int, tuple[float, float]]:
    """Step → (mean true reward, mean score) of the evaluation samples in `file`."""
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for row in read_samples(file):
        sample: dict[str, Any] = row
        truth = true_reward(sample["prompt"], sample["completion"], sample["is_finished"])
        found[sample["step"]].append((truth, sample["score"]))
    return {
        step: (fmean(t for t, _ in rows), fmean(s for _, s in rows))
        for step, rows in sorted(found.items())
    }


def _title(done: list[Round]) -> str:
    first, last = done[0], done[-1]
    is_pleased = last.predicted_after > last.predicted_before
    if is_pleased and last.true_before.is_above(last.true_after):
        return "The reward model is ever more pleased; the true reward falls"
    if last.true_after.is_above(first.true_before):
        return "The true reward rises with the predicted one"
    return "The true reward did not move by more than its noise"


def _subtitle(settings: DemoSettings, done: list[Round]) -> str:
    change = done[-1].true_after.mean - done[0].true_before.mean
    return (
        f"KL coefficient {settings.kl_coef:g}, seed {settings.seed}, {len(done)} rounds: "
        f"true reward {change:+.2f} on {done[-1].true_after.n} held-out completions"
    ).replace("-", "−")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    except OSError as error:
        raise DomainError(f"{file} could not be written: {error.strerror}.") from error
