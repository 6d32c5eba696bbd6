"""Whom and what to believe: agreement, reliability, verdicts and bias against a known truth.

People are simulated (`benchmarks.people`), and real ones are read where their votes lie beside the
project as `../shared/data/convarg` (UKPConvArg1, CC BY 4.0; name another folder with `--data`).
Nothing is fitted to the truth it is judged by. A flag is any one evidence that is flagged.
"""

import gzip
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.agree.alpha import Level, alpha
from app.agree.answers import Answers, tally
from app.agree.bias import drift, length_effect
from app.agree.evidence import position
from app.agree.intervals import item_interval
from app.agree.logistic import logistic, sigmoid
from app.agree.reliability import copying, reliability
from app.agree.scrutiny import scrutinise
from app.agree.stream import AgreementState
from app.agree.verdict import three_way, verdicts
from benchmarks.people import World, world
from benchmarks.report import Report, arguments

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data" / "convarg"
MIXED = ("random", "straight", "left")
SCALE = np.arange(1.0, 9)
CHOICES = {"a": 0, "equal": 1, "b": 2}
GOLD = {"a1": 0, "a2": 2}
VOTES_TO_JUDGE = 50


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=BESIDE)
    options = parser.parse_args()
    report = Report("agreement", options.quick)
    seeds = 5 if options.quick else 40
    measure_coverage(report, 40 if options.quick else 300)
    measure_flags(report, seeds)
    measure_length(report, seeds)
    measure_position(report, 10 * seeds)
    measure_drift(report, 5 * seeds)
    measure_reliability(report, seeds)
    measure_training(report, seeds)
    measure_verdicts(report, seeds)
    measure_million(report)
    measure_votes(report, options.data)
    report.show()
    if options.json:
        report.write(options.json)


