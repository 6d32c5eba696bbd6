"""Agreement of any file of ratings, for data that never was in Prefloop."""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.agree import fine
from app.agree.alpha import Level, Matrix, alpha
from app.agree.coefficients import (
    gwet,
    identity_weights,
    quadratic_weights,
    raw_side_agreement,
    side_alpha,
)
from app.agree.intervals import Interval, item_interval
from app.errors import Invalid

COLUMNS = ("item", "annotator", "rating")
DELIMITERS = (",", ";", "\t")
SCALE = tuple(range(1, 9))
# Beyond these many different ratings, matrices over pairs of them grow too large.
MOST_IN_MATRICES = 12


@dataclass(frozen=True)
class Ratings:
    """M ratings: their `items` and `categories`, [M] each, numbered from 0; `values` [K]."""

    items: NDArray[np.int64]
    categories: NDArray[np.int64]
    values: Matrix
    n_items: int
    n_annotators: int

    @property
    def is_eight_point(self) -> bool:
        return tuple(self.values) == SCALE

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each category was given to each item, [N, K]."""
        counts = np.zeros((self.n_items, len(self.values)), dtype=np.int64)
        np.add.at(counts, (self.items, self.categories), 1)
        return counts


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
    """Columns item, annotator, rating, between commas, semicolons or tabs; an empty rating is
    missing. Names of columns may be capitalised, and others may stand beside them.

    Raises Invalid, naming the line, for a missing column, a rating that is no number, a rating of
    no item or by nobody, or an annotator who rated one item twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return tabulate(_rows(stream))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8 text. Save it as UTF-8 and try again.") from error


def _rows(stream: Iterable[str]) -> Iterator[tuple[str, str, float]]:
    lines = iter(stream)
    head = next(lines, "")
    mark = max(DELIMITERS, key=head.count)
    reader = csv.reader(lines, delimiter=mark, strict=True)
    places = _places([name.strip() for name in next(csv.reader([head], delimiter=mark), [])])
    seen: set[tuple[str, str]] = set()
    while (row := _next_row(reader)) is not None:
        line = reader.line_num + 1
        item, annotator, text = (row[at].strip() if at < len(row) else "" for at in places)
        if not text:
            continue
        if not item or not annotator:
            raise Invalid("A rating needs an item and an annotator.", line=line)
        if (item, annotator) in seen:
            raise Invalid(f"{annotator} rated {item} twice; keep one of the two.", line=line)
        seen.add((item, annotator))
        # Whoever separates cells by semicolons writes decimals with a comma.
        yield item, annotator, _number(text.replace(",", ".") if mark == ";" else text, line)


def _places(names: list[str]) -> list[int]:
    """Where the three columns stand."""
    lower = [name.lower() for name in names]
    missing = [name for name in COLUMNS if name not in lower]
    if missing:
        raise Invalid(
            f"The file lacks the column {missing[0]}; its first line must name "
            "item, annotator and rating.",
            line=1,
        )
    return [lower.index(name) for name in COLUMNS]


def _next_row(reader: Iterator[list[str]]) -> list[str] | None:
    """None at the end. Raises Invalid for what is no CSV, such as a quotation that never ends."""
    try:
        return next(reader, None)
    except csv.Error as error:
        raise Invalid(f"The file cannot be read as CSV: {error}.") from error


def _number(text: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Invalid(
            f"“{text[:40]}” is no rating; write a number. Categories can be numbered.",
            line=line,
            field="rating",
        )
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
    categories = np.searchsorted(values, np.asarray(given, np.float64)).astype(np.int64)
    return Ratings(np.asarray(where, np.int64), categories, values, len(items), len(people))


def agreement(ratings: Ratings, level: Level = Level.ORDINAL, *, seed: int = 0) -> Agreement:
    """Every coefficient of a table of ratings. Sides are defined on the 1-8 scale alone.

    Raises Invalid for a ratio scale with too many different ratings.
    """
    counts = ratings.counts if ratings.is_eight_point else None
    found, interval, ac1, ac2 = _coefficients(ratings, level, seed)
    return Agreement(
        alpha=found,
        alpha_low=interval.low,
        alpha_high=interval.high,
        side_alpha=side_alpha(counts) if counts is not None else None,
        raw_side_agreement=raw_side_agreement(counts) if counts is not None else None,
        ac1=ac1,
        ac2_quadratic=ac2,
        n_items=ratings.n_items,
        n_ratings=len(ratings.items),
        n_annotators=ratings.n_annotators,
    )


def _coefficients(
    ratings: Ratings, level: Level, seed: int
) -> tuple[float | None, Interval, float | None, float | None]:
    """Alpha, its interval, AC1 and AC2."""
    values = ratings.values
    if len(ratings.items) == 0:
        return None, Interval(None, None), None, None
    if len(values) > MOST_IN_MATRICES:
        table = fine.table_of(ratings.items, ratings.categories, values)
        return (*fine.alpha_and_interval(table, level, seed=seed), *fine.gwets(table))
    counts = ratings.counts
    return (
        alpha(counts, level, values),
        item_interval(counts, level, values, seed=seed),
        gwet(counts, identity_weights(len(values))),
        gwet(counts, quadratic_weights(values)),
    )
