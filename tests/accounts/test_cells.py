"""Counts of people by what they said: no small cell is shown, and none can be worked out."""

import itertools
import random

import pytest

from app.accounts.cells import FEWEST, Cells, suppress, suppress_many


def test_cells_of_ten_or_more_are_shown_when_no_other_is_small() -> None:
    assert suppress({"a": 30, "b": 12}) == Cells({"a": 30, "b": 12}, 0, 42)


def test_a_cell_that_the_total_would_give_away_takes_another_one_with_it() -> None:
    assert suppress({"a": 30, "b": 9, "c": 13}) == Cells({"a": 30}, 22, 52)


def test_that_everybody_said_one_thing_is_not_shown_either() -> None:
    assert suppress({"a": 12, "b": 0}) == Cells({}, 12, 12)


def test_a_total_that_gives_its_cells_away_is_hidden_too() -> None:
    assert suppress({"a": 9, "b": 9}) == Cells({}, None, None)
    assert suppress({"a": 4, "b": 5}) == Cells({}, None, None)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_counts_a_hidden_small_cell_stays_open_to_who_knows_the_rule(
    seed: int,
) -> None:
    """By brute force: all tables with the published figures, and the same cells hidden."""
    chance = random.Random(seed)
    for _ in range(60):
        counts = {name: chance.choice([0, 3, 8, 9, 10, 11, 14]) for name in "abcd"}
        found = suppress(counts)
        assert all(n >= FEWEST for n in found.shown.values())
        if found.total is None:
            continue
        hidden = [name for name in counts if name not in found.shown]
        if not any(counts[name] < FEWEST for name in hidden):
            continue
        rest = found.total - sum(found.shown.values())
        assert rest >= FEWEST
        alike = [
            dict(zip(hidden, values, strict=True))
            for values in itertools.product(range(rest + 1), repeat=len(hidden))
            if sum(values) == rest
        ]
        for name in hidden:
            if counts[name] < FEWEST:
                assert len({one[name] for one in alike if one[name] < FEWEST}) >= 3


def test_of_several_choices_a_cell_is_hidden_that_shows_who_is_not_in_it() -> None:
    found = suppress_many({"en": 25, "de": 14, "fr": 3}, 30)
    assert found == Cells({"de": 14}, None, 30)
    assert suppress_many({"en": 9}, 9) == Cells({}, None, None)
