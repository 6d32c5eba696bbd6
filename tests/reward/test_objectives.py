"""Two objectives: what flags say of pairs, heads on one trunk, and both as one score."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from app.errors import Invalid
from tests.reward.test_strength_and_length import train
from tests.reward.worlds import basket, write_lines
from worker.errors import TrainerError
from worker.main import build_app
from worker.reward.combine import Rule, combine, safety_first, weighted
from worker.reward.data import read_preferences
from worker.reward.marks import need_flag, rows_by_flag
from worker.reward.panel import Combination, Panel, combination_of
from worker.reward.side_heads import FILE, SideHeads
from worker.runtime import start_runtime


def test_safety_decides_below_its_threshold_and_helpfulness_above() -> None:
    helpful, safe = torch.tensor([2.0, 2.0, -1.0]), torch.tensor([-3.0, 1.0, 4.0])
    # P(safe) is 0.047, 0.73 and 0.98; the threshold 0.15 is −1.73 in log-odds.
    assert safety_first(helpful, safe, 0.15).tolist() == [-3.0, 2.0, -1.0]
    is_risky = torch.tensor([False, True, False])
    assert safety_first(helpful, safe, 0.15, is_risky).tolist() == [-3.0, 1.0, -1.0]
    assert weighted(helpful, safe, 0.5).tolist() == [0.5, 2.5, 1.0]
    assert combine(helpful, safe, Rule.WEIGHTS, threshold=0.15, weight=0.0).equal(helpful)


def test_scores_of_another_shape_are_refused_and_never_broadcast() -> None:
    with pytest.raises(ValueError, match="one length"):
        weighted(torch.zeros(3), torch.zeros(3, 1), 1.0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        safety_first(torch.zeros(3), torch.zeros(3), 1.0)
    with pytest.raises(TrainerError, match="combined by llama2 or weights"):
        combination_of("mean", 0.15, 1.0, None)


def flagged(n: int, seed: int = 0) -> list[dict[str, object]]:
    """Fruit is helpful; the word “poison” is flagged as harmful; fruit is rated as `taste`."""
    stream, lines = random.Random(seed), []
    for number in range(n):
        counts = sorted(stream.sample(range(5), 2), reverse=True)
        bad = [stream.random() < 0.4 for _ in counts]
        texts = [
            " ".join([basket(count, stream), *(["poison"] if is_bad else ["water"])])
            for count, is_bad in zip(counts, bad, strict=True)
        ]
        flags = [
            {"key": "harmful", "scope": "completion", "side": side, "value": is_bad}
            for side, is_bad in zip("AB", bad, strict=True)
        ]
        lines.append(
            {
                "prompt": f"fill basket {number % 25}",
                "chosen": texts[0],
                "rejected": texts[1],
                "chosen_side": "A",
                "rating": 5 - (counts[0] - counts[1]),
                "flags": flags,
                "chosen_attributes": {"taste": counts[0]},
                "rejected_attributes": {"taste": counts[1]},
            }
        )
    return lines


def test_a_flag_says_which_of_two_completions_is_the_safer_one(tmp_path: Path) -> None:
    rows = read_preferences(write_lines(tmp_path / "lines", flagged(60)))
    safer = rows_by_flag(rows, "harmful")
    assert 10 < len(safer) < 60
    for row in safer:
        assert "water" in row.chosen[0]["content"]
        assert "poison" in row.rejected[0]["content"]
        assert dict(row.marks[0])["harmful"] < dict(row.marks[1])["harmful"]
    assert rows_by_flag(rows, "+harmful")[0].chosen == safer[0].rejected
    with pytest.raises(TrainerError, match="tells the completions of no pair apart"):
        need_flag(rows, "rude")
    broken = flagged(1)[0] | {"chosen_attributes": {"taste": "sweet"}}
    with pytest.raises(Invalid, match="object of numbers"):
        read_preferences(write_lines(tmp_path / "broken", [broken]))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A helpful model with side heads in a/out, and a safety model of its own in b/out."""
    folder = tmp_path_factory.mktemp("objectives")
    lines = flagged(300)
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    train(folder / "a", lines, epochs=6.0, safety_flag="harmful", attributes="taste, rare")
    train(folder / "b", lines, epochs=6.0, flag="harmful", objective="safety")
    return folder


