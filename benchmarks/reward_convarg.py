"""Reward models on real people's answers, across topics: each fold holds four debate sides out.

`prefloop-worker reward` as a researcher runs it, with its own defaults for an encoder, from files
alone: to learn from, a line for each of five people's votes on a pair of arguments (`a` is rating
2, `b` 7, `equal` a tie); to be judged by, the pairs of unseen debate sides that have a strict
published answer. Both sides of a debate are in one fold. Scores go no further than their order and
a temperature: `scaled` errors divide them by one fitted on the other half of the held-out pairs.

The data (UKPConvArg1, CC BY 4.0) is not part of the project; see benchmarks/convarg.py.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.convarg import BESIDE, RATING, find_encoder, read_corpus
from benchmarks.report import Report, arguments

FOLDS = 4
PUBLISHED = "0.76 (BiLSTM), 0.78 (SVM)"
FROZEN = "0.72 (MiniLM, linear head)"
QUICK_SIDES, QUICK_STEPS_EPOCHS = 3, 2.0
SECONDS = 300


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=BESIDE)
    parser.add_argument("--encoder", default="", help="a folder with a Hugging Face encoder")
    parser.add_argument("--folds", type=int, nargs="*", default=list(range(FOLDS)))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("more", nargs="*", help="further options of the command, after --")
    options = parser.parse_args()
    corpus = read_corpus(options.data)
    topics = sorted({row["topic"] for row in corpus["completions"]})
    report = Report("reward_convarg", options.quick)
    results = []
    for fold in options.folds[:1] if options.quick else options.folds:
        held_out = topics[fold * FOLDS : (fold + 1) * FOLDS]
        learnt = [topic for topic in topics if topic not in held_out]
        if options.quick:
            learnt, held_out = learnt[:QUICK_SIDES], held_out[:1]
        results.append(run(corpus, learnt, held_out, options))
        _say(report, fold, results[-1])
    _judge(report, results)
    report.show()
    if options.json:
        report.write(options.json)


def run(
    corpus: dict[str, list[dict[str, Any]]], learnt: list[str], held_out: list[str], options: Any
) -> dict[str, Any]:
    """The report of one fold."""
    with tempfile.TemporaryDirectory(prefix="prefloop-convarg-") as name:
        folder = Path(name)
        _write(folder / "votes.jsonl", votes_of(corpus, learnt))
        _write(folder / "strict.jsonl", strict_pairs_of(corpus, held_out))
        command = [
            *(sys.executable, "-m", "worker.main", "reward"),
            *("--preferences", str(folder / "votes.jsonl")),
            *("--eval", str(folder / "strict.jsonl")),
            *("--base-model", options.encoder or find_encoder()),
            *("--out", str(folder / "reward"), "--json", str(folder / "report.json")),
            *("--seed", str(options.seed), "--threads", str(options.threads)),
            *("--device", "cpu", "--progress", "none"),
            *(("--epochs", str(QUICK_STEPS_EPOCHS)) if options.quick else ()),
            *options.more,
        ]
        threads = {"OMP_NUM_THREADS": str(options.threads)}
        subprocess.run(command, check=True, env={**os.environ, **threads})
        return dict(json.loads((folder / "report.json").read_text("utf-8")))


def votes_of(
    corpus: dict[str, list[dict[str, Any]]], topics: Iterable[str]
) -> Iterable[dict[str, Any]]:
    """One preference line for each vote; one that found both equal says so of either order."""
    texts = {row["id"]: row for row in corpus["completions"]}
    pairs = {row["id"]: row for row in corpus["pairs"] if row["topic"] in topics}
    for vote in corpus["votes"]:
        pair = pairs.get(vote["pair"])
        if pair is None or texts[pair["a"]]["text"] == texts[pair["b"]]["text"]:
            continue
        rating = RATING.get(vote["choice"], 4)
        line = _line(texts, pair, is_first=rating < 5)
        yield {
            **line,
            "rating": rating,
            "annotator": vote["annotator"],
            "is_about_equal": vote["choice"] == "equal",
        }


def strict_pairs_of(
    corpus: dict[str, list[dict[str, Any]]], topics: Iterable[str]
) -> Iterable[dict[str, Any]]:
    """One line for each pair whose published answer is a side."""
    texts = {row["id"]: row for row in corpus["completions"]}
    for pair in corpus["pairs"]:
        if pair["topic"] in topics and pair["published_gold"] in ("a1", "a2"):
            yield _line(texts, pair, is_first=pair["published_gold"] == "a1")


def _line(texts: dict[str, Any], pair: dict[str, Any], *, is_first: bool) -> dict[str, Any]:
    chosen, rejected = (pair["a"], pair["b"]) if is_first else (pair["b"], pair["a"])
    return {
        "prompt": texts[chosen]["prompt"],
        "chosen": texts[chosen]["text"],
        "rejected": texts[rejected]["text"],
        "group": pair["topic"],
        "pair": pair["id"],
    }


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def _say(report: Report, fold: int, result: dict[str, Any]) -> None:
    figures = result["eval"]
    said = {
        "strict pairs judged": figures["n"],
        "votes learnt from": result["n_train"],
        "accuracy": figures["accuracy"],
        "standard error, pairs taken as independent": figures["standard_error"],
        "the longer one wins (reference)": figures["longer_wins"],
        "log-loss": figures["log_loss"],
        "ECE as trained": figures["ece"],
        "ECE scaled": figures["ece_scaled"],
        "ECE of an honest model, by chance": figures["ece_scaled_by_chance"],
        "temperature": figures["temperature"],
        "epochs": result["configuration"]["epochs"],
        "loss": result["configuration"]["loss"],
        "seconds": result["seconds"],
    }
    report.figures.update({f"fold {fold}: {name}": value for name, value in said.items()})
    print(f"fold {fold}: {said}", flush=True)


def _judge(report: Report, results: list[dict[str, Any]]) -> None:
    """Targets over all strict pairs of the folds; a quick run is too small to meet or miss them."""
    n = sum(result["eval"]["n"] for result in results)

    def mean(field: str) -> float:
        return float(sum(one["eval"]["n"] * one["eval"][field] for one in results) / n)

    report.figures.update(
        {
            "the longer one wins, all folds (reference)": mean("longer_wins"),
            "ECE of an honest model, by chance, all folds": mean("ece_scaled_by_chance"),
            "published, whole corpus": PUBLISHED,
            "frozen encoder, for comparison": FROZEN,
        }
    )
    is_judged = not report.is_quick and len(results) == FOLDS
    report.at_least("accuracy on unseen sides", mean("accuracy"), 0.80, is_judged=is_judged)
    report.at_most("ECE after scaling", mean("ece_scaled"), 0.03, is_judged=is_judged)
    report.at_most(
        "seconds, the slowest fold",
        max(result["seconds"] for result in results),
        SECONDS,
        is_judged=is_judged,
    )


if __name__ == "__main__":
    main()
