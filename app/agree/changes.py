"""What agreement did when the guidelines changed."""

from collections.abc import Sequence
from itertools import pairwise

from sqlalchemy.orm import Session

from app.agree import queries
from app.agree.intervals import difference_interval
from app.agree.patterns import Filter, Patterns, read_patterns
from app.agree.reading import Figures, figures
from app.agree.service import CUT_DRAWS
from app.agree.upkeep import catch_up
from app.projects.effects import Effect, Stand
from app.tables.projects import GuidelineVersion, Project

MOST_CHANGES = 12


def effects_of_changes(session: Session, project: Project) -> dict[int, Effect]:
    """The newest changes, by the number of the later version; writes only agreement's state.

    Two answers compare if both were given under one version, as on the page of agreement.
    """
    catch_up(session, project.id)
    versions = queries.versions_of(session, project.id)[-MOST_CHANGES - 1 :]
    read = [read_patterns(session, project.id, Filter(version=one.id)) for one in versions]
    return {now[0].number: _effect(was, now) for was, now in pairwise(_figured(versions, read))}


Part = tuple[GuidelineVersion, Patterns, Figures]


def _figured(versions: Sequence[GuidelineVersion], read: Sequence[Patterns]) -> list[Part]:
    return [
        (version, one, figures(one.counts, one.times, draws=CUT_DRAWS))
        for version, one in zip(versions, read, strict=True)
    ]


def _effect(was: Part, now: Part) -> Effect:
    before, after = _stand(was), _stand(now)
    difference = None
    if before.alpha is not None and after.alpha is not None:
        difference = after.alpha - before.alpha
    found = difference_interval((was[1].counts, was[1].times), (now[1].counts, now[1].times))
    return Effect(before, after, difference, found.low, found.high)


def _stand(part: Part) -> Stand:
    version, _, found = part
    reach = found.reading.alpha_range
    return Stand(version.number, found.reading.alpha, reach.low, reach.high, found.n_shared)
