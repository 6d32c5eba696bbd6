"""Verdicts: distributions, and people who differ kept apart from people who do not read."""

from dataclasses import replace

import numpy as np
import pytest

from app.agree.answers import Answers
from app.agree.reliability import Reliability, copying, reliability
from app.agree.verdict import three_way, verdicts
from benchmarks.people import world
from tests.agree.worlds import answers_of


def judged(ratings: list[int], reads: list[float]) -> tuple[bool, bool]:
    """Whether a pair with these ratings by people of this reliability diverges, or is noisy."""
    answers = answers_of([(0, person, rating) for person, rating in enumerate(ratings)])
    found = verdicts(answers, replace(flat(answers), mean=np.array(reads)))
    return bool(found.is_diverging[0]), bool(found.is_noisy[0])


def flat(answers: Answers) -> Reliability:
    """A model that knows nothing of any pair."""
    fitted = reliability(answers)
    return replace(fitted, states=np.full_like(fitted.states, 1 / fitted.states.shape[1]))


def test_firm_readers_on_both_sides_diverge() -> None:
    assert judged([2, 7, 1, 8], [0.9] * 4) == (True, False)


def test_a_split_between_close_answers_is_noise() -> None:
    assert judged([4, 5, 4, 5], [0.9] * 4) == (False, True)


def test_a_side_held_by_people_who_do_not_read_is_noise() -> None:
    assert judged([2, 2, 7, 8], [0.9, 0.9, 0.1, 0.1]) == (False, True)


def test_one_of_four_against_the_rest_is_neither() -> None:
    assert judged([2, 2, 1, 8], [0.9] * 4) == (False, False)


def test_a_single_answer_is_neither() -> None:
    assert judged([1], [0.9]) == (False, False)


def test_a_diverging_pair_keeps_two_humps_and_a_wide_variance() -> None:
    rows = [(0, person, 1 if person % 2 else 8) for person in range(8)]
    rows += [(1, person, 4) for person in range(8)]
    answers = answers_of(rows)
    found = verdicts(answers, flat(answers))
    assert found.posterior.sum(axis=1) == pytest.approx(1)
    assert found.posterior[0, [0, 7]].min() > 3 * found.posterior[0, 3]
    assert found.variance[0] > 2 * found.variance[1]
    assert found.mean[0] == pytest.approx(4.5, abs=0.5)


def test_an_answer_counts_as_much_as_its_person_reads() -> None:
    answers = answers_of([(0, 0, 1), (0, 1, 8)])
    trusted = verdicts(answers, replace(flat(answers), mean=np.array([0.9, 0.1])))
    assert trusted.mean[0] < 4


def test_a_pair_without_answers_gets_what_features_say_and_much_doubt() -> None:
    drawn = world(1, 100, overlap=1)
    kept = drawn.answers.pairs >= 200
    rows = drawn.answers
    fewer = Answers(
        *(one[kept] for one in (rows.pairs, rows.people, rows.choices, rows.is_flipped)),
        rows.n_pairs,
        rows.n_people,
    )
    found = verdicts(fewer, reliability(fewer, drawn.features))
    assert np.corrcoef(found.mean[:200], drawn.utility[:200])[0, 1] > 0.85
    assert found.variance[:200].mean() > found.variance[200:].mean()
    assert not (found.is_noisy | found.is_diverging).any()


def test_diverging_pairs_are_found_and_others_mostly_not() -> None:
    drawn = world(2, 120, ("random", "random"), overlap=6, diverging=0.15)
    found = verdicts(drawn.answers, reliability(drawn.answers))
    assert found.is_diverging[drawn.is_diverging].mean() > 0.4
    assert found.is_diverging[~drawn.is_diverging].mean() < 0.05
    assert not (found.is_diverging & found.is_noisy).any()


def test_three_choices_without_a_scale_keep_their_doubt() -> None:
    rows = [(pair, person, 1 + pair % 3) for pair in range(12) for person in range(3)]
    rows += [(12, 0, 1), (12, 1, 3)]
    answers = answers_of(rows, n_choices=3)
    posterior = three_way(answers, copying(answers))
    assert posterior[:12].argmax(axis=1).tolist() == [pair % 3 for pair in range(12)]
    assert posterior[12, [0, 2]] == pytest.approx([0.5, 0.5], abs=0.1)


def test_a_model_of_other_answers_is_refused() -> None:
    answers = answers_of([(0, 0, 1), (0, 1, 2)], n_choices=3)
    with pytest.raises(ValueError, match="other answers"):
        three_way(answers, reliability(answers))
