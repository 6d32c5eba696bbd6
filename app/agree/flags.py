"""Agreement on flags: each as a whole, and one of them over time."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agree.alpha import Level
from app.agree.patterns import Filter, Patterns, flag_patterns, pooled
from app.agree.reading import FlagFigures, flag_figures
from app.agree.tally import N_CELLS
from app.agree.upkeep import catch_up_flags
from app.errors import NotFound
from app.tables.projects import Flag, FlagKind, Project


@dataclass(frozen=True)
class Answered:
    """A flag with its figures, and with those of each week that has any, oldest first.

    No figures where nobody answered it.
    """

    flag: Flag
    figures: FlagFigures | None
    weeks: dict[date, Patterns]


def by_flag(session: Session, project: Project, chosen: Filter) -> list[Answered]:
    """Every flag of the project, caught up with; writes only the state."""
    catch_up_flags(session, project.id)
    found = flag_patterns(session, project.id, chosen)
    flags = session.scalars(
        select(Flag).where(Flag.project_id == project.id).order_by(Flag.position, Flag.label)
    )
    return [_answered(flag, found.get(flag.id, {})) for flag in flags]


def _answered(flag: Flag, weeks: dict[date, Patterns]) -> Answered:
    whole = _figures(flag, pooled(weeks.values(), N_CELLS)) if weeks else None
    return Answered(flag, whole, weeks)


def find_flag(flags: Sequence[Answered], flag_id: uuid.UUID | None) -> Answered | None:
    """The one asked for, or else that with most answers, None without any. Raises NotFound."""
    if flag_id is None:
        known = [one for one in flags if one.figures is not None]
        return max(known, key=lambda one: one.figures.n_answers if one.figures else 0, default=None)
    for one in flags:
        if one.flag.id == flag_id:
            return one
    raise NotFound("There is no such flag.")


def course_of(one: Answered) -> dict[date, FlagFigures]:
    """A flag's figures of the units first judged in each week, oldest first."""
    return {week: _figures(one.flag, patterns) for week, patterns in one.weeks.items()}


def _figures(flag: Flag, patterns: Patterns) -> FlagFigures:
    counts = patterns.counts
    if flag.kind is FlagKind.RATING_7:
        return flag_figures(counts[:, 1:8], patterns.times, Level.ORDINAL, np.arange(1.0, 8))
    answers = counts[:, [0, 1, 8]] if flag.kind is FlagKind.YES_NO_NA else counts[:, :2]
    values = np.array([0.0, 1.0, 0.0])[: answers.shape[1]]
    return flag_figures(answers, patterns.times, Level.NOMINAL, values)
