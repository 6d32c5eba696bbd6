import json
import random
from itertools import combinations
from pathlib import Path

import pytest
import torch

from tests.reward.worlds import fruit_preferences, write_lines
from worker.errors import TrainerError
from worker.models import load_reward_model, load_tokenizer
from worker.progress import SilentProgress
from worker.reward.batches import cut_batches
from worker.reward.command import _configure
from worker.reward.data import encode, read_preferences
from worker.reward.files import RewardFiles
from worker.reward.frozen import FrozenFeatures
from worker.reward.length import length_report, offset_lengths, parse_length
from worker.reward.stage import train_reward_model
from worker.reward.strength import Loss, losses_of
from worker.reward.variance import FILE, VarianceHead
from worker.runtime import start_runtime
from worker.tiny import make_tiny

COMMON = {
    **{"objective": "helpfulness", "batch_size": 16, "max_length": 64, "seed": 0},
    **{"epochs": 2.0, "ensemble": 0, "lora_rank": None, "quantisation": None, "is_sharded": False},
    **{"attention": "auto", "compiles": "auto"},
}


def train(folder: Path, lines: list[dict[str, object]], **options: object) -> dict[str, object]:
    files = RewardFiles(write_lines(folder / "lines", lines), None, folder / "out", folder)
    configure = _configure(
        **{"loss": "plain", "reliability": "off", "length": "off", "learning_rate": 3e-3,
           "dropout": False, "base_model": "tiny", **COMMON, **options}
    )  # fmt: skip
    return train_reward_model(
        *(files, configure, start_runtime(0, "cpu", threads=1), SilentProgress()),
        base_model="tiny", seed=0, has_curve=False,
    )  # fmt: skip


def test_mean_and_variance_are_learnt_and_the_mean_alone_loads_as_any_reward_model(
    tmp_path: Path,
) -> None:
    report = train(tmp_path, fruit_preferences(120), loss="mean-variance", epochs=6.0)
    assert report["eval"]["accuracy"] > 0.7
    assert report["variance"]["smallest"] < report["variance"]["largest"]
    # The scores are log-odds: as a plain model reads them, they are no worse than a coin.
    assert report["eval"]["log_loss"] < 0.69
    assert report["variance"]["log_loss"] < 0.69
    out = tmp_path / "out"
    runtime = start_runtime(0, "cpu", threads=1)
    model = load_reward_model(str(out), runtime, load_tokenizer(str(out)))
    assert model.score.weight.shape[0] == 1
    head = VarianceHead.load(out)
    assert head is not None
    assert bool((head.variances(torch.randn(5, model.score.in_features)) > 0).all())
    assert FILE in json.loads((out / "manifest.json").read_text("utf-8"))["files"]


def test_ties_take_their_threshold_from_how_many_there_are(tmp_path: Path) -> None:
    lines = fruit_preferences(90)
    for line in lines[::5]:
        line["is_about_equal"] = True
    report = train(tmp_path, lines, loss="ties")
    assert report["configuration"]["loss"] == "ties"
    assert 0.2 < report["configuration"]["tie_threshold"] < 0.7


def test_a_ranking_stays_in_one_batch_and_counts_as_one_judgement(tmp_path: Path) -> None:
    lines = fruit_preferences(40)
    texts = [f"basket {number}" for number in range(4)]
    for number, (better, worse) in enumerate(combinations(texts, 2)):
        line = {"prompt": "rank", "chosen": better, "rejected": worse, "ranking": "one"}
        lines.insert(7 * number, line)
    rows = read_preferences(write_lines(tmp_path / "lines", lines))
    name = str(make_tiny((text for row in rows for text in row.texts), tmp_path / "tiny"))
    data = encode(rows, load_tokenizer(name), 64)
    ranked = {row for row, name in enumerate(data.rankings) if name}
    assert len(ranked) == 6
    assert data.weights[sorted(ranked)].tolist() == pytest.approx([1 / 6] * 6)
    assert float(data.weights.sum()) == pytest.approx(41)
    for epoch in range(5):
        batches = cut_batches(data, 8, 0, epoch, is_packed=True)
        assert sorted(row for batch in batches for row in batch) == list(range(46))
        assert sum(bool(ranked & set(batch)) for batch in batches) == 1


