"""A trained reward model says how sure it is: in its report, its folder, and for every score."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.reward.test_training import CONFIGURATION, run
from tests.reward.worlds import basket, fruit_preferences, write_lines
from worker.checkpoints import verify
from worker.main import build_app
from worker.progress import SilentProgress
from worker.reward.feature_store import FeatureStore
from worker.reward.reader import Reader
from worker.reward.uncertainty import FILE, MOST_DIMENSIONS, _basis, load
from worker.runtime import start_runtime


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model that learnt from 300 comparisons, with an ensemble of four heads."""
    place = tmp_path_factory.mktemp("doubt")
    preferences = write_lines(place / "preferences.jsonl", fruit_preferences(300))
    run(preferences, place / "out", replace(CONFIGURATION, epochs=2, ensemble=4))
    return place / "out"


def ask(folder: Path, lines: list[dict[str, object]], out: Path) -> list[dict[str, float]]:
    given = write_lines(out.with_name("completions.jsonl"), lines)
    arguments = ["--completions", given, "--reward-model", folder, "--out", out]
    arguments += ["--progress", "none", "--device", "cpu", "--threads", "1"]
    answer = CliRunner().invoke(build_app("score"), ["score", *map(str, arguments)])
    assert answer.exit_code == 0, answer.output
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_the_report_and_the_folder_hold_what_is_not_known(folder: Path) -> None:
    assert verify(folder) == []
    manifest = json.loads((folder / "manifest.json").read_text())
    assert FILE in manifest["files"]
    doubt = manifest["metrics"]["uncertainty"]
    assert doubt["n_heads"] == 4
    assert doubt["prior_precision"] > 0
    assert len(doubt["log_losses"]) > 3
    assert 0 < doubt["mean_standard_error"] < 100
    assert 0 <= doubt["ece"] <= 1
    layer = load(folder)
    assert layer is not None
    assert layer.temperature == pytest.approx(manifest["metrics"]["eval"]["temperature"])
    assert bool((torch.linalg.eigvalsh(layer.posterior.covariance) > 0).all())
    assert torch.allclose(layer.heads.mean(dim=0), torch.zeros(()).double(), atol=1e-9)


def test_every_score_can_be_asked_for_with_its_standard_error(folder: Path, tmp_path: Path) -> None:
    import random

    stream = random.Random(3)
    seen = [{"prompt": "fill basket 1", "completion": basket(n, stream), "id": n} for n in range(5)]
    strange = {
        "messages": [
            {"role": "user", "content": "zzz"},
            {"role": "assistant", "content": "qqq " * 30},
        ]
    }
    found = ask(folder, [*seen, strange], tmp_path / "scores.jsonl")
    assert found[4]["score"] > found[0]["score"]
    assert [row["id"] for row in found[:5]] == [0, 1, 2, 3, 4]
    assert all(row["standard_error"] > 0 for row in found)
    assert all(row["ensemble_standard_error"] > 0 for row in found)


def test_scores_are_the_heads_and_errors_the_posteriors(folder: Path) -> None:
    reader = Reader(str(folder), start_runtime(0, "cpu", threads=1), SilentProgress())
    layer = reader.layer
    assert layer is not None
    found = reader.read([[{"role": "assistant", "content": text}] for text in ("apple", "flint")])
    features = found.features.double()
    assert found.errors is not None
    gap = (features[0] - features[1]) @ layer.posterior.mean * layer.temperature
    assert float(gap) == pytest.approx(float(found.scores[0] - found.scores[1]), abs=1e-4)
    away = features[0] - layer.posterior.centre
    variance = float(away @ layer.posterior.covariance @ away)
    assert float(found.errors[0]) == pytest.approx(layer.temperature * variance**0.5, rel=1e-6)


def test_later_comparisons_count_as_those_of_the_training_did(folder: Path) -> None:
    layer = load(folder)
    assert layer is not None
    counting = layer.counting
    assert counting.loss == "scaled"
    assert counting.weigh(4, 1.0) == pytest.approx(4 * counting.weigh(1, 1.0))
    assert counting.target(2, is_tie=True) == 0.5
    assert counting.target(2, is_tie=False) == 1.0
    assert 0.5 < replace(counting, loss="soft").target(1, is_tie=False) < 1.0
    assert replace(counting, loss="plain").weigh(4, 0.5) == 0.5 / counting.unit


def test_a_wide_layer_is_kept_on_its_main_axes_and_scores_as_before() -> None:
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(30, MOST_DIMENSIONS + 40, generator=stream, dtype=torch.float64)
    head = torch.randn(MOST_DIMENSIONS + 40, generator=stream, dtype=torch.float64)
    basis = _basis(x, head)
    assert basis is not None
    torch.testing.assert_close((x @ basis.T) @ (basis @ head), x @ head)
    assert _basis(x[:, :10], head[:10]) is None


def test_a_line_that_is_no_completion_is_named(folder: Path, tmp_path: Path) -> None:
    given = tmp_path / "completions.jsonl"
    given.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n')
    arguments = ["--completions", given, "--reward-model", folder, "--out", tmp_path / "out"]
    answer = CliRunner().invoke(
        build_app("score"), ["score", *map(str, arguments), "--progress", "none"]
    )
    assert "Line 2" in str(answer.exception)
    assert not (tmp_path / "out").exists()


def test_open_pairs_are_ranked_by_the_posterior_and_what_was_read_is_kept(
    folder: Path, tmp_path: Path
) -> None:
    words = ["apple pear", "slate flint", "plum plum plum", "basalt"]
    pairs = write_lines(
        tmp_path / "pairs.jsonl",
        [
            {"id": f"p{i}", "prompt": [{"role": "user", "content": f"fill basket {i}"}],
             "a": words[i % 4], "b": words[(i + 1) % 4], "a_id": f"a{i}", "b_id": f"b{i}"}
            for i in range(8)
        ],
    )  # fmt: skip
    arguments = ["--pairs", pairs, "--reward-model", folder, "--out", tmp_path / "ranks.jsonl"]
    arguments += ["--features", tmp_path / "features", "--scores", tmp_path / "scores.jsonl"]
    arguments += ["--progress", "none", "--device", "cpu", "--threads", "1"]
    answer = CliRunner().invoke(build_app("select"), ["select", *map(str, arguments)])
    assert answer.exit_code == 0, answer.output
    ranks = [json.loads(line) for line in (tmp_path / "ranks.jsonl").read_text().splitlines()]
    assert all(row["standard_error"] > 0 for row in ranks)
    assert sorted(row["priority"] for row in ranks) == pytest.approx([i / 8 for i in range(1, 9)])
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert {row["id"] for row in scores} == {f"{s}{i}" for s in "ab" for i in range(8)}
    layer, store = load(folder), FeatureStore(tmp_path / "features")
    assert layer is not None
    x = store.rows(["b0"]) - store.rows(["a0"])
    assert ranks[0]["standard_error"] == pytest.approx(float(layer.posterior.errors(x)), rel=1e-3)
