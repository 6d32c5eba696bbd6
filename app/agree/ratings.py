"""Agreement of any file of ratings, for data that never was in Prefloop."""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.agree.alpha import Level, Matrix, alpha
from app.agree.coefficients import (
    gwet,
    identity_weights,
    quadratic_weights,
    raw_side_agreement,
    side_alpha,
)
from app.agree.intervals import item_interval
from app.errors import Invalid

COLUMNS = ("item", "annotator", "rating")
SCALE = tuple(range(1, 9))


@dataclass(frozen=True)
class Ratings:
    """Counts [N, K] over `values` [K], and who gave them."""

    counts: NDArray[np.int64]
    values: Matrix
    n_ratings: int
    n_annotators: int

    @property
    def is_eight_point(self) -> bool:
        return tuple(self.values) == SCALE


@dataclass(frozen=True)
class Agreement:
    """What `prefloop agreement` reports; None is undefined, the interval a 95% one over items."""

    alpha: float | None
    alpha_low: float | None
    alpha_high: float | None
    side_alpha: float | None
    raw_side_agreement: float | None
    ac1: float | None
    ac2_quadratic: float | None
    n_items: int
    n_ratings: int
    n_annotators: int

    def as_json(self) -> dict[str, float | int | None]:
        return asdict(self)


def read_ratings(path: Path) -> Ratings:
    """Columns item, annotator, rating; an empty rating is missing.

    Raises Invalid, naming the line, for a missing column, a rating that is no number, or an
    annotator who rated one item twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return tabulate(_rows(csv.DictReader(stream)))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8 text. Save it as UTF-8 and try again.") from error


def _rows(reader: "csv.DictReader[str]") -> Iterator[tuple[str, str, float]]:
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise Invalid(
            f"The file lacks the column {missing[0]}; its first line must name "
            "item, annotator and rating.",
            line=1,
        )
    seen: set[tuple[str, str]] = set()
    for row in reader:
        text = (row["rating"] or "").strip()
        if not text:
            continue
        key = (row["item"] or "", row["annotator"] or "")
        if key in seen:
            raise Invalid(
                f"{key[1]} rated {key[0]} twice; keep one of the two.", line=reader.line_num
            )
        seen.add(key)
        yield (*key, _number(text, reader.line_num))


def _number(text: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Invalid(f"“{text[:40]}” is no rating; write a number.", line=line, field="rating")
    return value


def tabulate(rows: Iterable[tuple[str, str, float]]) -> Ratings:
    """Count ratings by item and category.

    Whole numbers from 1 to 8 that reach beyond 5 are taken for the 1-8 scale, with every category
    of it whether used or not (Gwet's coefficients depend on it); otherwise categories are the
    values that occur.
    """
    items: dict[str, int] = {}
    people: set[str] = set()
    where: list[int] = []
    given: list[float] = []
    for item, annotator, rating in rows:
        where.append(items.setdefault(item, len(items)))
        people.add(annotator)
        given.append(rating)
    found = sorted(set(given))
    is_scale = bool(found) and set(found) <= set(SCALE) and found[-1] > 5
    values = np.asarray(SCALE if is_scale else found, dtype=np.float64)
    counts = np.zeros((len(items), len(values)), dtype=np.int64)
    np.add.at(counts, (np.asarray(where, int), np.searchsorted(values, given)), 1)
    return Ratings(counts, values, len(given), len(people))


def agreement(ratings: Ratings, level: Level = Level.ORDINAL, *, seed: int = 0) -> Agreement:
    """Every coefficient of a table of ratings. Sides are defined on the 1-8 scale alone."""
    counts, values = ratings.counts, ratings.values
    has_any = ratings.n_ratings > 0
    interval = item_interval(counts, level, values, seed=seed) if has_any else None
    is_sided = has_any and ratings.is_eight_point
    return Agreement(
        alpha=alpha(counts, level, values) if has_any else None,
        alpha_low=interval.low if interval else None,
        alpha_high=interval.high if interval else None,
        side_alpha=side_alpha(counts) if is_sided else None,
        raw_side_agreement=raw_side_agreement(counts) if is_sided else None,
        ac1=gwet(counts, identity_weights(len(values))) if has_any else None,
        ac2_quadratic=gwet(counts, quadratic_weights(values)) if has_any else None,
        n_items=len(counts),
        n_ratings=ratings.n_ratings,
        n_annotators=ratings.n_annotators,
    )
