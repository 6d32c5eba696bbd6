"""Agreement against published figures, an oracle's figures, and itself in another order."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.agree.alpha import Level, RunningAlpha, alpha
from app.agree.coefficients import (
    gwet,
    identity_weights,
    quadratic_weights,
    raw_side_agreement,
    side_alpha,
    weighted_kappa,
)
from app.agree.intervals import item_interval, two_way_interval
from app.agree.ratings import agreement, read_ratings, tabulate
from app.errors import Invalid

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers,
# twelve units, 0 for missing.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]
PUBLISHED = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849, "ratio": 0.797}


def published_counts() -> np.ndarray:
    counts = np.zeros((12, 5), dtype=np.int64)
    for row in OBSERVERS:
        for unit, value in enumerate(row):
            if value:
                counts[unit, value - 1] += 1
    return counts


@pytest.mark.parametrize("level", list(Level))
def test_alpha_is_what_krippendorff_published(level: Level) -> None:
    assert alpha(published_counts(), level) == pytest.approx(PUBLISHED[level], abs=5e-4)


def test_ac1_is_what_gwet_published_for_the_same_ratings() -> None:
    # Gwet's R package irrCAC, example raw4raters, which is this table: 0.77544.
    counts = published_counts()
    assert gwet(counts, identity_weights(5)) == pytest.approx(0.77544, abs=5e-6)


def test_perfect_agreement_is_one_by_every_name() -> None:
    counts = np.diag([3] * 8)
    assert alpha(counts) == pytest.approx(1)
    assert gwet(counts, quadratic_weights(np.arange(1.0, 9))) == pytest.approx(1)
    assert side_alpha(counts) == pytest.approx(1)
    assert raw_side_agreement(counts) == pytest.approx(1)


def test_alpha_is_undefined_and_not_zero_where_everyone_gave_one_rating() -> None:
    counts = np.zeros((5, 8), dtype=int)
    counts[:, 2] = 3
    assert alpha(counts) is None


def test_an_item_with_one_rating_contributes_nothing() -> None:
    counts = published_counts()
    lonely = np.zeros((1, 5), dtype=int)
    lonely[0, 4] = 1
    assert alpha(np.vstack([counts, lonely])) == pytest.approx(alpha(counts))


def test_weighted_kappa_of_two_people_by_hand() -> None:
    # Ratings (1,1), (2,3), (3,3) on a scale of 3. With d² over 4: observed disagreement
    # (0 + .25 + 0)/3; expected from margins [1,1,1]/3 and [1,0,2]/3.
    one, other = np.array([1, 2, 3]), np.array([1, 3, 3])
    expected = sum(
        p * q * (i - j) ** 2 / 4
        for i, p in zip((1, 2, 3), (1 / 3, 1 / 3, 1 / 3), strict=True)
        for j, q in zip((1, 2, 3), (1 / 3, 0, 2 / 3), strict=True)
    )
    assert weighted_kappa(one, other, 3) == pytest.approx(1 - (0.25 / 3) / expected)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_stream_of_insertions_and_deletions_equals_the_batch_to_1e9(data: st.DataObject) -> None:
    n_items = data.draw(st.integers(2, 6))
    counts = np.zeros((n_items, 8), dtype=np.int64)
    running = RunningAlpha(range(1, 9))
    for _ in range(data.draw(st.integers(0, 40))):
        item, category = data.draw(st.integers(0, n_items - 1)), data.draw(st.integers(0, 7))
        if counts[item, category] and data.draw(st.booleans()):
            running.remove(counts[item], category)
        else:
            running.add(counts[item], category)
    for level in Level:
        streamed, batch = running.read(level), alpha(counts, level)
        assert (streamed is None) == (batch is None)
        assert streamed == pytest.approx(batch, abs=1e-9)


def test_taking_back_a_rating_that_was_never_given_is_refused() -> None:
    with pytest.raises(ValueError, match="no rating"):
        RunningAlpha(range(1, 9)).remove(np.zeros(8, dtype=np.int64), 3)


def world(n: int, m: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=n)
    counts = np.zeros((n, 8), dtype=np.int64)
    for _ in range(m):
        felt = np.round(4.5 + 2 * (quality + 0.8 * rng.normal(size=n)))
        np.add.at(counts, (np.arange(n), np.clip(felt, 1, 8).astype(int) - 1), 1)
    return counts


def test_the_item_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth, values = alpha(world(200_000, 3, 0)), np.arange(1.0, 9)
    assert truth is not None
    covered = 0
    for seed in range(1, 61):
        interval = item_interval(world(400, 3, seed), Level.ORDINAL, values, draws=200, seed=seed)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= truth <= interval.high
    assert covered >= 52  # 0.95 less three binomial deviations


def test_the_interval_for_new_annotators_is_wider() -> None:
    rng = np.random.default_rng(1)
    quality, bias = rng.normal(size=60), rng.normal(size=12) * 0.6
    items = np.repeat(np.arange(60), 3)
    people = rng.integers(0, 12, size=180)
    felt = np.round(4.5 + 2 * (quality[items] + bias[people] + 0.5 * rng.normal(size=180)))
    categories = np.clip(felt, 1, 8).astype(int) - 1
    counts = np.zeros((60, 8), dtype=np.int64)
    np.add.at(counts, (items, categories), 1)
    values = np.arange(1.0, 9)
    narrow = item_interval(counts, Level.ORDINAL, values)
    wide = two_way_interval(items, people, categories, Level.ORDINAL, values)
    assert wide.high - wide.low > narrow.high - narrow.low  # type: ignore[operator]


def test_a_file_of_ratings_is_read_with_its_gaps(tmp_path: Path) -> None:
    file = tmp_path / "ratings.csv"
    rows = [
        f"u{unit},o{observer},{value or ''}"
        for observer, row in enumerate(OBSERVERS)
        for unit, value in enumerate(row)
    ]
    file.write_text("item,annotator,rating\n" + "\n".join(rows) + "\n")
    found = agreement(read_ratings(file))
    assert found.alpha == pytest.approx(0.815, abs=5e-4)
    assert (found.n_items, found.n_ratings, found.n_annotators) == (12, 41, 4)
    assert found.side_alpha is None


def test_sides_are_read_on_the_eight_point_scale() -> None:
    found = agreement(tabulate([("i", "a", 1), ("i", "b", 4), ("j", "a", 8), ("j", "b", 3)]))
    assert found.raw_side_agreement == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item,rating\nx,1\n", "lacks the column annotator"),
        ("item,annotator,rating\nx,a,high\n", "is no rating"),
        ("item,annotator,rating\nx,a,1\nx,a,2\n", "rated x twice"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(Invalid, match=message) as refusal:
        read_ratings(file)
    assert refusal.value.line is not None


def test_nothing_rated_is_undefined(tmp_path: Path) -> None:
    file = tmp_path / "empty.csv"
    file.write_text("item,annotator,rating\n")
    assert agreement(read_ratings(file)).alpha is None


@pytest.mark.parametrize(
    "text",
    [
        "item;annotator;rating\n1;a;2,5\n1;b;2,5\n2;a;4\n2;b;1\n",
        "item\tannotator\trating\n1\ta\t2.5\n1\tb\t2.5\n2\ta\t4\n2\tb\t1\n",
        "Rating, Item ,note,Annotator\n2.5,1,x,a\n2.5,1,,b\n4,2,,a\n1,2,,b\n",
        "\ufeffitem,annotator,rating\r\n1,a,2.5\r\n1, b ,2.5\r\n2,a,4\r\n2,b,1\r\n",
    ],
)
def test_a_file_may_come_from_any_spreadsheet(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text(text, encoding="utf-8")
    found = agreement(read_ratings(file), Level.INTERVAL)
    assert (found.n_items, found.n_ratings, found.n_annotators) == (2, 4, 2)
    plain = [("1", "a", 2.5), ("1", "b", 2.5), ("2", "a", 4.0), ("2", "b", 1.0)]
    assert found.alpha == agreement(tabulate(plain), Level.INTERVAL).alpha


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lacks the column item"),
        ("item,annotator,rating\n1,a,good\n", "is no rating"),
        ("item,annotator,rating\n,a,3\n", "needs an item and an annotator"),
        ("item,annotator,rating\n1,,3\n", "needs an item and an annotator"),
        ('item,annotator,rating\n"1,a,3\n1,b,3\n', "cannot be read as CSV"),
        ("item,annotator,rating\n" + "x" * 200_000 + ",a,3\n", "cannot be read as CSV"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "ratings.csv"
    file.write_text(text)
    with pytest.raises(Invalid, match=says):
        read_ratings(file)


def test_ratings_by_slider_have_an_agreement_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    felt = rng.random(3_000)
    lines = ["item,annotator,rating"]
    for item, one in enumerate(felt):
        lines += [f"{item},{who},{100 * one + 5 * rng.normal():.3f}" for who in "ab"]
    file = tmp_path / "sliders.csv"
    file.write_text("\n".join(lines))
    found = agreement(read_ratings(file), Level.INTERVAL)
    assert found.n_ratings == 6_000
    # Of what varies, 10,000 / 12 is the items' and 25 the readers'.
    assert found.alpha == pytest.approx(833 / 858, abs=0.01)
    assert found.alpha_low is not None
    assert found.alpha_high is not None
    assert found.alpha_low < found.alpha < found.alpha_high