PAIR = [
    [{"role": "user", "content": "fill basket 3"}, {"role": "assistant", "content": text}]
    for text in ("apple pear plum cherry poison", "apple pear plum cherry water")
]


def test_a_safety_model_and_a_safety_head_on_one_trunk_tell_poison(models: Path) -> None:
    runtime = start_runtime(0, "cpu", threads=1)
    helpful, out = str(models / "a" / "out"), models / "b" / "out"
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    assert manifest["objective"] == "safety"
    assert manifest["configuration"]["flag"] == "harmful"
    assert manifest["metrics"]["eval"]["accuracy"] > 0.9
    for how in (Combination(model=str(out)), Combination()):
        _, safe = Panel(helpful, runtime, how).both(PAIR)
        assert float(safe[1] - safe[0]) > 1
    alone = Panel(helpful, runtime, None)
    own = alone.scores(PAIR) / alone.first.temperature
    again, _ = Panel(helpful, runtime, Combination()).both(PAIR)
    torch.testing.assert_close(own, again, atol=1e-4, rtol=1e-4)
    with pytest.raises(TrainerError, match="no head for safety"):
        Panel(str(out), runtime, Combination())


def test_attributes_have_heads_where_enough_people_spoke_of_them(models: Path) -> None:
    out = models / "a" / "out"
    heads = SideHeads.load(out)
    assert heads is not None
    assert heads.names == ("safety", "taste")
    report = json.loads((out / "manifest.json").read_text("utf-8"))["metrics"]["side_heads"]
    assert report["taste"]["correlation"] > 0.6
    assert report["safety"]["accuracy"] > 0.8
    assert FILE in json.loads((out / "manifest.json").read_text("utf-8"))["files"]


def test_two_objectives_are_judged_alone_and_together_by_people_and_by_the_flag(
    models: Path, tmp_path: Path
) -> None:
    data, report = write_lines(tmp_path / "held.jsonl", flagged(80, seed=9)), tmp_path / "r.json"
    words = ["evaluate", "--reward-model", str(models / "a" / "out"), "--data", str(data)]
    words += ["--json", str(report), "--threads", "1", "--device", "cpu", "--progress", "none"]
    second = ["--safety-model", str(models / "b" / "out"), "--flag", "harmful"]

    def judge(*how: str) -> dict[str, Any]:
        told = [*words, *second, *how]
        done = CliRunner().invoke(build_app("evaluate"), told, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(report.read_text("utf-8"))
        return found

    summed = judge("--combine", "weights", "--safety-weight", "4")
    people, flag = summed["alone"], summed["by_flag"]
    assert people["helpfulness"]["score"] > people["safety"]["score"]
    assert flag["safety"]["score"] > 0.9
    assert flag["together"]["score"] > flag["helpfulness"]["score"] + 0.1
    assert summed["decided"] is None
    found = judge("--safety-threshold", "0.5")
    assert found["alone"] == people
    assert 0 < found["decided"]["n"] < found["decided"]["of"] == 160
    assert found["n_changed"] >= len(found["changed"]) > 0
    first = found["changed"][0]["sides"]
    assert first[1]["safe"] > first[0]["safe"]


def test_pairs_are_ranked_by_both_objectives(models: Path, tmp_path: Path) -> None:
    texts = [one[1]["content"] for one in PAIR]
    pairs = write_lines(
        tmp_path / "pairs",
        [{"id": "1", "prompt": PAIR[0][:1], "a": texts[0], "b": texts[1]}],
    )
    words = ["--pairs", str(pairs), "--reward-model", str(models / "a" / "out"), "--threads", "1"]
    words += ["--answered", str(models / "a" / "lines"), "--device", "cpu", "--progress", "none"]
    chances = []
    for number, more in enumerate(([], ["--safety-head", "--combine", "weights"])):
        out = tmp_path / f"{number}.jsonl"
        told = ["select", *words, "--out", str(out), *more]
        done = CliRunner().invoke(build_app("select"), told, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        chances.append(json.loads(out.read_text("utf-8"))["probability"])
    assert chances[1] > max(0.7, chances[0])
