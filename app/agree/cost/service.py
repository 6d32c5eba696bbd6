"""Throughput, active time, prices and the end of the open work, for one page."""

import math
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from app.agree import patterns as agreement
from app.agree.cost import queries
from app.agree.cost.eta import RECENT_DAYS, Eta, days_until_done
from app.agree.cost.price import UNKNOWN, Price, Spent, price
from app.agree.cost.upkeep import catch_up_work
from app.agree.cost.wages import Wages, wages_of
from app.agree.flags import by_flag
from app.agree.newcomers import ready_people
from app.agree.reading import Figures, figures
from app.agree.upkeep import catch_up
from app.tables.accounts import Person
from app.tables.base import utc_now
from app.tables.projects import Flag, Project
from app.tables.work import Control

# Half the width that the interval of alpha is brought to, for its price.
WANTED_HALF = 0.05
NAMES = {
    Control.PROMPT: "Reading the prompt",
    Control.COMPLETION: "Reading the answers",
    Control.RATING: "The rating",
    Control.COMMENT: "Comment",
}


@dataclass(frozen=True)
class Pace:
    """One person's work: all of it, and of the recent days alone.

    `seconds_each` is the active time of an answer; `cost` None has no wage to go by.
    """

    person: Person
    can_answer: bool
    n: int
    seconds: float
    cost: float | None
    n_recent: int
    seconds_each: Price
    per_day: float | None


@dataclass(frozen=True)
class Week:
    day: date
    n: int
    seconds: float
    cost: float | None
    each: Price


