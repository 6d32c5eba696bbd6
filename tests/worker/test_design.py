"""Which pairs are asked first: the arithmetic, by figures worked by hand and by known answers."""

import json
import math
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from worker.main import build_app
from worker.models import make_tiny
from worker.reward.reader import Reader
from worker.runtime import start_runtime
from worker.select.design import choose_precision, fit, priorities, rank, rank_open


def test_a_copy_of_a_chosen_pair_loses_its_worth() -> None:
    x = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    p = torch.full((3,), 0.5)
    # Worth 1, 1 and 1/4; after the first, the copy's spread is 4 - (1/4)·16/(1 + 1) = 2, worth 1/2.
    assert rank(x, p, torch.eye(2, dtype=torch.float64)) == [0, 1, 2]
    many = torch.cat([x[:1].repeat(6, 1), x[2:]])
    assert rank(many, torch.full((7,), 0.5), torch.eye(2, dtype=torch.float64)).index(6) < 5


def test_the_update_is_that_of_the_matrix_inverse() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3, dtype=torch.float64)
    p = torch.rand(6, dtype=torch.float64)
    order = rank(x, p, torch.eye(3, dtype=torch.float64))
    known = torch.eye(3, dtype=torch.float64)
    left = set(range(6))
    for chosen in order:
        spread = torch.linalg.inv(known)
        worth = {i: float(p[i] * (1 - p[i]) * (x[i] @ spread @ x[i])) for i in left}
        assert worth[chosen] == pytest.approx(max(worth.values()), rel=1e-9)
        known = known + p[chosen] * (1 - p[chosen]) * torch.outer(x[chosen], x[chosen])
        left.remove(chosen)


def test_a_certain_answer_teaches_nothing() -> None:
    x = torch.tensor([[5.0], [1.0]], dtype=torch.float64)
    assert rank(x, torch.tensor([1.0, 0.5]), torch.eye(1, dtype=torch.float64)) == [1, 0]


def test_the_fit_is_the_solution_of_its_equation() -> None:
    weights = fit(torch.ones(4, 1, dtype=torch.float64), precision=1.0)
    # 4(1 - σ(w)) = w
    assert 4 * (1 - 1 / (1 + math.exp(-float(weights)))) == pytest.approx(float(weights))


def test_noise_asks_for_a_stronger_prior_than_a_clear_taste() -> None:
    torch.manual_seed(1)
    noise = torch.randn(60, 20, dtype=torch.float64)
    clear = noise.clone()
    clear[:, 0] = clear[:, 0].abs() * 5
    assert choose_precision(noise) > choose_precision(clear)


def test_priorities_fall_from_one_and_are_all_different() -> None:
    assert priorities([2, 0, 1]) == pytest.approx([2 / 3, 1 / 3, 1.0])
    order, _ = rank_open(torch.empty(0, 3), torch.empty(0), torch.randn(4, 3), torch.rand(4))
    assert sorted(order) == [0, 1, 2, 3]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_of_pairs_is_ranked_by_a_reward_model_of_any_length(tmp_path: Path) -> None:
    texts = [f"the boats are quiet {'now ' * i}".strip() for i in range(40)]
    model = make_tiny([*texts, "ask"], tmp_path / "tiny")
    rows = [
        {"id": str(i), "prompt": [{"role": "user", "content": "ask"}], "a": a, "b": b}
        for i, (a, b) in enumerate(zip(texts, reversed(texts), strict=True))
    ]
    pairs = write(tmp_path / "pairs.jsonl", rows)
    known = write(
        tmp_path / "known.jsonl",
        [{"prompt": "ask", "chosen": texts[i], "rejected": texts[i + 1]} for i in range(30)],
    )
    arguments = ["--pairs", pairs, "--reward-model", model, "--answered", known]
    arguments += ["--out", tmp_path / "ranks.jsonl", "--progress", "json", "--device", "cpu"]
    answer = CliRunner().invoke(build_app("select"), ["select", *map(str, arguments)])
    assert answer.exit_code == 0, answer.output
    ranks = [json.loads(line) for line in (tmp_path / "ranks.jsonl").read_text().splitlines()]
    assert [row["id"] for row in ranks] == [row["id"] for row in rows]
    assert sorted(row["priority"] for row in ranks) == pytest.approx([i / 40 for i in range(1, 41)])


def test_the_features_give_the_scores_through_the_head(tmp_path: Path) -> None:
    from worker.progress import SilentProgress

    texts = [f"the boats are quiet {'now ' * (i % 23)}".strip() for i in range(70)]
    model = make_tiny(texts, tmp_path / "tiny")
    reader = Reader(
        str(model), start_runtime(0, device="cpu"), SilentProgress(), max_length=512, batch_size=32
    )
    found = reader.read([[{"role": "assistant", "content": text}] for text in texts])
    torch.testing.assert_close((found.features @ reader.head.weight.T).squeeze(1), found.scores)
    assert found.errors is None, "a plain model came without a posterior"


def test_nothing_to_rank_is_no_mistake(tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.jsonl", [])
    arguments = ["--pairs", str(pairs), "--reward-model", "nowhere"]
    arguments += ["--out", str(tmp_path / "ranks.jsonl"), "--progress", "none"]
    answer = CliRunner().invoke(build_app("select"), ["select", *arguments])
    assert answer.exit_code == 0
    assert (tmp_path / "ranks.jsonl").read_text() == ""
