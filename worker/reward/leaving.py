"""`prefloop-worker worth`: what part of the data a reward model would miss, by leaving it out.

Each part is left out, a model is learnt from the rest, and both are judged on the same held-out
comparisons: the counterfactual that influence functions approximate (Koh and Liang, arXiv
1703.04730, section 1). Beside it stands a part of the same size left out at random: data is worth
more than other data where its loss costs more than that.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from worker.errors import TrainerError
from worker.progress import Progress, SilentProgress, finite, make_progress

if TYPE_CHECKING:
    from worker.reward.data import Preference
    from worker.runtime import Runtime

N_DRAWS = 2000
FEWEST_LEFT = 16
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """What may be left out: answers in which a flag was raised, or those of some annotators."""

    kind: str
    key: str
    annotators: frozenset[str] = frozenset()

    def holds(self, row: "Preference") -> bool:
        return self.key in row.flags if self.kind == "flag" else row.annotator in self.annotators


# Learns from the rows given and returns the margins of the held-out comparisons, [E].
Learn = Callable[[Sequence[int], str], Floats]


def worth(
    *,
    preferences: Annotated[Path, typer.Option(help="JSON lines to learn from.")],
    evaluation: Annotated[Path, typer.Option("--eval", help="Held-out lines.")],
    parts: Annotated[Path, typer.Option(help="JSON list of kind, key and annotators.")],
    base_model: Annotated[str, typer.Option(help="A folder, a hub id, or tiny.")],
    folder: Annotated[Path, typer.Option(help="Where trainings and their results are kept.")],
    models_folder: Annotated[Path | None, typer.Option(help="Where tiny is built.")] = None,
    configuration: Annotated[
        Path | None, typer.Option(help="Train anew with the configuration of this manifest.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Trainings at most before it reports.")] = 1000,
    report: Annotated[Path | None, typer.Option("--json", help="Write the report here.")] = None,
    progress: Annotated[str, typer.Option(help="bar, json or none.")] = "bar",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """Say what each part of the data is worth, by learning without it.

    By default with heads on frozen features of the base model, which takes one reading; with
    --configuration by whole trainings, each kept in the folder so that none is done twice.
    """
    from worker.reward.data import read_preferences
    from worker.runtime import end_runtime, start_runtime

    voice = make_progress(progress)
    runtime = start_runtime(0, threads=threads)
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = read_preferences(preferences), read_preferences(evaluation)
    models = models_folder or folder
    if configuration is None:
        learn = _learn_heads(train, held_out, base_model, models, runtime)
        budget = None
    else:
        learn = _learn_whole(
            preferences,
            evaluation,
            base_model=base_model,
            models=models,
            folder=folder,
            manifest=configuration,
            runtime=runtime,
        )
        budget = most
    given = [Part(one["kind"], one["key"], frozenset(one.get("annotators") or ()))
             for one in json.loads(parts.read_text("utf-8"))]  # fmt: skip
    found = leave_out(train, held_out, given, learn, voice, folder=folder, most=budget)
    found["method"] = "heads on frozen features" if configuration is None else "whole trainings"
    if report is not None:
        report.write_text(json.dumps(finite(found), indent=2) + "\n", "utf-8")
    voice.result(found)
    end_runtime(runtime)


def leave_out(
    train: Sequence["Preference"],
    held_out: Sequence["Preference"],
    parts: Sequence[Part],
    learn: Learn,
    progress: Progress,
    *,
    folder: Path,
    most: int | None = None,
) -> dict[str, Any]:
    """The worth of each part; margins that were found before are read from the folder.

    With `most`, stops after so many fresh learnings and says so in `is_done`.
    """
    rows = range(len(train))
    wanted: list[tuple[str, list[int]]] = [("all", list(rows))]
    for number, part in enumerate(parts):
        kept = [row for row in rows if not part.holds(train[row])]
        stream = random.Random(f"as many as {part.kind} {part.key}")  # noqa: S311 (no secret)
        wanted += [
            (f"{number}", kept),
            (f"{number} at random", sorted(stream.sample(rows, len(kept)))),
        ]
    margins: dict[str, Floats] = {}
    n_fresh = 0
    for place, (name, kept) in enumerate(wanted):
        file = folder / f"{name.replace(' ', '-')}.json"
        if (
            not file.exists()
            and len(kept) >= FEWEST_LEFT
            and (name == "all" or len(kept) < len(train))
        ):
            if most is not None and n_fresh >= most:
                return {"parts": _worths(train, held_out, parts, margins), "is_done": False,
                        "n_done": place, "n_total": len(wanted)}  # fmt: skip
            file.write_text(json.dumps(learn(kept, name).tolist()), "utf-8")
            n_fresh += 1
        if file.exists():
            margins[name] = np.array(json.loads(file.read_text("utf-8")))
        progress.advance(place + 1, len(wanted), "Learning without a part")
    return {"parts": _worths(train, held_out, parts, margins), "is_done": True,
            "n_done": len(wanted), "n_total": len(wanted)}  # fmt: skip


def _worths(
    train: Sequence["Preference"],
    held_out: Sequence["Preference"],
    parts: Sequence[Part],
    margins: dict[str, Floats],
) -> list[dict[str, Any]]:
    kept = np.array([not row.is_tie for row in held_out])
    found = []
    for number, part in enumerate(parts):
        n = sum(part.holds(row) for row in train)
        line: dict[str, Any] = {"kind": part.kind, "key": part.key, "n": n}
        names = ("all", f"{number}", f"{number} at random")
        if all(name in margins for name in names):
            line |= compare(*(margins[name][kept] for name in names))
        found.append(line)
    return found


def compare(whole: Floats, without: Floats, at_random: Floats, seed: int = 0) -> dict[str, Any]:
    """What leaving out costs in log-loss (nats) and accuracy, with paired 95% intervals; all [E].

    `beyond_random` is the cost in log-loss beyond that of a random part of the same size.
    """

    def losses(margins: Floats) -> Floats:
        found: Floats = np.logaddexp(0, -margins)
        return found

    right = [(one > 0) + 0.5 * (one == 0) for one in (whole, without)]
    columns = np.stack(
        [losses(without) - losses(whole), right[0] - right[1], losses(without) - losses(at_random)],
        axis=1,
    )  # [E, 3]
    n = len(columns)
    stream = np.random.default_rng(seed)
    drawn = stream.multinomial(n, np.full(n, 1 / n), size=N_DRAWS) @ columns / n  # [D, 3]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return {
        name: {"value": float(columns[:, i].mean()), "low": float(low[i]), "high": float(high[i])}
        for i, name in enumerate(("log_loss", "accuracy", "beyond_random"))
    }


def _learn_heads(
    train: Sequence["Preference"],
    held_out: Sequence["Preference"],
    base_model: str,
    models: Path,
    runtime: "Runtime",
) -> Learn:
    """Heads on features of the base model, read once for all parts."""
    from worker.models import load_reward_model, load_tokenizer, longest_input, resolve_base_model
    from worker.reward.data import encode
    from worker.reward.growth import choose_precision, differences, fit, narrow
    from worker.reward.score import USUAL_LENGTH

    texts = [text for row in (*train, *held_out) for text in row.texts]
    name = resolve_base_model(base_model, texts, models)
    tokenizer = load_tokenizer(name)
    model = load_reward_model(name, runtime, tokenizer)
    limit = longest_input(model, USUAL_LENGTH)
    data, tests = encode(train, tokenizer, limit), encode(held_out, tokenizer, limit)
    x, y = (
        differences(model, one, range(len(one)), 32, runtime) for one in (data, tests)
    )  # [N, H], [E, H]
    x, y = narrow(x, y)
    weights = (data.weights * data.strengths).double()  # [N]
    weights[data.is_tie] = 0
    precision = choose_precision(x, weights)

    def learn(rows: Sequence[int], name: str) -> Floats:  # noqa: ARG001
        kept = list(rows)
        margins: Floats = (y @ fit(x[kept], weights[kept], precision)).numpy()
        return margins

    return learn


def _learn_whole(
    preferences: Path,
    evaluation: Path,
    *,
    base_model: str,
    models: Path,
    folder: Path,
    manifest: Path,
    runtime: "Runtime",
) -> Learn:
    """Whole trainings in folders of their own, which resume where they were stopped."""
    from worker.reward.configuration import RewardConfiguration
    from worker.reward.files import RewardFiles
    from worker.reward.judge import JUDGEMENTS
    from worker.reward.stage import train_reward_model

    try:
        values = json.loads(manifest.read_text("utf-8"))["configuration"]
        configured = RewardConfiguration.of(values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainerError(f"{manifest} is no manifest of a reward model.") from error
    lines = [one for one in preferences.read_text("utf-8").splitlines(keepends=True) if one.strip()]

    def learn(rows: Sequence[int], name: str) -> Floats:
        own = folder / f"training-{name.replace(' ', '-')}"
        own.mkdir(exist_ok=True)
        (own / "preferences.jsonl").write_text("".join(lines[row] for row in rows), "utf-8")
        files = RewardFiles(own / "preferences.jsonl", evaluation, own / "model", models)
        train_reward_model(
            files,
            lambda _: replace(configured, base_model=base_model),
            runtime,
            SilentProgress(),
            base_model=base_model,
            seed=configured.seed,
            is_quantised=configured.quantisation is not None,
            has_curve=False,
        )
        judged = (own / "model" / JUDGEMENTS).read_text("utf-8").splitlines()
        return np.array([json.loads(line)["margin"] for line in judged])

    return learn
