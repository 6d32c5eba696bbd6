"""Who reads: the E-step by enumeration, and people whose care is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.agree.answers import Answers
from app.agree.mixture import expect
from app.agree.reliability import Reliability, copying, cut_points, normal_scores, reliability
from app.agree.ridge import leave_one_out
from benchmarks.people import world
from tests.agree.worlds import answers_of

Fit = Callable[[Answers], Reliability]


def test_the_e_step_is_what_enumeration_gives() -> None:
    rows = [(0, 0, 1), (0, 1, 2), (0, 2, 1), (1, 0, 3), (1, 2, 3)]
    answers = answers_of(rows, flipped=[False, True, False, True, False], n_choices=3)
    rng = np.random.default_rng(0)
    prior, kernel = rng.dirichlet(np.ones(4), 2), rng.dirichlet(np.ones(3), 4)
    theta, habit = np.array([0.9, 0.4, 0.7]), rng.random(5)
    found = expect(answers, np.log(prior), kernel, theta, habit)

    def joint(pair: int, state: int, asked: int | None, reads: bool | None) -> float:
        """P(state, answers of the pair), where one answer may be fixed as read or not."""
        total = prior[pair, state]
        for m, (where, person, rating) in enumerate(rows):
            if where == pair:
                read = theta[person] * kernel[state, rating - 1]
                unread = (1 - theta[person]) * habit[m]
                parts = {None: read + unread, True: read, False: unread}
                total *= parts[reads if m == asked else None]
        return float(total)

    for pair in (0, 1):
        expected = np.array([joint(pair, state, None, None) for state in range(4)])
        assert found.states[pair] == pytest.approx(expected / expected.sum())
    was_read = found.was_read(answers, theta)
    for m, (pair, _, _) in enumerate(rows):
        yes, no = (sum(joint(pair, s, m, reads) for s in range(4)) for reads in (True, False))
        assert was_read[m] == pytest.approx(yes / (yes + no))


def test_readers_and_random_people_are_told_apart_though_no_pair_was_answered_twice() -> None:
    drawn = world(1, 50, ("random",) * 3, overlap=1)
    found = reliability(drawn.answers, drawn.features)
    assert found.mean[drawn.is_bad].max() < 0.6 < found.mean[~drawn.is_bad].min()
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()


def test_without_features_the_others_answers_tell_who_reads() -> None:
    drawn = world(2, 100, ("random", "straight", "left"))
    found = reliability(drawn.answers)
    assert found.mean[drawn.is_bad].max() < 0.5
    assert np.median(found.mean[~drawn.is_bad]) > 0.9


def test_single_answers_without_features_condemn_nobody() -> None:
    found = reliability(world(3, 30, ("random",), overlap=1).answers)
    assert found.high.min() > 0.9
    assert (found.high - found.low).min() > 0.25


def test_who_reads_every_other_pair_gets_about_a_half_on_average() -> None:
    means = [reliability(world(seed, 150, ("half",) * 3).answers).mean[:3] for seed in range(3)]
    assert np.mean(means) == pytest.approx(0.5, abs=0.12)


def test_more_answers_make_the_interval_narrower() -> None:
    few, many = (reliability(world(4, n, ("half",)).answers) for n in (30, 300))
    assert (many.high - many.low).mean() < 0.6 * (few.high - few.low).mean()


def test_swapping_a_and_b_everywhere_changes_nobody() -> None:
    drawn = world(5, 60, ("left",))
    one = drawn.answers
    other = replace(one, choices=7 - one.choices, is_flipped=~one.is_flipped)
    first, second = reliability(one, drawn.features), reliability(other, -drawn.features)
    assert first.mean == pytest.approx(second.mean, abs=1e-6)


def test_a_weight_is_reliability_times_strength() -> None:
    drawn = world(6, 40)
    found = reliability(drawn.answers)
    assert found.weights.mean() == pytest.approx(1)
    worth = found.mean[drawn.answers.people] * drawn.answers.strengths
    assert found.weights / worth == pytest.approx(np.full(len(worth), found.weights[0] / worth[0]))
    assert set(drawn.answers.strengths) == {1, 2, 3, 4}


@pytest.mark.parametrize("fit", [reliability, copying])
def test_before_the_first_answer_everyone_has_the_benefit_of_the_doubt(fit: Fit) -> None:
    nothing = np.zeros(0, dtype=np.int64)
    found = fit(Answers(nothing, nothing, nothing, nothing.astype(bool), 4, 3))
    assert found.mean == pytest.approx(np.full(3, found.mean[0]))
    assert (found.high - found.low).min() > 0.5
    assert len(found.weights) == 0


def test_people_who_copy_the_truth_outvote_two_who_agree_by_habit() -> None:
    # On the last pair two people of habit meet one who was right with everyone else 30 times.
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 4, 30)
    rows = [(pair, person, int(truth[pair])) for pair in range(30) for person in (0, 1, 2)]
    rows += [(pair, person, 3) for pair in range(30) for person in (3, 4)]
    rows += [(30, 0, 1), (30, 3, 3), (30, 4, 3)]
    found = copying(answers_of(rows, n_choices=3))
    assert found.mean[0] > 0.9
    assert found.mean[3] < 0.4
    assert found.states[30].argmax() == 0


def test_normal_scores_follow_the_scale_and_average_to_nothing() -> None:
    answers = world(7, 50).answers
    scores = normal_scores(answers)
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    order = np.argsort(answers.choices, kind="stable")
    assert (np.diff(scores[order]) >= 0).all()
    assert cut_points(np.array([0.025, 0.95, 0.025]))[1:3] == pytest.approx([-1.96, 1.96], abs=1e-2)


def test_left_out_predictions_are_those_of_a_fit_without_the_row() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 5))
    targets = features @ np.array([1.0, -1, 0.5, 0, 0]) + 0.5 * rng.normal(size=80)
    found = leave_one_out(features, targets, np.ones(80))
    for row in (0, 40):
        rest = np.arange(80) != row
        fit = np.linalg.lstsq(features[rest], targets[rest], rcond=None)[0]
        assert found.mean[row] == pytest.approx(features[row] @ fit, abs=0.03)


def test_features_that_say_nothing_explain_nothing() -> None:
    rng = np.random.default_rng(1)
    found = leave_one_out(rng.normal(size=(300, 20)), rng.normal(size=300), np.ones(300))
    assert found.explained < 0.1
    nothing = leave_one_out(np.zeros((10, 3)), np.ones(10), np.ones(10))
    assert nothing.explained == 0
