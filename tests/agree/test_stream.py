"""The agreement page's figures from the state, against the batch functions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.agree.alpha import Level, alpha
from app.agree.answers import tally
from app.agree.coefficients import gwet, quadratic_weights, raw_side_agreement, side_alpha
from app.agree.intervals import item_interval, two_way_interval
from app.agree.stream import AgreementState, distinct
from benchmarks.people import world

SCALE = np.arange(1.0, 9)


def test_the_state_reads_what_the_batch_computes() -> None:
    counts = tally(world(1, 60).answers).astype(np.int64)
    counts[:20] = 0
    counts[20:40] = np.eye(8, dtype=np.int64)[3]
    found = AgreementState.recomputed(counts).read()
    assert found.alpha == pytest.approx(alpha(counts))
    assert found.interval_alpha == pytest.approx(alpha(counts, Level.INTERVAL))
    assert found.side_alpha == pytest.approx(side_alpha(counts))
    assert found.raw_side_agreement == pytest.approx(raw_side_agreement(counts))
    assert found.ac2_quadratic == pytest.approx(gwet(counts, quadratic_weights(SCALE)))
    assert found.alpha_range == item_interval(counts, Level.ORDINAL, SCALE)
    assert (found.n_items, found.n_ratings) == (len(counts) - 20, counts.sum())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_after_any_order_of_answers_edits_and_deletions_it_equals_the_batch(
    data: st.DataObject,
) -> None:
    counts = np.zeros((data.draw(st.integers(2, 5)), 8), dtype=np.int64)
    state = AgreementState.empty()
    for _ in range(data.draw(st.integers(0, 30))):
        item = data.draw(st.integers(0, len(counts) - 1))
        held = np.flatnonzero(counts[item]).tolist()
        if held and data.draw(st.booleans()):
            state.remove(counts[item], data.draw(st.sampled_from(held)))
        if data.draw(st.booleans()):
            state.add(counts[item], data.draw(st.integers(0, 7)))
    streamed, batch = state.read(draws=5), AgreementState.recomputed(counts).read(draws=5)
    assert state.patterns == AgreementState.recomputed(counts).patterns
    for name in ("alpha", "interval_alpha", "side_alpha", "raw_side_agreement", "ac2_quadratic"):
        one, other = getattr(streamed, name), getattr(batch, name)
        assert (one is None) == (other is None)
        assert one == pytest.approx(other, abs=1e-9)
    assert (streamed.n_items, streamed.n_ratings) == (batch.n_items, batch.n_ratings)


def test_nothing_answered_is_undefined() -> None:
    found = AgreementState.empty().read()
    assert (found.alpha, found.side_alpha, found.raw_side_agreement) == (None, None, None)
    assert (found.ac2_quadratic, found.alpha_range.low, found.n_items) == (None, None, 0)


def test_taking_back_what_was_never_given_changes_nothing() -> None:
    state, counts = AgreementState.empty(), np.zeros(8, dtype=np.int64)
    state.add(counts, 2)
    with pytest.raises(ValueError, match="no rating"):
        state.remove(counts, 3)
    assert dict(state.patterns) == {(0, 0, 1, 0, 0, 0, 0, 0): 1}


def test_many_ratings_of_one_item_are_told_apart_too() -> None:
    counts = np.array([[0, 900, 0, 0, 0, 0, 0, 1_000], [0, 900, 0, 0, 0, 0, 0, 999]])
    patterns, times = distinct(np.vstack([counts, counts[:1]]))
    assert sorted(zip(patterns[:, 7].tolist(), times.tolist(), strict=True)) == [
        (999, 1),
        (1000, 2),
    ]


def test_the_interval_for_new_annotators_lies_around_alpha_where_few_people_answered() -> None:
    # Someone drawn twice once counted as agreeing with themselves, which lifted both ends.
    drawn = world(1, 90, n_people=8).answers
    found = alpha(tally(drawn))
    wide = two_way_interval(drawn.pairs, drawn.people, drawn.choices, Level.ORDINAL, SCALE)
    narrow = item_interval(tally(drawn), Level.ORDINAL, SCALE)
    assert found is not None
    assert wide.low is not None
    assert wide.high is not None
    assert narrow.low is not None
    assert narrow.high is not None
    assert wide.low < narrow.low < found < narrow.high < wide.high
