"""The benchmark's own parts: real votes as answers, ranks, and people as promised."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.agreement import as_answers, measure_votes, rank_correlation
from benchmarks.people import world
from benchmarks.report import Report


def test_without_real_votes_the_row_is_left_out_with_a_sentence(tmp_path: Path) -> None:
    report = Report("agreement", is_quick=True)
    measure_votes(report, tmp_path)
    assert "left out" in report.figures["real votes"]
    assert report.targets == []


def test_votes_become_answers_with_equal_between_a_and_b() -> None:
    votes = [
        {"pair": "p", "annotator": "ann", "choice": "b"},
        {"pair": "q", "annotator": "bob", "choice": "equal"},
        {"pair": "p", "annotator": "bob", "choice": "a"},
    ]
    answers, names = as_answers(votes, [{"id": "p"}, {"id": "q"}])
    assert names == {"ann": 0, "bob": 1}
    assert answers.pairs.tolist() == [0, 1, 0]
    assert answers.choices.tolist() == [2, 1, 0]


def test_ties_share_their_mean_rank() -> None:
    one, other = np.array([1.0, 2, 2, 3]), np.array([10.0, 20, 30, 40])
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
    assert rank_correlation(one, other) == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_simulated_readers_are_right_and_agree_as_often_as_published_people() -> None:
    right, same = [], []
    for seed in range(5):
        drawn = world(seed, 150)
        is_b = (drawn.answers.choices >= 4).reshape(-1, 3)
        right.append((is_b == (drawn.utility > 0)[:, None]).mean())
        same.append((is_b[:, 0] == is_b[:, 1]).mean())
    assert np.mean(right) == pytest.approx(0.81, abs=0.03)
    assert np.mean(same) == pytest.approx(0.74, abs=0.03)


def test_everyone_answers_as_many_pairs_and_no_pair_twice() -> None:
    answers = world(1, 50).answers
    assert answers.n_by_person.max() - answers.n_by_person.min() <= 2
    assert len(set(zip(answers.pairs, answers.people, strict=True))) == len(answers.pairs)
