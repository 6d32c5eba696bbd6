"""Evidence against people whose care is known, and against chances computed otherwise."""

import numpy as np
import pytest

from app.agree.evidence import Kind, gold, longest_run, position, run_chance, sameness, speed
from app.agree.scrutiny import Gold, Pace, half_effort_chance, leave_one_out, scrutinise
from benchmarks.people import world
from tests.agree.worlds import answers_of, one_person


def test_random_answers_are_flagged_for_disagreeing_and_for_nothing_else() -> None:
    drawn = world(1, 100, ("random", "straight", "left"))
    evidence = scrutinise(drawn.answers)
    kinds = [{one.kind for one in person if one.is_flagged} for person in evidence]
    assert kinds[0] == {Kind.AGREEMENT}
    assert Kind.SAMENESS in kinds[1]
    assert Kind.POSITION in kinds[2]
    assert sum(bool(one) for one in kinds[3:]) <= 1


def test_where_nobody_is_careless_hardly_anyone_is_flagged() -> None:
    flagged = [
        any(one.is_flagged for one in person)
        for seed in range(10)
        for person in scrutinise(world(seed, 50).answers)
    ]
    assert np.mean(flagged) <= 0.02


def test_someone_who_reads_the_scale_the_wrong_way_round_disagrees() -> None:
    evidence = leave_one_out(world(2, 60, ("inverted",)).answers)[0]
    assert evidence.is_flagged
    assert (evidence.statistic or 0) < -0.3
    assert "60 shared pairs" in evidence.says


def test_below_twenty_shared_pairs_nothing_is_said_about_agreement() -> None:
    for evidence in leave_one_out(world(3, 18, ("random",)).answers):
        assert evidence.statistic is None
        assert evidence.p is None
        assert not evidence.is_flagged
        assert "nothing about agreement is visible" in evidence.not_visible


def test_single_answers_are_compared_with_nobodys() -> None:
    assert {one.n for one in leave_one_out(world(4, 40, overlap=1).answers)} == {0}


def test_the_chance_of_seeing_half_an_effort_is_about_what_happens() -> None:
    found = [leave_one_out(world(seed, 100, ("half",)).answers)[0] for seed in range(30)]
    happened = np.mean([one.is_flagged for one in found])
    assert half_effort_chance(100, 0.72, 0.1, 20) == pytest.approx(happened, abs=0.3)
    assert "%" in found[0].not_visible


def test_a_side_is_counted_as_it_was_shown() -> None:
    # Rating 2 (A) shown the other way round stands on the right; 7 (B) flipped on the left.
    rows = [(pair, 0, 2 if pair % 2 else 7) for pair in range(20)]
    answers = answers_of(rows, flipped=[pair % 2 == 0 for pair in range(20)])
    (found,) = position(answers)
    assert found.statistic == 1
    assert found.p == pytest.approx(2 / 2**20)
    assert found.is_flagged


def test_one_rating_throughout_is_flagged_and_a_varied_one_is_not() -> None:
    assert sameness(one_person([4] * 30))[0].is_flagged
    assert not sameness(one_person([1, 5, 8, 3, 6, 2, 7, 4] * 5))[0].is_flagged


def test_a_long_run_amid_varied_answers_is_flagged() -> None:
    rng = np.random.default_rng(0)
    varied = rng.integers(1, 9, 100).tolist()
    (found,) = sameness(one_person(varied[:50] + [5] * 20 + varied[50:]))
    assert found.is_flagged
    assert (found.statistic or 1) < 0.6
    assert not sameness(one_person(varied))[0].is_flagged


def test_the_chance_of_a_run_by_hand_and_never_below_what_chance_brings() -> None:
    assert run_chance(np.array([0, 0, 0, 1])) == pytest.approx(
        0.75**3 * (1 + 0.25) + 0.25**3 * (1 + 0.75)
    )
    rng = np.random.default_rng(0)
    given = np.array([0] * 25 + [1] * 15)
    runs = [longest_run(rng.permutation(given)) for _ in range(4_000)]
    for length in (8, 10, 12):
        arranged = np.concatenate([[0] * length, np.resize([1, 0], 40 - length)])
        assert np.mean(np.array(runs) >= length) < run_chance(arranged) + 0.02


def test_answers_faster_than_anyone_reads_are_flagged() -> None:
    answers = answers_of([(pair, person, 3) for pair in range(20) for person in (0, 1)])
    seconds = np.where(answers.people == 0, 5.0, 60.0)
    fast, slow = speed(answers, seconds, np.full(40, 200.0))
    assert fast.is_flagged
    assert fast.statistic == 1
    assert not slow.is_flagged
    assert "looks slow" in slow.not_visible


def test_gold_is_flagged_by_its_bound_and_says_when_it_is_too_little() -> None:
    poor, fair, few = gold([10, 16, 0], [20, 20, 3])
    assert poor.is_flagged == (poor.bound is not None and poor.bound < 0.75)
    assert not fair.is_flagged
    assert not few.is_flagged
    assert "too few" in few.not_visible
    assert gold([5], [20])[0].is_flagged


def test_a_person_without_answers_has_evidence_of_nothing() -> None:
    answers = answers_of([(0, 2, 3), (0, 1, 3)])
    rows = np.ones(2)
    everything = scrutinise(answers, Pace(10 * rows, 5 * rows), Gold([0] * 3, [0] * 3))
    # Drift needs a reward model's scores too, and is read apart.
    assert [one.kind for one in everything[0]] == [one for one in Kind if one is not Kind.DRIFT]
    assert all(one.statistic is None and not one.is_flagged for one in everything[0])
    assert all(one.says and one.not_visible for person in everything for one in person)
