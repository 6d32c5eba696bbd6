"""Which rows of a preference file meet in a step of training."""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import torch

from worker.reward.batches import cut_batches, cut_parts, usual_epochs
from worker.reward.data import Encoded


def encoded(sides: list[tuple[int, int]]) -> Encoded:
    n = len(sides)
    return Encoded(
        sequences=[[1] * (3 + one % 7) for one in range(1 + max(max(pair) for pair in sides))],
        chosen=torch.tensor([one for one, _ in sides]),
        rejected=torch.tensor([two for _, two in sides]),
        strengths=torch.ones(n),
        weights=torch.ones(n),
        is_tie=torch.zeros(n, dtype=torch.bool),
        groups=[""] * n,
        n_truncated=0,
    )


def tournaments(n: int, size: int, votes: int = 1) -> Encoded:
    """`n` sets of `size` completions, each two of a set compared `votes` times."""
    return encoded(
        [
            (number * size + one, number * size + two)
            for number in range(n)
            for one, two in combinations(range(size), 2)
            for _ in range(votes)
        ]
    )


def read(data: Encoded, batch: list[int]) -> set[int]:
    return {int(side[row]) for row in batch for side in (data.chosen, data.rejected)}


def test_all_pairs_and_votes_on_completions_that_are_read_together_are_one_batch() -> None:
    data = tournaments(4, 8, votes=5)
    batches = cut_batches(data, 14, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == [140] * 4
    assert sorted(min(read(data, batch)) for batch in batches) == [0, 8, 16, 24]
    assert batches == cut_batches(data, 14, seed=0, epoch=0)
    assert batches != cut_batches(data, 14, seed=0, epoch=1)


def test_small_rankings_fill_a_batch_and_none_is_cut() -> None:
    data = tournaments(10, 4)
    batches = cut_batches(data, 14, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == [12] * 5
    assert all(len(read(data, batch)) == 8 for batch in batches)


def test_completions_too_many_for_a_step_are_read_in_blocks_and_each_row_once() -> None:
    data = tournaments(1, 50, votes=2)
    batches = cut_batches(data, 8, seed=0, epoch=0)
    assert max(len(read(data, batch)) for batch in batches) <= 16
    assert Counter(row for batch in batches for row in batch) == Counter(range(len(data)))


def test_rows_that_share_nothing_are_cut_evenly_and_those_of_like_length_meet_unless_packed() -> (
    None
):
    data = encoded([(2 * number, 2 * number + 1) for number in range(70)])
    lengths = torch.tensor([len(one) for one in data.sequences])
    longest = torch.maximum(lengths[data.chosen], lengths[data.rejected])
    for is_packed in (False, True):
        batches = cut_batches(data, 16, seed=0, epoch=0, is_packed=is_packed)
        assert sorted(map(len, batches)) == [6, 16, 16, 16, 16]
        assert Counter(row for batch in batches for row in batch) == Counter(range(70))
        spread = [int(longest[batch].max() - longest[batch].min()) for batch in batches]
        assert (sum(spread) < 12) is not is_packed


def test_epochs_are_more_where_a_step_reads_many_rows_and_one_elsewhere() -> None:
    assert usual_epochs(encoded([(2 * number, 2 * number + 1) for number in range(70)]), 16) == 1
    assert usual_epochs(tournaments(10, 4), 14) == 1
    assert usual_epochs(tournaments(12, 30, votes=5), 32) == 6
    assert usual_epochs(tournaments(1, 30), 32) == 8


def test_parts_of_a_batch_read_no_more_than_said_and_rows_that_share_stay_together() -> None:
    alone = encoded([(2 * row, 2 * row + 1) for row in range(12)])
    parts = cut_parts([7, 3, 0, 9, 5, 4], alone, 40)
    assert [row for part in parts for row in part] == [7, 3, 0, 9, 5, 4]
    lengths = [sum(len(alone.sequences[one]) for one in read(alone, part)) for part in parts]
    assert len(parts) > 1
    assert all(length <= 40 for length in lengths)
    assert cut_parts([7, 3, 0], alone, 1) == [[7], [3], [0]]

    together = tournaments(3, 4)  # six rows of each set of four completions
    rows = [0, 6, 12, 1, 7, 13]
    assert cut_parts(rows, together, 1) == [[0, 1], [6, 7], [12, 13]]

    one_prompt = replace(alone, groups=["a", "b"] * 6)
    assert cut_parts([0, 1, 2, 3], one_prompt, 1) == [[0, 2], [1, 3]]
