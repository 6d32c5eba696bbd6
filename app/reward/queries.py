"""What is known of reward runs: rows, metrics by step, the job behind a run, who used it."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.runs import MAKES_A_RUN
from app.tables.datasets import PreferenceSet
from app.tables.jobs import Job
from app.tables.projects import Flag
from app.tables.runs import PolicyRun, RewardRun, RunMetric

Curve = list[tuple[float, float | None]]
RATE_OVER = 20  # steps, or reports of steps


@dataclass(frozen=True)
class Pace:
    """When the last steps of a run were reported: enough to say when it may end.

    Workers report several steps at once. `n_steps` counts those reported after `first_at`.
    """

    n_steps: int
    first_at: datetime
    last_at: datetime

    def seconds_a_step(self) -> float | None:
        """None until steps were reported twice."""
        if not self.n_steps:
            return None
        return (self.last_at - self.first_at).total_seconds() / self.n_steps


def find_set(session: Session, run: RewardRun) -> PreferenceSet:
    found = session.get(PreferenceSet, run.preference_set_id)
    if found is None:
        raise NotFound("The preference set of this run is gone.")
    return found


def read_metrics(
    session: Session, run_id: uuid.UUID, names: Collection[str] | None = None
) -> dict[str, Curve]:
    """(step, value) by metric name, steps ascending; a value that was not a number is None.

    `names` reads these metrics only: a page that lives draws few of the many that there are.
    """
    wanted = select(RunMetric.name, RunMetric.step, RunMetric.value)
    wanted = wanted.where(RunMetric.run_id == run_id)
    if names is not None:
        wanted = wanted.where(RunMetric.name.in_(names))
    rows = session.execute(wanted.order_by(RunMetric.name, RunMetric.step))
    curves: dict[str, Curve] = {}
    for name, step, value in rows:
        curves.setdefault(name, []).append((step, value))
    return curves


def read_latest(
    session: Session, run_id: uuid.UUID, names: Collection[str]
) -> dict[str, float | None]:
    """The mean of each metric over its last steps, as many as a rate is measured over."""
    newest = select(func.max(RunMetric.step)).where(RunMetric.run_id == run_id).scalar_subquery()
    rows = session.execute(
        select(RunMetric.name, func.avg(RunMetric.value).label("value"))
        .where(
            RunMetric.run_id == run_id,
            RunMetric.name.in_(names),
            RunMetric.step > newest - RATE_OVER,
        )
        .group_by(RunMetric.name)
    )
    return {row.name: row.value for row in rows}


def flag_names(session: Session, project_id: uuid.UUID) -> dict[str, str]:
    """Key → name of the project's flags, hidden ones included."""
    rows = session.execute(select(Flag.key, Flag.label).where(Flag.project_id == project_id))
    return {row.key: row.label for row in rows}


def read_pace(session: Session, run_id: uuid.UUID) -> Pace | None:
    """When the newest steps of a run were reported; None before the first."""
    # By seconds: rows of one report are written moments apart.
    at = func.date_trunc("second", RunMetric.at).label("at")
    rows = session.execute(
        select(at, func.count(RunMetric.step.distinct()).label("n"))
        .where(RunMetric.run_id == run_id)
        .group_by(at)
        .order_by(at.desc())
        .limit(RATE_OVER)
    ).all()
    return Pace(sum(row.n for row in rows[:-1]), rows[-1].at, rows[0].at) if rows else None


def find_job(session: Session, run_id: uuid.UUID) -> Job | None:
    """The newest job that made a run; those that sample or rank with it are not its own."""
    return session.scalar(
        select(Job)
        .where(Job.run_id == run_id, Job.kind.in_(MAKES_A_RUN))
        .order_by(Job.created_at.desc())
        .limit(1)
    )


def list_uses(session: Session, run_id: uuid.UUID) -> Sequence[PolicyRun]:
    """Policy runs that were optimised against a reward run, newest first."""
    return session.scalars(
        select(PolicyRun)
        .where(PolicyRun.reward_run_id == run_id)
        .order_by(PolicyRun.number.desc())
        .limit(50)
    ).all()
