"""The demonstration as people run it: one command, the whole loop, figures and a picture."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.demo.command import mean_by_step
from worker.demo.measure import Mean
from worker.demo.picture import Curve, draw, ticks
from worker.demo.report import Round, as_table
from worker.demo.settings import DemoSettings

REPOSITORY = Path(__file__).resolve().parents[2]


def a_round(before: float, after: float, predicted: float) -> Round:
    return Round(
        number=1,
        true_before=Mean(before, 100, 0.05),
        true_after=Mean(after, 100, 0.05),
        predicted_before=0.0,
        predicted_after=predicted,
        kl=3.2,
        reward_accuracy=0.7,
        n_comparisons=1500,
        seconds=60.0,
        alarms=[],
    )


def test_a_rise_counts_only_beyond_twice_the_noise_of_the_difference() -> None:
    assert a_round(0.0, 0.15, 1.0).has_risen
    assert not a_round(0.0, 0.14, 1.0).has_risen


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (a_round(0.5, 1.5, 1.0), "rose by more than its noise"),
        (a_round(0.5, -1.5, 1.0), "over-optimised"),
        (a_round(0.5, 0.5, 1.0), "did not move"),
    ],
)
def test_the_table_says_what_happened(one: Round, words: str) -> None:
    assert words in as_table(one)


def test_the_picture_holds_its_sentence_and_every_curve() -> None:
    curves = [
        Curve("true reward", [(0, 0.5), (30, 1.5)], "#1c1d20"),
        Curve("predicted", [(0, 0.0), (30, 2.0)], "#5a3fd0", is_dashed=True),
    ]
    svg = draw("It <rises>", "KL 0.1", curves)
    assert "It &lt;rises&gt;" in svg
    assert svg.count("<polyline") == 2
    assert "stroke-dasharray" in svg


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-18, 4), (0.001, 0.002), (-3, -2.9), (0, 30), (5, 5)]
)
def test_ticks_are_few_and_within_the_axis(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert len(marks) <= 12
    assert all(low <= mark <= high for mark in marks)
    assert len(marks) >= 2 or low == high


def test_samples_become_true_and_predicted_means_by_step(tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    row = {"prompt": [{"role": "user", "content": "What is at the harbour?"}], "is_finished": True}
    rows = [
        row | {"step": 0, "completion": "Go away.", "score": -1.0},
        row | {"step": 10, "completion": "Many love the boats here.", "score": 1.0},
        row | {"step": 10, "completion": "Many love the gulls here.", "score": 2.0},
    ]
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    means = mean_by_step(file)
    assert means[0] == (-1.5, -1.0)
    assert means[10] == (1.0, 1.5)


@pytest.mark.slow
def test_one_round_of_the_demonstration_raises_the_true_reward(tmp_path: Path) -> None:
    report, picture = tmp_path / "demo.json", tmp_path / "demo.svg"
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | {
        "PREFLOOP_DATA": str(tmp_path / "data")
    }
    command = [sys.executable, "-m", "app.cli", "demo", "--rounds", "1", "--seed", "3"]
    done = subprocess.run(
        [*command, "--json", str(report), "--picture", str(picture)],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    only = json.loads(report.read_text())["rounds"][0]
    before, after = only["true_reward"]["before"], only["true_reward"]["after"]
    noise = (before["standard_error"] ** 2 + after["standard_error"] ** 2) ** 0.5
    assert after["mean"] - before["mean"] > 2 * noise
    assert only["predicted_reward"]["after"] > only["predicted_reward"]["before"]
    assert only["reward_accuracy"] > 0.5
    # Every pair is answered, and a prompt's last completions may make a few more than were asked.
    asked = DemoSettings().comparisons_per_round
    assert asked <= only["n_comparisons"] < asked + 10
    assert only["kl"] > 0
    assert picture.read_text().startswith("<svg")
    assert "Round 1" in done.stdout