@dataclass(frozen=True)
class Worth:
    """Held-out accuracy of a reward model with a flag's answers less that without, and its 95%
    interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Button:
    """What one use of a control costs; `share` of all measured time. `alpha` is of a flag, and so
    is `worth`, None until it was measured."""

    name: str
    flag: Flag | None
    each: Price
    seconds_each: float | None
    share: float | None
    alpha: float | None
    worth: Worth | None = None


@dataclass(frozen=True)
class Certainty:
    """What it would cost to know alpha to ± `WANTED_HALF`; None is undefined, 0 is reached."""

    half: float | None
    n_pairs: int | None
    cost: float | None


@dataclass(frozen=True)
class Costs:
    """Money in `wages.currency` where anyone has a wage, else active seconds.

    `unpriced` are the active seconds of people without a wage, left out of all money.
    """

    wages: Wages
    n: int
    n_fresh: int
    seconds: float
    total: float | None
    unpriced: float
    each: Price
    each_fresh: Price
    people: list[Pace]
    weeks: list[Week]
    recent: list[tuple[date, int]]
    buttons: list[Button]
    certainty: Certainty
    n_open: int
    eta: Eta

    @property
    def unit(self) -> str:
        return self.wages.currency if self.wages.is_any else "s"


def costs(session: Session, project: Project) -> Costs:
    """Catch up and read everything; writes only the state."""
    catch_up(session, project.id)
    catch_up_work(session, project.id)
    wages = wages_of(session, project.id)
    days = queries.work_days(session, project.id)
    people = _people_able(session, project, [row.person_id for row in days])
    able = {person.id for person, can_answer in people if can_answer}
    recent = recent_days(days, able)
    n_open = queries.n_answers_open(session, project.id)
    each_fresh = _each(days, wages, "n_fresh")
    return Costs(
        wages,
        sum(row.n for row in days),
        sum(row.n_fresh for row in days),
        math.fsum(row.seconds for row in days),
        _total(days, wages),
        math.fsum(row.seconds for row in days if _rate(wages, row.person_id) is None),
        _each(days, wages, "n_timed"),
        each_fresh,
        _people(days, wages, people),
        _weeks(days, wages),
        recent,
        _buttons(session, project, wages),
        _certainty(session, project, each_fresh),
        n_open,
        days_until_done(n_open, [n for _, n in recent]),
    )


def _rate(wages: Wages, person_id: uuid.UUID) -> float | None:
    """The cost of a second; 1 where nobody has a wage, so that cost is time."""
    return wages.per_second(person_id) if wages.is_any else 1.0


def _total(days: Iterable[Row[Any]], wages: Wages) -> float | None:
    if not wages.is_any:
        return None
    rates = [(_rate(wages, row.person_id), row.seconds) for row in days]
    return math.fsum(rate * seconds for rate, seconds in rates if rate is not None)


def _each(days: Iterable[Row[Any]], wages: Wages, given: str) -> Price:
    """The price of one answer of those that the column `given` counts."""
    rows = []
    for row in days:
        rate = _rate(wages, row.person_id)
        if rate is not None and row.n_timed:
            cost = rate * row.seconds
            rows.append((cost, rate**2 * row.squares, row.n_timed, getattr(row, given)))
    return price(Spent.of(rows))


def recent_days(days: Sequence[Row[Any]], able: set[uuid.UUID]) -> list[tuple[date, int]]:
    """The answers that counted, of people who can still answer, on each of the recent whole days.

    From the project's first day on, idle days too; today is not over and left out.
    """
    today = utc_now().date()
    first = queries.first_day(days)
    start = max(first, today - timedelta(days=RECENT_DAYS)) if first else today
    found = {start + timedelta(days=k): 0 for k in range((today - start).days)}
    for row in days:
        if row.person_id in able and row.day in found:
            found[row.day] += row.n_fresh
    return sorted(found.items())


def _people_able(
    session: Session, project: Project, worked: Sequence[uuid.UUID]
) -> list[tuple[Person, bool]]:
    """Annotators and whoever worked, by name, and whether each can answer now: not paused, and
    with nothing left to do that the project requires first."""
    people = queries.paid_people(session, project.id, worked)
    ready = ready_people(session, project, [person for person, is_here in people if is_here])
    return [(person, is_here and person.id in ready) for person, is_here in people]


def _people(
    days: Sequence[Row[Any]], wages: Wages, people: Sequence[tuple[Person, bool]]
) -> list[Pace]:
    mine: dict[uuid.UUID, list[Row[Any]]] = defaultdict(list)
    for row in days:
        mine[row.person_id].append(row)
    since = utc_now().date() - timedelta(days=RECENT_DAYS)
    return [_pace(one, can_answer, mine[one.id], wages, since) for one, can_answer in people]


def _pace(
    person: Person, can_answer: bool, days: Sequence[Row[Any]], wages: Wages, since: date
) -> Pace:
    lately = [row for row in days if row.day >= since]
    spent = Spent.of([(row.seconds, row.squares, row.n_timed, row.n_timed) for row in lately])
    seconds = math.fsum(row.seconds for row in days)
    rate = wages.per_second(person.id)
    active_days = sum(row.n > 0 for row in lately)
    n_recent = sum(row.n for row in lately)
    return Pace(
        person,
        can_answer,
        sum(row.n for row in days),
        seconds,
        None if rate is None else rate * seconds,
        n_recent,
        price(spent),
        n_recent / active_days if active_days else None,
    )


def _weeks(days: Sequence[Row[Any]], wages: Wages) -> list[Week]:
    weeks: dict[date, list[Row[Any]]] = defaultdict(list)
    for row in days:
        weeks[row.day - timedelta(days=row.day.weekday())].append(row)
    return [
        Week(
            week,
            sum(row.n for row in rows),
            math.fsum(row.seconds for row in rows),
            _total(rows, wages),
            _each(rows, wages, "n_timed"),
        )
        for week, rows in sorted(weeks.items())
    ]


def _buttons(session: Session, project: Project, wages: Wages) -> list[Button]:
    """Every control and every flag that was timed; the controls of all answers first."""
    rows: dict[tuple[str, uuid.UUID], list[Row[Any]]] = defaultdict(list)
    for row in queries.control_weeks(session, project.id):
        rows[row.control, row.flag_id].append(row)
    whole = math.fsum(row.seconds for part in rows.values() for row in part)
    alphas = {one.flag.id: one.figures for one in by_flag(session, project, agreement.Filter())}
    worths = queries.flag_worths(session, project.id)
    found = [
        _button(name, part, wages, whole)
        for control, name in NAMES.items()
        for (kept, _), part in rows.items()
        if kept == control
    ]
    for flag in queries.flags_of(session, project.id):
        part = rows.get((Control.FLAG, flag.id), [])
        if part:
            known = alphas.get(flag.id)
            alpha = known.alpha if known else None
            button = _button(flag.label, part, wages, whole)
            worth = Worth(**worths[flag.key]) if flag.key in worths else None
            found.append(replace(button, flag=flag, alpha=alpha, worth=worth))
    return found


def _button(name: str, rows: Sequence[Row[Any]], wages: Wages, whole: float) -> Button:
    spent = []
    for row in rows:
        rate = _rate(wages, row.person_id)
        if rate is not None:
            cost = rate * row.seconds
            spent.append((cost, rate**2 * row.squares, row.n_timed, float(row.n_given)))
    seconds, n = math.fsum(row.seconds for row in rows), sum(row.n_given for row in rows)
    each = price(Spent.of(spent)) if spent else UNKNOWN
    share = seconds / whole if whole else None
    return Button(name, None, each, seconds / float(n) if n else None, share, None)


def _certainty(session: Session, project: Project, each: Price) -> Certainty:
    """The further shared pairs that would bring alpha's interval to ± `WANTED_HALF`, and their
    cost: an interval narrows with the root of the pairs it rests on."""
    patterns = agreement.read_patterns(session, project.id, agreement.Filter())
    return certainty_of(figures(patterns.counts, patterns.times, draws=200), each)


def certainty_of(found: Figures, each: Price) -> Certainty:
    limits, n = found.reading.alpha_range, found.n_shared
    if limits.low is None or limits.high is None or n == 0:
        return Certainty(None, None, None)
    half = (limits.high - limits.low) / 2
    more = max(0, math.ceil(n * ((half / WANTED_HALF) ** 2 - 1)))
    per_pair = _answers_a_pair(found)
    return Certainty(half, more, None if each.value is None else more * per_pair * each.value)


def _answers_a_pair(found: Figures) -> float:
    """Answers on a pair that has two or more: those on single ones are left out."""
    single = found.reading.n_items - found.n_shared
    return (found.reading.n_ratings - single) / found.n_shared
