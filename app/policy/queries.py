"""What is known of policy runs: rows, where they come from, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.tables.collect import Completion
from app.tables.datasets import PreferenceSet
from app.tables.runs import PolicyRun, RewardRun


@dataclass(frozen=True)
class Provenance:
    """From a policy back to the comparisons: what it started from, was kept near and learnt."""

    parent: PolicyRun | None
    reference: PolicyRun | None
    reward: RewardRun | None
    preference_set: PreferenceSet | None
    children: Sequence[PolicyRun]
    n_completions: int


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
