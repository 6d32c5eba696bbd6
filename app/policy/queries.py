"""What is known of policy runs: rows, where they come from, and what became of them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.tables.collect import Completion
from app.tables.datasets import PreferenceSet
from app.tables.runs import PolicyRun, RewardRun, RunState


@dataclass(frozen=True)
class Provenance:
    """From a policy back to the comparisons: what it started from, was kept near and learnt."""

    parent: PolicyRun | None
    reference: PolicyRun | None
    reward: RewardRun | None
    preference_set: PreferenceSet | None
    children: Sequence[PolicyRun]
    n_completions: int


def list_policy_runs(
    session: Session, project_id: uuid.UUID, limit: int = 200
) -> Sequence[PolicyRun]:
    """Policy runs of a project, newest first."""
    return session.scalars(
        select(PolicyRun)
        .where(PolicyRun.project_id == project_id)
        .order_by(PolicyRun.number.desc())
        .limit(limit)
    ).all()


def find_policy_run(session: Session, project_id: uuid.UUID, run_id: uuid.UUID) -> PolicyRun:
    """Raises NotFound for a run of another project as for none."""
    run = session.get(PolicyRun, run_id)
    if run is None or run.project_id != project_id:
        raise NotFound("This project has no such policy run.")
    return run


def read_provenance(session: Session, run: PolicyRun) -> Provenance:
    reward = session.get(RewardRun, run.reward_run_id) if run.reward_run_id else None
    return Provenance(
        parent=session.get(PolicyRun, run.parent_id) if run.parent_id else None,
        reference=session.get(PolicyRun, run.reference_id) if run.reference_id else None,
        reward=reward,
        preference_set=session.get(PreferenceSet, reward.preference_set_id) if reward else None,
        children=session.scalars(
            select(PolicyRun)
            .where(PolicyRun.parent_id == run.id)
            .order_by(PolicyRun.number.desc())
            .limit(50)
        ).all(),
        n_completions=session.scalars(
            select(func.count()).where(Completion.policy_run_id == run.id)
        ).one(),
    )


def list_comparable(session: Session, run: PolicyRun) -> Sequence[PolicyRun]:
    """Other finished runs of the project by the same algorithm, newest first."""
    return session.scalars(
        select(PolicyRun)
        .where(
            PolicyRun.project_id == run.project_id,
            PolicyRun.algorithm == run.algorithm,
            PolicyRun.id != run.id,
            PolicyRun.state == RunState.FINISHED,
        )
        .order_by(PolicyRun.number.desc())
        .limit(50)
    ).all()
