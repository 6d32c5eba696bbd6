"""What the loop page shows beyond the facts that decide: counts, last runs, rounds, progress."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.reward.progress import Progress, describe, seconds_of
from app.reward.queries import read_pace
from app.tables.base import utc_now
from app.tables.collect import Comparison, Prompt
from app.tables.datasets import PreferenceSet
from app.tables.jobs import Job
from app.tables.runs import Algorithm, PolicyRun, RewardRun, RunState

DAY = timedelta(hours=24)


@dataclass(frozen=True)
class Activity:
    """Prompts at hand, and what people did in the last 24 hours."""

    n_prompts: int
    n_comparisons_today: int
    n_annotators_today: int
    last_comparison_at: datetime | None


@dataclass(frozen=True)
class Round:
    """One turn of the loop: a frozen set, the reward model learnt from it, the policy after it."""

    reward: RewardRun
    preference_set: PreferenceSet
    policy: PolicyRun | None

    @property
    def seconds(self) -> float | None:
        """Time spent computing in both runs; None before either began."""
        spent = [seconds_of(run) for run in (self.reward, self.policy) if run is not None]
        known = [one for one in spent if one is not None]
        return sum(known) if known else None


@dataclass(frozen=True)
class LastRuns:
    """The newest run of each kind that came to an end well."""

    reward: RewardRun | None
    policy: PolicyRun | None
    preference_set: PreferenceSet | None


def read_activity(session: Session, project_id: uuid.UUID) -> Activity:
    n_prompts = session.scalars(select(func.count()).where(Prompt.project_id == project_id)).one()
    n, people = session.execute(
        select(func.count(), func.count(Comparison.annotator_id.distinct())).where(
            Comparison.project_id == project_id, Comparison.created_at > utc_now() - DAY
        )
    ).one()
    last = session.scalar(
        select(func.max(Comparison.created_at)).where(Comparison.project_id == project_id)
    )
    return Activity(n_prompts, n, people, last)


def read_last_runs(session: Session, project_id: uuid.UUID) -> LastRuns:
    return LastRuns(
        reward=session.scalar(
            select(RewardRun)
            .where(RewardRun.project_id == project_id, RewardRun.state == RunState.FINISHED)
            .order_by(RewardRun.number.desc())
            .limit(1)
        ),
        policy=session.scalar(
            select(PolicyRun)
            .where(PolicyRun.project_id == project_id, PolicyRun.state == RunState.FINISHED)
            .order_by(PolicyRun.number.desc())
            .limit(1)
        ),
        preference_set=session.scalar(
            select(PreferenceSet)
            .where(PreferenceSet.project_id == project_id)
            .order_by(PreferenceSet.number.desc())
            .limit(1)
        ),
    )


def find_charted_policy(session: Session, project_id: uuid.UUID) -> PolicyRun | None:
    """The newest optimised policy run that has begun: the one whose curves are worth a look."""
    return session.scalar(
        select(PolicyRun)
        .where(
            PolicyRun.project_id == project_id,
            PolicyRun.algorithm != Algorithm.BASE,
            PolicyRun.started_at.is_not(None),
        )
        .order_by(PolicyRun.number.desc())
        .limit(1)
    )


def read_jobs(session: Session, ids: Sequence[uuid.UUID]) -> list[Progress]:
    """How these jobs stand now, oldest first."""
    rows = session.scalars(select(Job).where(Job.id.in_(ids)).order_by(Job.created_at)).all()
    return [
        describe(job, read_pace(session, job.run_id) if job.run_id else None, utc_now())
        for job in rows
    ]


def list_rounds(session: Session, project_id: uuid.UUID, limit: int = 50) -> list[Round]:
    """The last rounds, newest first; a round begins with its reward run."""
    rows = session.execute(
        select(RewardRun, PreferenceSet)
        .join(PreferenceSet, PreferenceSet.id == RewardRun.preference_set_id)
        .where(RewardRun.project_id == project_id)
        .order_by(RewardRun.number.desc())
        .limit(limit)
    ).all()
    policies = session.scalars(
        select(PolicyRun)
        .where(PolicyRun.reward_run_id.in_([reward.id for reward, _ in rows]))
        .order_by(PolicyRun.number)
    )
    newest = {run.reward_run_id: run for run in policies}
    return [Round(reward, frozen, newest.get(reward.id)) for reward, frozen in rows]
