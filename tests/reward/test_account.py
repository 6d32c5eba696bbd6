"""What is said of a reward model beside its accuracy: curve, features, people's own agreement."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.reward.worlds import fruit_preferences, write_lines
from worker.reward.account import calibration_curve, feature_gaps, give_account, people_agreement
from worker.reward.card import limits_of, write_card
from worker.reward.data import Preference
from worker.reward.evaluate import evaluate, expected_calibration_error
from worker.reward.features import features_of
from worker.reward.growth import describe, fit_power_law
from worker.reward.judge import write_judgements


def row(chosen: str, rejected: str, prompt: str = "?", **more: object) -> Preference:
    one, two = ({"role": "assistant", "content": text} for text in (chosen, rejected))
    return Preference(({"role": "user", "content": prompt},), (one,), (two,), **more)  # type: ignore[arg-type]


def random_rows(n: int, seed: int = 0) -> tuple[list[Preference], np.ndarray]:
    """Pairs whose lengths differ at random, and (log-)length differences, longer less shorter."""
    stream = np.random.default_rng(seed)
    rows = []
    for index in range(n):
        texts = [("word " * stream.integers(1, 40)).strip() for _ in range(2)]
        rows.append(row(*texts, prompt=str(index), strength=float(stream.integers(1, 5))))
    words = [len(r.chosen[0]["content"].split()) - len(r.rejected[0]["content"].split())
             for r in rows]  # fmt: skip
    return rows, np.sign(words) * np.log1p(np.abs(words))


def test_formats_are_counted_and_nothing_else_is() -> None:
    text = (
        "# Title\n\nGreat question! You're right.\n\n- one\n2. **two**\n\n```\n# no\n```\n3.5 a - b"
    )
    found = features_of([{"role": "assistant", "content": text}])
    expected = {"list items": 2, "bold": 1, "code blocks": 1, "exclamation marks": 1}
    assert {name: found[name] for name in expected} == expected
    assert found["flattery"] == 2
    assert not any(features_of([{"role": "assistant", "content": "Plain - really."}])[name]
                   for name in found if name != "length")  # fmt: skip


def test_the_calibration_curve_holds_what_the_calibration_error_sums_up() -> None:
    margins = torch.randn(500, generator=torch.Generator().manual_seed(1)) + 0.3
    curve = calibration_curve(margins)
    gaps = [abs(one["accuracy"] - one["confidence"]) * one["n"] for one in curve]
    assert sum(gaps) / 500 == pytest.approx(expected_calibration_error(margins), abs=1e-6)
    assert sum(one["n"] for one in curve) == 500
    assert calibration_curve(torch.zeros(0)) == []


def test_a_model_that_likes_length_more_than_people_do_is_found_and_an_honest_one_is_not() -> None:
    rows, longer = random_rows(400)
    people = torch.tensor([r.strength - 0.5 for r in rows])
    noise = torch.randn(400, generator=torch.Generator().manual_seed(2))
    hacked = feature_gaps(rows, torch.tensor(longer) + noise)["length"]
    honest = feature_gaps(rows, people + noise)["length"]
    assert hacked["is_alarming"]
    assert hacked["low"] < hacked["gap"] < hacked["high"]
    assert not honest["is_alarming"]
    assert honest["low"] < 0 < honest["high"]
    assert feature_gaps(rows, people)["headings"]["gap"] is None
    assert feature_gaps([], torch.zeros(0)) == {}


def test_which_completion_is_named_first_changes_no_correlation() -> None:
    rows, longer = random_rows(60)
    margins = torch.tensor(longer)
    whole = feature_gaps(rows, margins)["length"]
    # Over both orders the plain correlation: the mean of every difference is 0.
    h = np.array([r.strength - 0.5 for r in rows])
    both = np.corrcoef(np.r_[longer, -longer], np.r_[h, -h])[0, 1]
    assert whole["people"] == pytest.approx(both)
    assert whole["model"] == pytest.approx(1.0)


def test_people_agree_as_often_as_a_second_person_takes_the_firsts_side() -> None:
    rows = [
        *(row("a", "b", strength=4), row("a", "b", strength=4), row("b", "a", strength=1)),
        *(row("c", "d", strength=2), row("c", "d", strength=1)),
        *(row("e", "f"), row("e", "f", is_tie=True), row("a", "b", prompt="another")),
    ]
    found = people_agreement(rows)
    assert found["n_pairs"] == 2
    # Pair a-b: 2 of the 6 ordered pairs of people agree; pair c-d: all.
    assert found["share"] == pytest.approx((1 / 3 + 1) / 2)
    assert found["by_strength"]["4"] == {"share": 0.5, "standard_error": None, "n_pairs": 1}
    assert found["by_strength"]["1"]["share"] == pytest.approx((0 + 1) / 2)
    assert people_agreement([])["share"] is None


def test_the_learning_curves_law_is_found_again_and_flat_curves_promise_nothing() -> None:
    sizes = np.array([50.0, 100, 200, 400, 800, 1600])
    a, b, c = fit_power_law(sizes, (0.85 - 0.9 * sizes**-0.4)[None])
    assert (a[0], b[0]) == (pytest.approx(0.85, abs=0.03), pytest.approx(0.9, abs=0.25))
    assert c[0] == pytest.approx(0.4, abs=0.08)
    a, b, _ = fit_power_law(sizes, np.linspace(0.8, 0.7, 6)[None])
    assert b[0] == 0


def test_the_next_doubling_is_worth_what_the_law_says_within_its_interval() -> None:
    stream = np.random.default_rng(0)
    right = {
        n: (stream.random((4, 400)) < 0.9 - 1.2 * n**-0.5).astype(float)
        for n in (25, 50, 100, 200, 400)
    }
    found = describe(right, 400, seed=0)
    truth = 1.2 * (400**-0.5 - 800**-0.5)
    doubling = found["doubling"]
    assert (doubling["from"], doubling["to"]) == (400, 800)
    assert doubling["low"] <= truth <= doubling["high"]
    assert all(one["low"] <= one["accuracy"] <= one["high"] for one in found["points"])


def test_the_account_joins_the_figures_and_the_card_says_them(tmp_path: Path) -> None:
    rows, longer = random_rows(200)
    rows = [r if i % 3 else row("x y", "z", str(i), flags=("rude",), annotator="amy")
            for i, r in enumerate(rows)]  # fmt: skip
    margins = torch.tensor(longer, dtype=torch.float32)
    figures = {
        **evaluate(rows, margins, torch.zeros_like(margins)),
        **give_account([], rows, margins),
    }
    assert figures["by_flag"]["rude"]["n"] == 67
    assert figures["by_annotator"]["amy"]["n"] == 67
    report = {
        "eval": figures, "n_train": 300, "n_truncated": 2, "data_hash": "ab" * 32,
        "code_commit": None, "configuration": {"base_model": "tiny", "loss": "scaled"},
    }  # fmt: skip
    write_card(tmp_path / "README.md", report)
    assert "Which loss" not in (tmp_path / "README.md").read_text("utf-8")
    one = {"log_loss": 0.6, "gain": 0.03, "gain_standard_error": 0.01}
    write_card(tmp_path / "README.md", {**report, "losses_tried": {"margin": one}})
    card = (tmp_path / "README.md").read_text("utf-8")
    for words in (
        "| margin | 0.600 | 0.030 ± 0.010 (standard error) |",
        "| length | ",
        "a second person agrees",
        "the ceiling is not known",
        "2 conversations lost",
        "Its taste differs",
    ):
        assert words in card
    assert len(limits_of(report)) == 5


def test_every_held_out_comparison_is_written_with_what_the_model_says_of_it(
    tmp_path: Path,
) -> None:
    rows = [row("a b", "a", annotator="amy", pair="7", strength=3.0), row("c", "d", is_tie=True)]
    write_judgements(tmp_path, rows, torch.tensor([0.0, -1.0]))
    first, second = map(json.loads, (tmp_path / "held_out.jsonl").read_text().splitlines())
    assert (first["pair"], first["annotator"], first["probability"]) == ("7", "amy", 0.5)
    assert first["features"]["length"] == 1
    assert second["is_tie"]
    assert second["margin"] == -1.0


def test_a_run_reports_its_pace_and_looks_at_held_out_comparisons_on_the_way(
    tmp_path: Path,
) -> None:
    from tests.reward.test_training import CONFIGURATION, run

    preferences = write_lines(tmp_path / "p.jsonl", fruit_preferences(240))
    report, progress = run(preferences, tmp_path / "out", CONFIGURATION)
    figures = [values for _, values in progress.steps]
    assert all(one["tokens_per_second"] > 0 and one["memory_mb"] > 0 for one in figures)
    assert figures[-1]["eval_accuracy"] == pytest.approx(report["eval"]["accuracy"])
    # Scores are brought to log-odds at the end, by comparisons that are not these.
    assert 0 < figures[-1]["eval_loss"] < figures[0].get("eval_loss", math.log(2))
    assert report["eval"]["log_loss"] < figures[-1]["eval_loss"] + 0.02
    curve = report["learning_curve"]
    sizes = [one["n"] for one in curve["points"]]
    assert sizes[-1] == report["n_train"]
    assert all(one == two // 2 for one, two in pairwise(sizes))
    assert "frozen features" in curve["method"]
    assert len((tmp_path / "out" / "held_out.jsonl").read_text().splitlines()) == report["n_eval"]