def measure_coverage(report: Report, runs: int) -> None:
    """The item interval against the alpha of the same twenty people on 100,000 other items."""

    def counts(seed: int, n_items: int) -> NDArray[np.int64]:
        drawn = world(seed, n_items * 3 // 20, people_seed=7)
        return tally(drawn.answers).astype(np.int64)

    truth = alpha(counts(0, 100_000))
    covered, widths = 0, []
    for seed in range(1, runs + 1):
        found = item_interval(counts(seed, 400), Level.ORDINAL, SCALE, seed=seed)
        if truth is not None and found.low is not None and found.high is not None:
            covered += found.low <= truth <= found.high
            widths.append(found.high - found.low)
    report.figures["item interval: mean width"] = float(np.mean(widths))
    report.at_least(f"coverage of the item interval, {runs} runs", covered / runs, 0.90)


def measure_flags(report: Report, seeds: int) -> None:
    for n, recall, precision in ((50, 0.85, 0.90), (100, 0.95, 0.85)):
        found = flag(MIXED, n, seeds)
        report.at_least(f"mixed spammers, {n} answers: recall", found.recall, recall)
        report.at_least(f"mixed spammers, {n} answers: precision", found.precision, precision)
    for n in (30, 50, 100, 200):
        found = flag((), n, seeds)
        report.at_most(f"nobody bad, {n} answers: flagged", found.false_rate, 0.02)
    for name, bad in (
        ("three random", ("random",) * 3),
        ("two inverted, one random", ("inverted", "inverted", "random")),
        ("six random", ("random",) * 6),
        ("three half-effort", ("half",) * 3),
    ):
        found = flag(bad, 100, seeds)
        figures = f"recall {found.recall:.2f}, precision {found.precision:.2f}"
        report.figures[f"{name}, 100 answers"] = figures


@dataclass(frozen=True)
class Flagged:
    recall: float
    precision: float
    false_rate: float


def flag(bad: Sequence[str], n_each: int, seeds: int) -> Flagged:
    hits = misses = wrong = honest = 0
    for seed in range(seeds):
        drawn = world(1_000 + seed, n_each, bad)
        is_flagged = np.array(
            [any(one.is_flagged for one in person) for person in scrutinise(drawn.answers)]
        )
        hits += int((is_flagged & drawn.is_bad).sum())
        misses += int((~is_flagged & drawn.is_bad).sum())
        wrong += int((is_flagged & ~drawn.is_bad).sum())
        honest += int((~drawn.is_bad).sum())
    return Flagged(hits / max(hits + misses, 1), hits / max(hits + wrong, 1), wrong / honest)


def measure_length(report: Report, seeds: int) -> None:
    """Quality and length correlate at .3; 2,000 answers in clusters of about five."""
    injected = [_length(seed, 0.4) for seed in range(5 * seeds)]
    none = [_length(10_000 + seed, 0.0) for seed in range(5 * seeds)]
    mean = float(np.mean([one.effect.coefficient for one in injected]))
    covered = np.mean([one.effect.low <= 0.4 <= one.effect.high for one in injected])
    report.figures["length effect 0.4: mean found"] = mean
    report.figures["length effect 0: mean of the naive coefficient"] = float(
        np.mean([one.naive for one in none])
    )
    report.at_most("length effect 0.4: mean is off by", abs(mean - 0.4), 0.05)
    report.at_least("length effect 0.4: interval covers", float(covered), 0.90)
    alarms = float(np.mean([one.is_alarming for one in none]))
    report.at_most("no length effect: flagged", alarms, 0.02)
    report.figures["no length effect: interval off zero"] = float(
        np.mean([one.effect.is_clear for one in none])
    )
    noisy = [_length(20_000 + seed, 0.4, noise=0.5).effect.coefficient for seed in range(seeds)]
    report.figures["length effect 0.4, quality known with noise .5"] = float(np.mean(noisy))


def _length(seed: int, effect: float, *, noise: float = 0.0, n: int = 2_000) -> Any:
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=n)
    length = 0.3 * quality + np.sqrt(1 - 0.3**2) * rng.normal(size=n)
    chosen = (rng.random(n) < sigmoid(quality + effect * length)).astype(float)
    seen = quality + noise * rng.normal(size=n)
    return length_effect(chosen, length, seen, rng.integers(0, n // 5, n), seed=seed)


def measure_position(report: Report, seeds: int) -> None:
    """Twenty people with 400 answers each; in half of the worlds one chooses left 6 in 10."""
    found, innocent, null = [], [], []
    for seed in range(seeds):
        one = [evidence.is_flagged for evidence in position(_sided(seed, 0.60))]
        found.append(one[0])
        innocent.extend(one[1:])
        null.extend(one.is_flagged for one in position(_sided(50_000 + seed, 0.5)))
    report.at_least("position .60 at 400 answers: found", float(np.mean(found)), 0.8)
    report.at_most("nobody has a position: flagged", float(np.mean(null)), 0.01)
    report.figures["position .60: others flagged"] = float(np.mean(innocent))


def _sided(seed: int, share: float, n_people: int = 20, n_each: int = 400) -> Answers:
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(n_people), n_each)
    shares = np.where(people == 0, share, 0.5)
    is_left = rng.random(len(people)) < shares
    shown = np.where(is_left, rng.integers(0, 4, len(people)), rng.integers(4, 8, len(people)))
    is_flipped = rng.random(len(people)) < 0.5
    choices = np.where(is_flipped, 7 - shown, shown)
    return Answers(np.arange(len(people)), people, choices, is_flipped, len(people), n_people)


def measure_drift(report: Report, seeds: int) -> None:
    """Twenty people with 400 answers each; in half of the worlds one comes to follow the model."""
    found, null = [], []
    for seed in range(seeds):
        found.append(drifting(seed, 1.5)[0])
        null.extend(drifting(60_000 + seed, 0.0))
    report.at_most("nobody drifts to the reward model: flagged", float(np.mean(null)), 0.02)
    report.figures["odds of siding with it grow 4.5 times in 400 answers: found"] = float(
        np.mean(found)
    )


def drifting(seed: int, growth: float, n_people: int = 20, n_each: int = 400) -> list[bool]:
    """Who is flagged where the first one's log-odds grow by `growth` from first to last answer."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(n_people), n_each)
    order = np.tile(np.arange(float(n_each)), n_people)
    margin = rng.normal(size=len(people))
    logit = 0.2 + 0.8 * np.abs(margin) + np.where(people == 0, growth * order / n_each, 0)
    is_with = (rng.random(len(people)) < sigmoid(logit)).astype(float)
    return [one.is_flagged for one in drift(people, order, is_with, margin, n_people)]


def measure_reliability(report: Report, seeds: int) -> None:
    """Five random of twenty told apart without overlap; and who reads every other pair, with it."""
    for n in (15, 50, 150):
        areas = []
        for seed in range(min(seeds, 20)):
            drawn = world(2_000 + seed, n, ("random",) * 5, overlap=1)
            means = reliability(drawn.answers, drawn.features).mean
            bad, good = means[drawn.is_bad], means[~drawn.is_bad]
            areas.append(float((bad[:, None] < good[None, :]).mean()))
        report.figures[f"no overlap, {n} answers each: AUC of reliability"] = float(np.mean(areas))
    for n in (50, 100, 300):
        halves, covered = [], []
        for seed in range(min(seeds, 20)):
            found = reliability(world(6_000 + seed, n, ("half",) * 3).answers)
            halves.extend(found.mean[:3])
            covered.extend((found.low[:3] <= 0.5) & (found.high[:3] >= 0.5))
        name = f"half-effort, {n} answers: mean reliability, interval covers .5"
        report.figures[name] = f"{np.mean(halves):.2f}, {np.mean(covered):.2f}"


def measure_training(report: Report, seeds: int) -> None:
    """What the weights are for: a reward model from 900 answers without overlap."""
    for name, bad, bound in (("15% spammers", MIXED, 0.01), ("no spammer", (), -0.003)):
        gains = []
        for seed in range(seeds):
            drawn = world(3_000 + seed, 45, bad, overlap=1)
            weights = reliability(drawn.answers, drawn.features).weights
            gains.append(
                held_out_accuracy(drawn, weights, seed)
                - held_out_accuracy(drawn, np.ones(len(weights)), seed)
            )
        report.at_least(f"weights gain accuracy, {name}", float(np.mean(gains)), bound)


def held_out_accuracy(drawn: World, weights: NDArray[np.float64], seed: int) -> float:
    """Of a linear Bradley-Terry model with unit prior, on the truly better side of new pairs."""
    given = drawn.features[drawn.answers.pairs]
    is_b = (drawn.answers.choices >= 4).astype(float)
    direction = np.linalg.lstsq(drawn.features, drawn.utility, rcond=None)[0]
    fresh = np.random.default_rng(90_000 + seed).normal(size=(4_000, given.shape[1]))
    learned = logistic(given, is_b, ridge=1.0, weights=weights).coefficients
    return float(((fresh @ learned > 0) == (fresh @ direction > 0)).mean())


def measure_verdicts(report: Report, seeds: int) -> None:
    """Five answers a pair, people who differ on one pair in ten, three spammers of twenty."""
    hit, wrong, ours, votes = [], [], [], []
    for seed in range(min(seeds, 20)):
        drawn = world(4_000 + seed, 150, MIXED, overlap=5, diverging=0.1)
        rows = drawn.answers
        held = _last_honest(drawn)
        rest = Answers(
            rows.pairs[~held],
            rows.people[~held],
            rows.choices[~held],
            rows.is_flipped[~held],
            rows.n_pairs,
            rows.n_people,
        )
        found = verdicts(rest, reliability(rest))
        is_split = _both_camps(rest, drawn)
        hit.append(found.is_diverging[is_split].mean())
        wrong.append(found.is_diverging[~drawn.is_diverging].mean())
        at = rows.pairs[held], rows.choices[held]
        ours.append(-np.log(found.posterior[at]).mean())
        counts = tally(rest) + 0.5
        votes.append(-np.log((counts / counts.sum(axis=1, keepdims=True))[at]).mean())
    report.figures["diverging pairs with both camps asked: called so"] = float(np.mean(hit))
    report.figures["other pairs: called diverging"] = float(np.mean(wrong))
    report.figures["log loss of a new reader's rating: verdict"] = float(np.mean(ours))
    report.figures["log loss of a new reader's rating: vote shares"] = float(np.mean(votes))


def _last_honest(drawn: World) -> NDArray[np.bool_]:
    """The last answer of each pair, where a reader gave it: held out, [M]."""
    is_last = np.arange(len(drawn.answers.pairs)) % 5 == 4
    return is_last & ~drawn.is_bad[drawn.answers.people]


def _both_camps(answers: Answers, drawn: World) -> NDArray[np.bool_]:
    """Diverging pairs where honest answers stand on both sides, so that it can be seen, [N]."""
    is_honest = ~drawn.is_bad[answers.people]
    on_b = np.bincount(answers.pairs, is_honest & (answers.choices >= 4), answers.n_pairs)
    on_a = np.bincount(answers.pairs, is_honest & (answers.choices < 4), answers.n_pairs)
    return drawn.is_diverging & (on_a >= 1) & (on_b >= 1)


def measure_million(report: Report) -> None:
    """A million ratings of 333,334 items: recomputed from arrays, and read from the state."""
    rng = np.random.default_rng(0)
    n = 333_334
    felt = rng.normal(size=(n, 1)) + 0.65 * rng.normal(size=(n, 3))
    choices = np.clip(np.floor(4 + 1.6 * felt), 0, 7).astype(np.int64)
    pairs = np.repeat(np.arange(n), 3)
    rows = Answers(pairs, pairs % 50, choices.ravel(), pairs % 2 == 0, n, 50)
    started = time.perf_counter()
    state = AgreementState.recomputed(tally(rows).astype(np.int64))
    state.read()
    report.at_most("a million ratings: recompute all, s", time.perf_counter() - started, 5.0)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        state.read()
        seconds.append(time.perf_counter() - started)
    report.at_most("a million ratings: slowest of five reads, ms", 1_000 * max(seconds), 300)
    counts, n_added = np.zeros((10_000, 8), dtype=np.int64), 30_000
    streamed = AgreementState.empty()
    started = time.perf_counter()
    for number, choice in enumerate(rows.choices[:n_added]):
        streamed.add(counts[number // 3], int(choice))
    report.figures["one more answer into the state, µs"] = (
        (time.perf_counter() - started) / n_added * 1e6
    )
    batch = AgreementState.recomputed(counts).read().alpha or 0.0
    report.at_most("streamed less batch alpha", abs((streamed.read().alpha or 0.0) - batch), 1e-9)


def measure_votes(report: Report, folder: Path) -> None:
    """Real people: three choices, five votes a pair, and the authors' own answers beside."""
    if not (folder / "votes.jsonl.gz").exists():
        report.figures["real votes"] = f"left out: {folder} holds no votes.jsonl.gz; use --data"
        return
    votes, pairs = _read_lines(folder / "votes.jsonl.gz"), _read_lines(folder / "pairs.jsonl.gz")
    rows, names = as_answers(votes, pairs)
    started = time.perf_counter()
    model = copying(rows)
    posterior = three_way(rows, model)
    report.figures["real votes: seconds for answers and reliability"] = (
        time.perf_counter() - started
    )
    gold = np.array([GOLD.get(pair["published_gold"], -1) for pair in pairs])
    strict = gold >= 0
    right = posterior.argmax(axis=1) == gold
    counts = tally(rows)
    is_top = counts == counts.max(axis=1, keepdims=True)
    plural = (is_top / is_top.sum(axis=1, keepdims=True))[np.arange(len(gold)), gold]
    report.figures["real votes: pairs with a strict published answer"] = int(strict.sum())
    report.figures["real votes: plurality, ties by lot"] = float(plural[strict].mean())
    report.at_least("real votes: aggregated as published", float(right[strict].mean()), 0.955)
    _judge_people(report, rows, model.mean, _competence(votes, names))


def as_answers(
    votes: list[dict[str, Any]], pairs: list[dict[str, Any]]
) -> tuple[Answers, dict[str, int]]:
    """The votes as answers, and the number of each annotator. The order shown is not known."""
    where = {pair["id"]: number for number, pair in enumerate(pairs)}
    names: dict[str, int] = {}
    people = np.array([names.setdefault(vote["annotator"], len(names)) for vote in votes])
    rows = Answers(
        np.array([where[vote["pair"]] for vote in votes]),
        people,
        np.array([CHOICES[vote["choice"]] for vote in votes]),
        np.zeros(len(votes), dtype=bool),
        len(pairs),
        len(names),
        n_choices=3,
    )
    return rows, names


def _competence(votes: list[dict[str, Any]], names: dict[str, int]) -> NDArray[np.float64]:
    found = np.zeros(len(names))
    for vote in votes:
        found[names[vote["annotator"]]] = vote["published_competence"]
    return found


def _judge_people(
    report: Report,
    rows: Answers,
    own: NDArray[np.float64],
    published: NDArray[np.float64],
) -> None:
    n = rows.n_by_person
    others = tally(rows)[rows.pairs]  # [M, 3]
    others[np.arange(len(rows.pairs)), rows.choices] -= 1
    same = others[np.arange(len(rows.pairs)), rows.choices] / others.sum(axis=1)
    plain = np.bincount(rows.people, same, rows.n_people) / n
    busy = n >= VOTES_TO_JUDGE
    report.figures["real votes: annotators with 50 or more"] = int(busy.sum())
    bar = rank_correlation(plain[busy], published[busy])
    report.figures["real votes: leave-one-out agreement, rank correlation"] = bar
    ours = rank_correlation(own[busy], published[busy])
    report.at_least("real votes: own reliability, rank correlation", ours, bar)


def rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's, with mean ranks for ties."""
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, which, times = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(times) - (times - 1) / 2
    return np.asarray(middle[which])


def _read_lines(file: Path) -> list[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()
