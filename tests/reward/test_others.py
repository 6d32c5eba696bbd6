"""Others' sets: their formats, their scoring, and a reward model on them."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.errors import Invalid
from tests.reward.test_training import run
from tests.reward.worlds import fruit_preferences, write_lines
from worker.errors import TrainerError
from worker.progress import SilentProgress
from worker.reward.evaluating import evaluate_file
from worker.reward.items import Item, read_items
from worker.reward.others import give_report, hit, ties_score
from worker.runtime import start_runtime


def item(n_right: int, n: int, subset: str = "all", name: str = "1") -> Item:
    answer = ({"role": "assistant", "content": "x"},)
    return Item(({"role": "user", "content": "?"},), (answer,) * n, n_right, subset, name)


def test_each_published_form_of_a_line_is_read(tmp_path: Path) -> None:
    user, says = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
    other = {"role": "assistant", "content": "B"}
    lines = [
        {"prompt": "Q", "chosen": "A", "rejected": "B", "subset": "math-prm", "id": 3},
        {"prompt": "Q", "chosen": ["A"], "rejected": ["B", "C", "D"], "subset": "Focus"},
        {"chosen": [user, says], "rejected": [user, other]},
        {"prompt": [user], "chosen": [says], "rejected": [other]},
        {"question": "Q", "chosen": [[user, says]], "rejected": [[user, other]]},
    ]
    found = read_items(write_lines(tmp_path / "set.jsonl", lines))
    assert [len(one.completions) for one in found] == [2, 4, 2, 2, 2]
    assert {one.prompt[0]["content"] for one in found} == {"Q"}
    assert all(one.completions[0][0]["content"] == "A" for one in found)
    assert (found[0].subset, found[0].name, found[2].subset) == ("math-prm", "3", "all")
    (tmp_path / "list.json").write_text(json.dumps(lines), "utf-8")
    assert read_items(tmp_path / "list.json") == found


def test_parquet_is_read_as_published(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    rows = [{"id": "tied:0", "prompt": "Q", "chosen": ["A"], "rejected": ["B"], "subset": "Ties"}]
    write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")
    assert read_items(tmp_path / "set.parquet")[0].is_tied


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"prompt": "Q", "chosen": "A"}, "“rejected” must be"),
        ({"prompt": "Q", "chosen": [1], "rejected": "B"}, "“chosen” must be"),
        (7, "not a JSON object"),
        ({"prompt": "Q", "chosen": "\ud83d", "rejected": "B"}, "“chosen” holds half of"),
    ],
)
def test_a_line_that_is_none_of_them_is_refused_with_its_place(
    tmp_path: Path, line: object, said: str
) -> None:
    (tmp_path / "set.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    with pytest.raises(Invalid, match=said):
        read_items(tmp_path / "set.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n", "utf-8")
    with pytest.raises(TrainerError, match="nothing to evaluate"):
        read_items(tmp_path / "empty.jsonl")


def test_lines_end_where_json_lines_end_and_are_numbered_as_an_editor_does(tmp_path: Path) -> None:
    line = {"prompt": "Q\u2028?", "chosen": "A\x85a", "rejected": "B"}
    text = json.dumps(line, ensure_ascii=False)
    path = tmp_path / "set.jsonl"
    path.write_text(f"{text}\r\n\n{text}\n", "utf-8", newline="")
    assert [one.name for one in read_items(path)] == ["1", "3"]
    too_deep = '{"a":' + "[" * 100_000
    for wrong, said in ((too_deep, "Line 3 is nested"), ('{"prompt": "Q"}', "Item 3: “chosen”")):
        path.write_text(f"{text}\n\n{wrong}\n", "utf-8")
        with pytest.raises(Invalid, match=said):
            read_items(path)


def test_a_file_that_is_no_parquet_is_refused_with_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "set.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(TrainerError, match="is not Parquet"):
        read_items(tmp_path / "set.parquet")


def test_a_shared_first_place_counts_in_shares() -> None:
    assert hit([2, 1, 1, 1], 1) == 1
    assert hit([1, 2, 1, 1], 1) == 0
    assert hit([1, 1, 1, 1], 1) == 0.25
    assert hit([1, 3, 3, 0], 2) == 0.5


def test_ties_are_scored_as_published() -> None:
    # (accurate, spread of right answers, least right less best wrong), by the reference's formula.
    prompts = [
        {"tied": (1.0, 0.5, 2.0), "ref": (1.0, 0.0, 3.0)},
        {"tied": (1.0, 2.0, 1.0), "ref": (0.0, 0.0, -1.0)},
        {"tied": (0.0, 1.0, -0.5)},
    ]
    expected = (
        0.30 * 2 / 3 + 0.30 * 1 / 2 + 0.20 * 1 / 2 + 0.20 * 1 / 2
        + 0.01 * (np.tanh(2 / 0.5 - 1) + np.tanh(-1 / 2 - 1)) / 2
    )  # fmt: skip
    assert ties_score(prompts) == pytest.approx(expected)
    items = [item(3, 5, "Ties", "tied:7"), item(1, 4, "Ties", "ref:7")]
    report = give_report(items, [[3, 2.9, 3.1, 0, 1], [2, 0, 0, 1]])
    expected = 1.0 + 0.01 * np.tanh(1 / 0.2 - 1)
    assert report["subsets"]["Ties"]["score"] == pytest.approx(expected, abs=1e-6)


def test_the_whole_is_the_mean_of_subsets_or_of_sections_as_each_benchmark_defines() -> None:
    two = [item(1, 4, "Focus")] * 3 + [item(1, 4, "Math")]
    report = give_report(two, [[1, 0, 0, 0]] * 3 + [[0, 1, 0, 0]])
    assert (report["format"], report["overall"]["score"]) == ("RewardBench 2", 0.5)
    assert report["subsets"]["Focus"]["chance"] == 0.25

    one = [item(1, 2, "hep-cpp")] * 4 + [item(1, 2, "math-prm")] * 2 + [item(1, 2, "donotanswer")]
    report = give_report(one, [[1, 0]] * 4 + [[0, 1]] * 2 + [[1, 0]])
    # In Reasoning, 4 of code against math's published weight of 984.
    reasoning = 4 / (4 + 984)
    assert report["sections"]["Reasoning"]["score"] == pytest.approx(reasoning)
    assert report["overall"]["score"] == pytest.approx((reasoning + 1) / 2)

    plain = give_report([item(1, 2)] * 10, [[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 4)
    assert plain["format"] == "preferences"
    assert plain["overall"]["score"] == pytest.approx(0.6)
    assert plain["overall"]["low"] < 0.6 < plain["overall"]["high"]


def test_a_reward_model_is_evaluated_on_a_file_and_knows_fruit(tmp_path: Path) -> None:
    run(write_lines(tmp_path / "p.jsonl", fruit_preferences(240)), tmp_path / "out")
    lines = fruit_preferences(60, seed=5)
    best_of_four = [
        {"prompt": "fill basket 3", "chosen": ["apple pear plum cherry"], "subset": "Fruit",
         "rejected": ["granite slate basalt flint", "granite slate flint plum", "flint"]},
    ] * 5  # fmt: skip
    runtime, progress = start_runtime(0, "cpu", threads=1), SilentProgress()
    path = write_lines(tmp_path / "set.jsonl", [*lines, *best_of_four])
    report = evaluate_file(tmp_path / "out", path, runtime, progress)
    assert report["subsets"]["Fruit"]["score"] == 1.0
    assert report["subsets"]["all"]["score"] > 0.7
    assert report["n"] == 65
    assert progress.advances[-1][:2] == (65, 65)
    assert progress.results == [report]
