"""Fine scales: the same figures as from whole matrices, and files that those cannot hold."""

import numpy as np
import pytest

from app.agree import fine
from app.agree.alpha import Level, alpha
from app.agree.coefficients import gwet, identity_weights, quadratic_weights
from app.agree.intervals import item_interval
from app.errors import Invalid


def drawn(n_items: int, n_values: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(items, categories, values): one to four ratings an item, of positive uneven values."""
    rng = np.random.default_rng(5)
    n = rng.integers(1, 5, n_items)
    items = np.repeat(np.arange(n_items), n)
    felt = rng.random(n_items)[items] + 0.15 * rng.normal(size=len(items))
    categories = np.clip((felt * n_values).astype(np.int64), 0, n_values - 1)
    used, categories = np.unique(categories, return_inverse=True)
    return items, categories, (used + 1.0) ** 1.3


@pytest.mark.parametrize("level", list(Level))
def test_alpha_is_that_of_whole_matrices(level: Level) -> None:
    items, categories, values = drawn(80, 12)
    counts = np.zeros((80, len(values)), dtype=np.int64)
    np.add.at(counts, (items, categories), 1)
    found, limits = fine.alpha_and_interval(fine.table_of(items, categories, values), level)
    assert found == pytest.approx(alpha(counts, level, values), abs=1e-12)
    whole = item_interval(counts, level, values)
    assert limits.low == pytest.approx(whole.low, abs=0.02)
    assert limits.high == pytest.approx(whole.high, abs=0.02)


def test_gwets_coefficients_are_those_of_whole_matrices() -> None:
    items, categories, values = drawn(80, 12)
    counts = np.zeros((80, len(values)), dtype=np.int64)
    np.add.at(counts, (items, categories), 1)
    ac1, ac2 = fine.gwets(fine.table_of(items, categories, values))
    assert ac1 == pytest.approx(gwet(counts, identity_weights(len(values))), abs=1e-12)
    assert ac2 == pytest.approx(gwet(counts, quadratic_weights(values)), abs=1e-12)


def test_where_everyone_gave_one_rating_or_nobody_two_nothing_is_defined() -> None:
    same = fine.table_of(np.array([0, 0, 1, 1]), np.zeros(4, dtype=np.int64), np.array([3.0]))
    assert fine.alpha_and_interval(same, Level.INTERVAL)[0] is None
    assert fine.gwets(same) == (None, None)
    alone = fine.table_of(np.array([0, 1]), np.array([0, 1]), np.array([3.0, 4.0]))
    assert fine.alpha_and_interval(alone, Level.ORDINAL)[0] is None
    assert fine.gwets(alone) == (None, None)


def test_a_ratio_scale_of_too_many_ratings_is_refused_with_what_to_do() -> None:
    n = fine.MOST_FOR_RATIO + 1
    table = fine.table_of(
        np.repeat(np.arange(n), 2), np.repeat(np.arange(n), 2), np.arange(1.0, n + 1)
    )
    with pytest.raises(Invalid, match="Round them"):
        fine.alpha_and_interval(table, Level.RATIO)
