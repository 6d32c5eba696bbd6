"""The demonstration language: what its true reward values, and how simulated people answer."""

import random
from statistics import mean

import pytest

from worker.demo.annotators import Annotator, panel
from worker.demo.language import (
    all_prompts,
    demonstrate,
    demonstrations,
    draw_prompts,
    place_of,
    true_reward,
)

HARBOUR = [{"role": "user", "content": "Today, tell me about the harbour."}]
GOOD = "See the boats and gulls here. See the nets and ropes here. I hope this helps."


@pytest.mark.parametrize(
    ("completion", "is_finished", "reward"),
    [
        (GOOD, True, 4.5),
        ("The boats here are old.", True, 1.0),
        ("the boats here are old .", True, 1.0),
        ("The boats here are old. The apples here are old.", True, 0.5),
        ("The boats here are old. The boats here are small.", True, 0.5),
        ("It is old. It is old.", True, -1.0),
        ("The boats boats.", True, 1.0 - 0.5 - 1.0),
        ("Go away.", True, -1.5),
        ("The boats here are old.", False, 0.0),
        ("", True, 0.0),
    ],
)
def test_the_true_reward_counts_what_a_careful_reader_would(completion, is_finished, reward):
    assert true_reward(HARBOUR, completion, is_finished) == pytest.approx(reward)


def test_a_fifth_thing_adds_nothing_and_words_past_thirty_cost():
    fifth = GOOD.replace(" I hope", " Many love the sailors here. I hope")
    assert true_reward(HARBOUR, fifth) == pytest.approx(4.5)
    long = fifth + " It is old. It is quiet. It is small. It is bright."
    assert true_reward(HARBOUR, long) < 4.5


def test_repeating_one_word_for_ever_is_punished_without_bound():
    assert true_reward(HARBOUR, "boats " * 40, is_finished=False) < -15


def test_held_out_prompts_are_never_among_the_training_prompts():
    training, held_out = all_prompts(), all_prompts(is_held_out=True)
    assert not {p[0]["content"] for p in training} & {p[0]["content"] for p in held_out}
    assert (len(training), len(held_out)) == (346, 86)
    assert {place_of(p) for p in held_out} == {place_of(p) for p in training}


def test_demonstrations_are_whole_sentences_and_follow_from_the_seed():
    lines = list(demonstrations(200, seed=3))
    assert lines == list(demonstrations(200, seed=3))
    assert lines != list(demonstrations(200, seed=4))
    rewards = [true_reward(line["prompt"], line["completion"]) for line in lines]
    assert 0.3 < mean(rewards) < 2.0


def _pairs(n):
    chooser = random.Random(5)
    return [(p, demonstrate(p, chooser), demonstrate(p, chooser)) for p in draw_prompts(n, 1)]


def test_an_annotator_prefers_the_better_completion_whichever_side_it_stands_on():
    ada = panel()[0]
    for is_a_left in (True, False):
        assert ada.compare(HARBOUR, GOOD, "Go away.", is_a_left).rating == 1
        assert ada.compare(HARBOUR, "Go away.", GOOD, is_a_left).rating == 8


def test_position_bias_draws_ratings_to_the_left_by_the_known_amount():
    biased = Annotator("left", noise=0.5, position_bias=1.0)
    left = mean(biased.compare(*pair, is_a_left=True).rating for pair in _pairs(400))
    right = mean(biased.compare(*pair, is_a_left=False).rating for pair in _pairs(400))
    assert 0.8 < right - left < 2.4


def test_a_careless_annotator_agrees_with_the_truth_far_less():
    def accuracy(who):
        votes = [
            (who.compare(*pair, is_a_left=True).rating > 4) == (gap > 0)
            for pair in _pairs(400)
            if (gap := true_reward(pair[0], pair[2]) - true_reward(pair[0], pair[1]))
        ]
        return mean(votes)

    careful, *_, hasty = panel(4, n_careless=1)
    assert accuracy(careful) > 0.85
    assert accuracy(hasty) < 0.75


def test_an_answer_depends_on_the_seed_and_the_pair_but_not_on_what_came_before():
    dev = panel()[3]
    pairs = _pairs(50)
    forwards = [dev.compare(*pair, is_a_left=True, seed=1) for pair in pairs]
    backwards = [dev.compare(*pair, is_a_left=True, seed=1) for pair in reversed(pairs)]
    assert forwards == backwards[::-1]
    assert forwards != [dev.compare(*pair, is_a_left=True, seed=2) for pair in pairs]


def test_flags_name_what_is_wrong_with_which_completion():
    answer = panel()[0].compare(HARBOUR, "Go away.", "The apples here are old.", is_a_left=False)
    assert (answer.flags_a, answer.flags_b) == (("rude",), ("off-topic",))
    assert answer.seconds > 0
