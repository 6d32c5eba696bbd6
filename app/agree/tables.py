"""Agreement as rows for CSV files and JSON. Pure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from app.agree.calibration import Claim
from app.agree.evidence import Kind
from app.agree.flags import Answered
from app.agree.person import Portrait
from app.agree.reading import Figures, FlagFigures
from app.agree.service import Cut, Two
from app.agree.workforce import Workforce
from app.spreadsheet import as_csv
from app.tables.projects import Flag

COLUMNS = (
    *("alpha", "alpha_low", "alpha_high", "interval_alpha", "side_alpha"),
    *("raw_side_agreement", "raw_low", "raw_high", "ac1", "ac2_quadratic"),
    *("n_pairs", "n_shared_pairs", "n_ratings"),
)


def as_values(found: Figures) -> dict[str, float | int | None]:
    """Every figure by its column's name; what is undefined is None."""
    one = found.reading
    values = (
        *(one.alpha, one.alpha_range.low, one.alpha_range.high, one.interval_alpha),
        *(one.side_alpha, one.raw_side_agreement, found.raw_range.low, found.raw_range.high),
        *(found.ac1, one.ac2_quadratic, one.n_items, found.n_shared, one.n_ratings),
    )
    return dict(zip(COLUMNS, values, strict=True))


def cuts_as_csv(what: str, cuts: Sequence[Cut]) -> str:
    rows = [[one.name, *as_values(one.figures).values()] for one in cuts]
    return as_csv([what, *COLUMNS], rows)


def two_as_csv(two: Two) -> str:
    f = two.found
    ranges = (f.kappa_range.low, f.kappa_range.high)
    sides = (f.same_side, f.same_side_range.low, f.same_side_range.high)
    head = ["one", "other", "n_pairs", "weighted_kappa", "kappa_low", "kappa_high"]
    row = [two.one, two.other, f.n, f.kappa, *ranges, *sides]
    return as_csv([*head, "same_side", "same_side_low", "same_side_high"], [row])


FLAG_COLUMNS = (
    *("alpha", "alpha_low", "alpha_high", "raw_agreement", "ac1"),
    *("share_or_mean", "share_low", "share_high", "n_units", "n_shared", "n_answers"),
)


def flag_values(found: FlagFigures | None) -> list[float | int | None]:
    """In the order of `FLAG_COLUMNS`; what is undefined is None."""
    if found is None:
        return [None] * 8 + [0] * 3
    f = found
    alpha, share = f.alpha_range, f.share_range
    return [
        *(f.alpha, alpha.low, alpha.high, f.raw, f.ac1),
        *(f.share, share.low, share.high, f.n_units, f.n_shared, f.n_answers),
    ]


def flags_as_csv(flags: Sequence[Answered]) -> str:
    rows = [[one.flag.key, one.flag.kind.value, *flag_values(one.figures)] for one in flags]
    return as_csv(["flag", "kind", *FLAG_COLUMNS], rows)


def flag_weeks_as_csv(flag: Flag, weeks: Mapping[date, FlagFigures]) -> str:
    rows = [[flag.key, week.isoformat(), *flag_values(one)] for week, one in weeks.items()]
    return as_csv(["flag", "week", *FLAG_COLUMNS], rows)


def workforce_rows(found: Workforce) -> tuple[list[str], list[list[Any]]]:
    """A head, and a row a person: each kind of evidence in columns of its own."""
    head = ["person", "n_answers", "n_shared", "reliability", "reliability_low", "reliability_high"]
    kinds = (Kind.AGREEMENT, Kind.POSITION, Kind.SAMENESS, Kind.SPEED, Kind.DRIFT)
    for kind in kinds:
        head += [f"{kind.value}_n", kind.value, f"{kind.value}_p", f"is_{kind.value}_flagged"]
    rows = []
    for row in found.rows:
        trust, cells = row.trust, []
        for kind in kinds:
            one = row.evidence[kind]
            cells += [int(one.n), one.statistic, one.p, one.is_flagged]
        rows.append([row.person.name, row.n, trust.n, trust.mean, trust.low, trust.high, *cells])
    return [*head, "is_excluded"], [
        [*cells, row.is_excluded] for cells, row in zip(rows, found.rows, strict=True)
    ]


Table = tuple[list[str], list[list[Any]]]


def history_rows(found: Portrait) -> Table:
    head = ["first", "last", "same_side", "low", "high", "n"]
    return head, [[b.first, b.last, b.share, b.low, b.high, b.n] for b in found.history]


def claim_rows(claims: Sequence[Claim]) -> Table:
    head = ["claim", "same_side", "low", "high", "n"]
    return head, [[one.name, one.share, one.low, one.high, one.n] for one in claims]


def difference_rows(found: Portrait) -> Table:
    """Ratings as they stood on the page that the person saw."""
    head = ["pair_id", "answered_at", "rating", "mean_of_others", "n_others"]
    rows = [
        [str(one.pair_id), one.at.isoformat(), one.rating, one.rest, one.n_others]
        for one in found.differences
    ]
    return head, rows


OF_A_PERSON: Mapping[str, Callable[[Portrait], Table]] = {
    "history": history_rows,
    "firm": lambda found: claim_rows(found.firm),
    "sure": lambda found: claim_rows(found.sure),
    "differences": difference_rows,
}
