"""Agreement for a page: caught up, filtered, and cut by week, version, flag and person."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from sqlalchemy.orm import Session

from app.accounts.groups import groups_of
from app.agree import queries
from app.agree.alpha import Level
from app.agree.between import Between, between, of_one
from app.agree.group_patterns import answers_of_both
from app.agree.intervals import Interval, two_way_interval
from app.agree.patterns import (
    Filter,
    Patterns,
    n_counted,
    patterns_by_week,
    pooled,
    read_patterns,
)
from app.agree.reading import (
    Figures,
    Steadiness,
    figures,
    steadiness,
)
from app.agree.upkeep import catch_up, catch_up_flags
from app.tables.accounts import Person
from app.tables.agree import AgreementProgress
from app.tables.groups import PersonGroup
from app.tables.projects import GuidelineVersion, Project

SCALE = np.arange(1.0, 9)
# The wide interval is drawn anew when the answers have grown by a twentieth.
GROWTH = 1.05
WIDE_PAIRS, WIDE_DRAWS = 1_500, 200
CUT_DRAWS = 200
GROUP_DRAWS = 400
FEWEST_SHARED = 20


@dataclass(frozen=True)
class Cut:
    """The figures of a part: a week, a guideline version, a group of people."""

    name: str
    figures: Figures
    version: GuidelineVersion | None = None
    week: date | None = None
    group: PersonGroup | None = None


@dataclass(frozen=True)
class Overview:
    """What the agreement page shows. `wide` would hold for new annotators too."""

    whole: Figures
    wide: Interval
    weeks: list[Cut]
    versions: list[Cut]


def overview(session: Session, project: Project, chosen: Filter) -> Overview:
    """Catch up and read everything; writes only the state."""
    catch_up(session, project.id)
    weeks = patterns_by_week(session, project.id, chosen)
    patterns = pooled(weeks.values())
    whole = figures(patterns.counts, patterns.times)
    # What would hold for new people is drawn from all of them.
    wide = Interval(None, None) if chosen.group else wide_interval(session, project.id)
    return Overview(whole, wide, _week_cuts(weeks), by_version(session, project, chosen))


def by_week(session: Session, project: Project, chosen: Filter) -> list[Cut]:
    return _week_cuts(patterns_by_week(session, project.id, chosen))


def _week_cuts(weeks: Mapping[date, Patterns]) -> list[Cut]:
    return [
        Cut(week.isoformat(), figures(one.counts, one.times, draws=CUT_DRAWS), week=week)
        for week, one in weeks.items()
    ]


def by_version(session: Session, project: Project, chosen: Filter) -> list[Cut]:
    """Each guideline version on its own: two answers compare if both were given under it."""
    cuts = []
    for version in queries.versions_of(session, project.id):
        part = replace(chosen, version=version.id)
        one = read_patterns(session, project.id, part)
        found = figures(one.counts, one.times, draws=CUT_DRAWS)
        cuts.append(Cut(f"Version {version.number}", found, version=version))
    return cuts


def by_group(session: Session, project: Project) -> list[Cut]:
    """Everyone, and each group of the project on its own, over all versions and times."""
    catch_up(session, project.id)
    parts = [("Everyone", None), *((one.name, one) for one, _ in groups_of(session, project.id))]
    cuts = []
    for name, group in parts:
        chosen = Filter(group=group.id if group else None)
        one = read_patterns(session, project.id, chosen)
        found = figures(one.counts, one.times, draws=CUT_DRAWS)
        cuts.append(Cut(name, found, group=group))
    return cuts


def refresh(session: Session, project_id: uuid.UUID) -> None:
    """Bring up to date all that a first look at agreement would else have to wait for."""
    catch_up_flags(session, project_id)
    wide_interval(session, project_id)


def wide_interval(session: Session, project_id: uuid.UUID) -> Interval:
    """The interval over items and annotators, of all versions and times; kept until data grows.

    Drawn from up to `WIDE_PAIRS` shared pairs, which makes it a little wider still.
    """
    progress = queries.progress_of(session, project_id)
    if progress is None:
        return Interval(None, None)
    n = n_counted(session, project_id)
    if progress.wide_n == 0 or not progress.wide_n / GROWTH <= n <= progress.wide_n * GROWTH:
        _draw_wide(session, progress, n)
    return Interval(progress.wide_low, progress.wide_high)


def _draw_wide(session: Session, progress: AgreementProgress, n: int) -> None:
    rows = queries.shared_sample(session, progress.project_id, WIDE_PAIRS)
    progress.wide_n = n
    found = Interval(None, None)
    if rows:
        _, items = np.unique([str(row.pair_id) for row in rows], return_inverse=True)
        _, people = np.unique([str(row.annotator_id) for row in rows], return_inverse=True)
        ratings = np.array([row.rating for row in rows], dtype=np.int64) - 1
        found = two_way_interval(items, people, ratings, Level.ORDINAL, SCALE, draws=WIDE_DRAWS)
    progress.wide_low, progress.wide_high = found.low, found.high
    session.flush()


@dataclass(frozen=True)
class Two:
    """Two named people, or two groups, on the pairs that both answered."""

    one: str
    other: str
    found: Between


def compare_two(session: Session, project: Project, one: Person, other: Person) -> Two:
    mine, theirs = queries.ratings_of_two(session, project.id, one.id, other.id)
    return Two(one.name, other.name, between(of_one(mine), of_one(theirs)))


def compare_groups(session: Session, project: Project, one: PersonGroup, other: PersonGroup) -> Two:
    """A reader of each group; people in both are left out."""
    mine, theirs = answers_of_both(session, project.id, one.id, other.id)
    return Two(one.name, other.name, between(mine, theirs, draws=GROUP_DRAWS))


def retested(session: Session, project: Project) -> list[tuple[Person, Steadiness]]:
    """Everyone who answered a pair a second time, by name."""
    pairs: dict[uuid.UUID, list[tuple[int, int]]] = {}
    for row in queries.retests(session, project.id):
        pairs.setdefault(row.annotator_id, []).append((row.rating, row.again))
    return [
        (person, steadiness(*zip(*pairs[person.id], strict=True)))
        for person in queries.people_with_answers(session, project.id)
        if person.id in pairs
    ]
