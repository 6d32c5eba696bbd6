"""A thin slice of each benchmark of reward models, so that one does not break unseen."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import live, reward_answers, reward_convarg, reward_gpu
from benchmarks.report import Report


def targets(report: Report, folder: Path) -> dict[str, Any]:
    """Of the file that it writes, which holds JSON and nothing that only Python reads."""
    report.write(folder / "report.json")

    def refuse(word: str) -> None:
        pytest.fail(f"{word} is no JSON")

    written = json.loads((folder / "report.json").read_text("utf-8"), parse_constant=refuse)
    assert all(one.keys() == {"name", "target", "value", "met"} for one in written["targets"])
    return {one["name"]: one["met"] for one in written["targets"]}


def test_a_report_without_a_number_is_still_json(tmp_path: Path) -> None:
    report = Report("slice", is_quick=True, figures={"none": [float("nan")]})
    report.at_least("of nothing", float("nan"), 1.0)
    report.at_least("seen in passing", 0.0, 1.0, is_judged=False)
    assert targets(report, tmp_path) == {"of nothing": False, "seen in passing": None}


def test_answers_are_worth_something_in_every_way_of_using_them(tmp_path: Path) -> None:
    report = Report("reward_answers", is_quick=True)
    found = reward_answers.measure(0, reward_answers.SPAM["15%"])
    assert min(found.values()) > 0.6
    reward_answers.tell(report, "15%", [found])
    assert set(targets(report, tmp_path).values()) == {None}


def test_a_live_layer_is_timed_and_comes_near_the_batch(tmp_path: Path) -> None:
    report = Report("live", is_quick=True)
    live.speed(report, 4)
    live.nearness(report, 20)
    assert len(targets(report, tmp_path)) == 3


def test_votes_and_strict_pairs_of_a_debate_become_lines() -> None:
    texts = [{"id": one, "prompt": "Why?", "text": f"Because {one}."} for one in "ab"]
    pair = {"id": "p", "topic": "t", "a": "a", "b": "b", "published_gold": "a2"}
    votes = [
        {"pair": "p", "annotator": f"v{n}", "choice": one} for n, one in enumerate(("a", "equal"))
    ]
    corpus = {"completions": texts, "pairs": [pair], "votes": votes}
    one, other = reward_convarg.votes_of(corpus, ["t"])
    assert (one["chosen"], one["rating"], one["is_about_equal"]) == ("Because a.", 2, False)
    assert other["is_about_equal"]
    (strict,) = reward_convarg.strict_pairs_of(corpus, ["t"])
    assert strict["chosen"] == "Because b."
    assert list(reward_convarg.votes_of(corpus, ["another"])) == []


def test_without_a_card_its_benchmark_goes_its_way_on_a_small_network_and_judges_nothing(
    tmp_path: Path,
) -> None:
    size = replace(reward_gpu.SMALL, device="cpu")
    report = Report("reward_gpu", is_quick=True)
    seconds, how = reward_gpu.ours(size, tmp_path / "ours")
    assert "attention blocks" in how
    found = {"TRL best": [reward_gpu.trls(size, tmp_path / "trl")[0]], "ours": [seconds]}
    reward_gpu.tell(report, size, found, reward_gpu.matrix_rate(size))
    assert report.figures["ours: useful tokens a second"] > 0
    assert targets(report, tmp_path) == {reward_gpu.SPEED: None, reward_gpu.SHARE: None}
