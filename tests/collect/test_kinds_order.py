"""From ranks to pairs and from text to sentences, by hand-computed cases and by properties."""

from hypothesis import given
from hypothesis import strategies as st

from app.collect.kinds.order import (
    BARELY,
    MIDDLE,
    dense,
    merged,
    pairs_of_ranking,
    rating_of,
    sentences,
)


def test_a_ranking_of_three_with_a_tie_gives_three_pairs() -> None:
    pairs = pairs_of_ranking({"x": 2, "y": 1, "z": 2})
    assert pairs == [("y", "x", False), ("y", "z", False), ("x", "z", True)]


def test_ranks_lose_their_gaps_and_keep_their_ties() -> None:
    assert dense({"x": 7, "y": 2, "z": 7, "w": 9}) == {"x": 2, "y": 1, "z": 2, "w": 3}


@given(st.dictionaries(st.integers(), st.integers(1, 9), min_size=1, max_size=9))
def test_every_two_items_meet_once_and_the_better_one_comes_first(ranks: dict[int, int]) -> None:
    pairs = pairs_of_ranking(ranks)
    assert len({frozenset(pair[:2]) for pair in pairs}) == len(ranks) * (len(ranks) - 1) // 2
    for one, other, is_tie in pairs:
        assert (ranks[one] == ranks[other]) is is_tie
        assert ranks[one] <= ranks[other]


def test_a_rating_says_the_side_and_the_strength() -> None:
    assert [rating_of(True, one) for one in (4, 3, 2, 1)] == [1, 2, 3, 4]
    assert [rating_of(False, one) for one in (1, 2, 3, 4)] == [5, 6, 7, 8]
    assert (rating_of(True, MIDDLE), rating_of(False, MIDDLE), rating_of(True, BARELY)) == (3, 6, 4)


def test_sentences_end_at_stops_and_at_line_breaks() -> None:
    words = "One. Two, e.g. this! “Three?”\n\n- four\n3.5 five"
    assert [words[start:stop] for start, stop in sentences(words)] == [
        "One.",
        "Two, e.g.",
        "this!",
        "“Three?”",
        "- four",
        "3.5 five",
    ]


@given(st.text(alphabet="ab. \n!?\t👍שx", max_size=60))
def test_between_two_sentences_is_white_space_only(words: str) -> None:
    left, place = "", 0
    for start, stop in sentences(words):
        assert start < stop
        left += words[place:start]
        place = stop
    assert (left + words[place:]).strip() == ""


def test_neighbouring_sentences_with_one_reason_are_one_span() -> None:
    parts = [(6, 9, "wrong"), (0, 5, "wrong"), (10, 12, "good"), (40, 50, "good")]
    assert merged(parts) == [(0, 9, "wrong"), (10, 12, "good"), (40, 50, "good")]