def test_soft_targets_follow_what_several_people_said_of_a_pair() -> None:
    posteriors = torch.zeros(2, 8)
    posteriors[0, [0, 7]] = 0.5  # as many firmly for the one as for the other
    zero, strengths = torch.zeros(2), torch.full((2,), 4.0)
    scores = torch.full((2,), 3.0)
    losses = losses_of(
        Loss.SOFT, scores, zero,
        strengths=strengths, is_tie=torch.zeros(2, dtype=torch.bool), soft=0.85,
        posteriors=posteriors,
    )  # fmt: skip
    sure = torch.sigmoid(torch.tensor(3.5 / 0.85))
    right, wrong = torch.nn.functional.logsigmoid(torch.tensor([3.0, -3.0]))
    assert losses[0].item() == pytest.approx(float(-(right + wrong) / 2), abs=1e-6)
    assert losses[1].item() == pytest.approx(float(-(sure * right + (1 - sure) * wrong)), abs=1e-6)


def longer_is_chosen(n: int, share: float) -> list[dict[str, object]]:
    """Quality is one word; the longer one is chosen beside it by a share of the people."""
    stream, lines = random.Random(0), []
    for number in range(n):
        long, short = "stone " * stream.randint(5, 9), "stone " * stream.randint(1, 4)
        sides = [long, short] if stream.random() < share else [short, long]
        lines.append({"prompt": f"say {number}", "chosen": sides[0], "rejected": sides[1]})
    return lines


def test_what_length_does_is_found_offset_and_always_shown(tmp_path: Path) -> None:
    rows = read_preferences(write_lines(tmp_path / "lines", longer_is_chosen(400, 0.8)))
    runtime = start_runtime(0, "cpu", threads=1)
    name = str(make_tiny((text for row in rows for text in row.texts), tmp_path / "tiny"))
    tokenizer = load_tokenizer(name)
    data = encode(rows, tokenizer, 64)

    class Nothing(FrozenFeatures):
        def differences(self, rows: object) -> torch.Tensor:
            return torch.zeros(len(rows), 4)  # type: ignore[arg-type]

    features = Nothing(None, data, runtime, 8)
    offsets, report = offset_lengths(data, rows, features, "covariate", 0)
    # Four in five took the longer one: log 4 on the whole, and near it on a line through 0.
    assert 0.9 < report["offset"] < 2.2
    assert offsets is not None
    assert offsets.shape == (400,)
    assert offset_lengths(data, rows, features, "off", 0)[0] is None
    fixed, _ = offset_lengths(data, rows, features, "-0.5", 0)
    torch.testing.assert_close(fixed, offsets * (-0.5 / report["offset"]))
    shown = length_report(rows, torch.zeros(400), 0)
    assert shown is not None
    assert shown["low"] < shown["coefficient"] < shown["high"]
    assert shown["is_alarming"]
    assert length_report(rows[:10], torch.zeros(10), 0) is None


def test_an_offset_takes_the_taste_for_length_out_of_scores(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    lines = longer_is_chosen(150, 0.9)
    with_it = train(tmp_path / "a", lines, epochs=6.0)
    without = train(tmp_path / "b", lines, epochs=6.0, length="covariate")
    assert without["length"]["offset"] > 0.5
    assert without["eval"]["log_loss"] > with_it["eval"]["log_loss"] + 0.02
    assert with_it["length"]["mode"] == "off"
    assert "held_out" in with_it["length"]


def test_a_way_to_treat_length_that_is_none_is_refused() -> None:
    assert parse_length("covariate") == "covariate"
    assert parse_length("0.50") == "0.5"
    for text in ("long", "nan", "inf"):
        with pytest.raises(TrainerError, match="no way to treat length"):
            parse_length(text)
