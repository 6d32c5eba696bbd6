"""The live layer's pool, its features on disk, and the child's talk, without a database."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from worker.reward.feature_store import FeatureStore
from worker.reward.laplace import Posterior
from worker.reward.live import Live
from worker.reward.uncertainty import Counting, LastLayer
from worker.runtime import start_runtime
from worker.select.design import rank
from worker.select.desk import Desk, Desks, serve
from worker.select.pool import FRONT, Pool, Ranked

D = 6


def posterior() -> Posterior:
    eye = torch.eye(D, dtype=torch.float64)
    zero = torch.zeros(D, dtype=torch.float64)
    return Posterior(zero, eye, zero, 1.0)


def pool(n: int, seed: int = 0) -> tuple[Pool, Tensor]:
    x = torch.randn(n, D, generator=torch.Generator().manual_seed(seed))
    return Pool([str(i) for i in range(n)], x, [0.0] * n, [-1.0] * n), x


def test_the_first_ranking_says_something_of_every_pair_and_the_next_of_few() -> None:
    found, x = pool(200)
    live: Live[str] = Live(posterior())
    first = found.rank(live, is_whole=True)
    assert len(first) == 200
    best = sorted(first, key=lambda one: -one.priority)
    expected = rank(x, torch.full((200,), 0.5), live.covariance, FRONT)
    assert [int(one.id) for one in best] == expected
    assert [one.priority for one in best[:2]] == [2.0, 2 - 1 / FRONT]
    assert all(one.priority > 1 for one in best[:FRONT])
    assert all(0 < one.priority <= 1 for one in best[FRONT:])
    assert found.rank(live) == []
    found.close(best[0].id)
    found.follow(live.add("answer", x[int(best[0].id)].double(), 1.0))
    moved = found.rank(live)
    assert 0 < len(moved) <= 2 * FRONT
    assert best[0].id not in {one.id for one in moved}


def test_what_follows_rank_one_changes_is_what_ranking_anew_gives() -> None:
    found, x = pool(120)
    live: Live[str] = Live(posterior())
    found.rank(live, is_whole=True)
    for i in range(30):
        found.close(str(i))
        found.follow(live.add(str(i), x[i].double(), float(i % 2)))
        found.rank(live)
    found.follow(live.take_back("3"))
    found.rank(live, is_whole=True)
    fresh, _ = pool(120)
    for i in range(30):
        fresh.close(str(i))
    said = {one.id: one for one in fresh.rank(live, is_whole=True)}
    after = {one: found._said[one] for one in said}
    assert all(abs(after[one][0] - said[one].priority) < 0.02 for one in said)
    assert all(abs(after[one][1] - said[one].chance) < 0.011 for one in said)


def test_a_pair_near_a_half_is_not_preferred_merely_for_being_near_a_half() -> None:
    known, strange = torch.zeros(1, D), torch.zeros(1, D)
    known[0, 0], strange[0, 1] = 1.0, 1.0
    live: Live[str] = Live(posterior())
    for i in range(60):
        live.add(str(i), known[0].double(), float(i % 2))
    live.mean[1] = 1.0  # the strange one is at p = 0.73, the well-known one at one half
    found = Pool(["known", "strange"], torch.cat([known, strange]), [0.0, 0.0], [-1.0, -1.0])
    first = max(found.rank(live, is_whole=True), key=lambda one: one.priority)
    assert first.id == "strange"


def test_a_pool_without_a_pair_says_nothing() -> None:
    empty = Pool([], torch.empty(0, 0), [], [])
    assert empty.rank(Live(posterior()), is_whole=True) == []
    assert isinstance(Ranked("a", 1.0, 0.5, 0.1), Ranked)


def test_features_are_read_again_and_a_torn_file_is_left_out(tmp_path: Path) -> None:
    store, other = FeatureStore(tmp_path / "f"), FeatureStore(tmp_path / "f")
    store.add(["a", "b"], torch.ones(2, 3))
    store.add(["c"], torch.zeros(1, 3))
    assert other.missing(["c", "d", "c", "d"]) == ["c", "d"]
    other.refresh()
    assert other.missing(["c", "d"]) == ["d"]
    torn = next(iter(sorted((tmp_path / "f").glob("*.safetensors"))))
    torn.write_bytes(torn.read_bytes()[:20])
    again = FeatureStore(tmp_path / "f")
    assert len(again) in {1, 2}
    assert not torn.exists()
    assert store.rows(["b", "c"]).tolist() == [[1.0] * 3, [0.0] * 3]
    with pytest.raises(KeyError):
        store.rows(["nobody"])


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desk:
    layer = LastLayer(posterior(), None, torch.empty(0, D), 1.0, Counting("scaled", 0.85, unit=1.0))
    monkeypatch.setattr("worker.select.desk.load", lambda _: layer)
    found = Desk("model", str(tmp_path / "features"), start_runtime(0, "cpu", threads=1))
    stream = torch.Generator().manual_seed(3)
    found.store.add([f"c{i}" for i in range(40)], torch.randn(40, D, generator=stream))
    return found


def said(rating: int, *, is_tie: bool = False) -> dict[str, object]:
    return {"rating": rating, "is_tie": is_tie, "weight": 1.0}


def told(n: int, now: object, trained: object = None) -> dict[str, object]:
    return {"id": f"a{n}", "pair": f"p{n}", "a": f"c{2 * n}", "b": f"c{2 * n + 1}", "now": now,
            "trained": trained}  # fmt: skip


def test_an_answer_counts_once_however_often_it_is_told(desk: Desk) -> None:
    assert desk.learn([told(0, said(1)), told(1, said(7))])["n"] == 2
    mean = desk.live.mean.clone()
    assert desk.learn([told(0, said(1)), told(1, said(7))])["n"] == 0
    assert torch.equal(desk.live.mean, mean)
    assert desk.learn([told(0, said(8))])["n"] == 1
    assert desk.state()["n_judged"] == 2, "a changed answer was judged before"
    assert desk.learn([], is_all=True)["n"] == 2
    torch.testing.assert_close(desk.live.mean, torch.zeros(D).double(), atol=1e-8, rtol=0)
    assert desk.learn([told(2, None)])["n"] == 0


def test_a_side_and_its_mirror_pull_alike_and_a_tie_pulls_to_a_half(desk: Desk) -> None:
    x = (desk.store.rows(["c0"]) - desk.store.rows(["c1"]))[0].double()
    desk.learn([told(0, said(1))])
    towards_a = float(x @ desk.live.mean)
    desk.learn([told(0, said(8))])
    assert float(x @ desk.live.mean) == pytest.approx(-towards_a)
    desk.learn([told(0, said(4, is_tie=True))])
    assert float(x @ desk.live.mean) == pytest.approx(0.0, abs=1e-9)
    assert desk.state()["n_judged"] == 1


def test_answers_of_the_training_are_unlearnt_once_and_can_come_back(desk: Desk) -> None:
    same = told(0, said(2), trained=said(2))
    assert desk.learn([same])["n"] == 0
    assert desk.learn([told(0, said(7), trained=said(2))])["n"] == 1
    assert desk.state()["n_unlearnt"] == 1
    assert desk.learn([told(0, None, trained=said(2))])["n"] == 1
    assert desk.state()["n_answers"] == 0
    desk.learn([], is_all=True)
    assert desk.state()["n_answers"] == 1
    assert float(desk.live.mean.norm()) < 0.05


def test_completions_not_read_yet_are_named_and_nothing_is_half_learnt(desk: Desk) -> None:
    report = desk.learn([told(0, said(1)), told(30, said(1))])
    assert report == {"missing": ["c60", "c61"]}
    assert desk.state()["n_answers"] == 0
    found = desk.set_pool([["p0", "c0", "c1", 0.0, None], ["p40", "c80", "c1", 0.0, None]])
    assert found["missing"] == ["c80"]
    assert [one[0] for one in found["ranked"]] == ["p0"]


def test_a_request_that_cannot_be_met_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    lines = [
        json.dumps({"do": "learn", "run": "r", "answers": [], "is_all": False}),
        json.dumps({"do": "open", "run": "r", "model": str(tmp_path), "features": "f"}),
        "nonsense",
    ]
    out, log = io.StringIO(), io.StringIO()
    serve(Desks(start_runtime(0, "cpu", threads=1)), lines, out, log)
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["event"] for one in events] == ["error"] * 3
    assert "not open" in events[0]["message"]
    assert "posterior" in events[1]["message"]


def test_the_command_answers_line_by_line_and_ends_with_its_input() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker.main", "live", "--device", "cpu"],
        input='{"do": "rest", "run": "nobody"}\n',
        capture_output=True, text=True, check=True, env=os.environ,
    )  # fmt: skip
    assert json.loads(done.stdout)["event"] == "error"
