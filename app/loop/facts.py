"""What is in the tables, as far as the loop of one project needs to know it."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Exists, exists, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.datasets.queries import count_unfrozen, is_counted, newest_set
from app.jobs import find_unfinished, live_workers
from app.loop.steps import STEP_OF
from app.policy import service as policies
from app.projects.remaining import count_open_pairs
from app.reward import service as rewards
from app.tables.collect import Comparison, Completion, Pair, Prompt
from app.tables.datasets import PreferenceSet
from app.tables.jobs import ASIDE, Job, JobKind, JobState
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RewardRun, RunState

BUILT_IN_MODEL = "tiny"


@dataclass(frozen=True)
class Numbered:
    """A run or a preference set as people call it: by its number."""

    id: uuid.UUID
    number: int


@dataclass(frozen=True)
class LivePolicy(Numbered):
    algorithm: Algorithm
    sampled_at: datetime | None


@dataclass(frozen=True)
class JobFact:
    """A job that waits or runs."""

    id: uuid.UUID
    kind: JobKind
    state: JobState
    run_id: uuid.UUID | None
    attempt: int
    worker: str
    done: int
    total: int
    message: str
    is_cancel_requested: bool


@dataclass(frozen=True)
class Held:
    """The last job of a kind failed or was stopped: this step now waits for a person."""

    job_id: uuid.UUID
    kind: JobKind
    run_id: uuid.UUID | None
    is_failure: bool
    error: str


@dataclass(frozen=True)
class WorkerFact:
    name: str
    device: str
    last_seen_at: datetime


@dataclass(frozen=True)
class Facts:
    """What the decision needs to know of one project. Counts are of rows."""

    is_automatic: bool
    base_model: str
    comparisons_per_round: int
    pairs_per_round: int
    has_prompts: bool
    has_completions: bool
    n_pairs_open: int
    n_comparisons: int
    # Counted answers that the newest preference set does not hold, or holds as they were before.
    n_new_comparisons: int
    # Answered since the live policy was last sampled.
    n_comparisons_since_sampling: int
    latest_set: Numbered | None
    live_reward: Numbered | None
    live_policy: LivePolicy | None
    # A finished reward run on the latest preference set exists.
    is_set_trained: bool
    # A policy run, live or held back for its alarms, was optimised against the live reward run.
    is_reward_used: bool
    # The number of that run when it was held back for its alarms.
    held_back: Numbered | None
    # The open pairs were ranked by the live reward run since the live policy was sampled.
    is_ranked: bool
    jobs: tuple[JobFact, ...] = ()
    held: tuple[Held, ...] = ()
    workers: tuple[WorkerFact, ...] = ()

    @property
    def is_tiny(self) -> bool:
        return self.base_model == BUILT_IN_MODEL


def read_facts(session: Session, project: Project) -> Facts:
    """The facts of one project, in a dozen indexed reads."""
    reward = rewards.find_live(session, project)
    policy = policies.find_live(session, project)
    latest = newest_set(session, project.id)
    use = _latest_use(session, reward)
    sampled_at = policy.sampled_at if policy else None
    return Facts(
        is_automatic=project.is_loop_automatic and not project.is_archived,
        base_model=project.base_model,
        comparisons_per_round=project.comparisons_per_round,
        pairs_per_round=project.pairs_per_round,
        has_prompts=_has(session, exists().where(Prompt.project_id == project.id)),
        has_completions=_has(session, exists().where(Completion.project_id == project.id)),
        n_pairs_open=count_open_pairs(session, project.id),
        n_comparisons=_count_comparisons(session, project, None),
        n_new_comparisons=count_unfrozen(session, project.id),
        n_comparisons_since_sampling=_count_comparisons(session, project, sampled_at),
        latest_set=Numbered(latest.id, latest.number) if latest else None,
        live_reward=Numbered(reward.id, reward.number) if reward else None,
        live_policy=_numbered_policy(policy),
        is_set_trained=_is_set_trained(session, project, latest),
        is_reward_used=use is not None,
        held_back=_held_back(use),
        is_ranked=_is_ranked(session, reward, sampled_at),
        jobs=tuple(_job_fact(job) for job in find_unfinished(session, project.id)),
        held=_held(session, project.id),
        workers=tuple(
            WorkerFact(one.name, one.device, one.last_seen_at) for one in live_workers(session)
        ),
    )


def _has(session: Session, condition: Exists) -> bool:
    return bool(session.scalar(select(condition)))


def _count_comparisons(session: Session, project: Project, since: datetime | None) -> int:
    """Answers that a freeze would count, or those of them given after a time."""
    query = (
        select(func.count())
        .select_from(Comparison)
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(Comparison.project_id == project.id, is_counted(project.id))
    )
    if since is not None:
        query = query.where(Comparison.created_at > since)
    return session.scalars(query).one()


def _numbered_policy(run: PolicyRun | None) -> LivePolicy | None:
    return LivePolicy(run.id, run.number, run.algorithm, run.sampled_at) if run else None


def _is_set_trained(session: Session, project: Project, latest: PreferenceSet | None) -> bool:
    return latest is not None and _has(
        session,
        exists().where(
            RewardRun.preference_set_id == latest.id,
            RewardRun.objective == project.objective,
            RewardRun.state == RunState.FINISHED,
            ~RewardRun.configuration.has_key(rewards.IS_TRIAL),
        ),
    )


def _latest_use(session: Session, reward: RewardRun | None) -> PolicyRun | None:
    """The newest finished policy run that was optimised against the live reward run."""
    if reward is None:
        return None
    return session.scalar(
        select(PolicyRun)
        .where(PolicyRun.reward_run_id == reward.id, PolicyRun.state == RunState.FINISHED)
        .order_by(PolicyRun.number.desc())
        .limit(1)
    )


def _held_back(use: PolicyRun | None) -> Numbered | None:
    if use is None or use.is_live or not use.alarms:
        return None
    return Numbered(use.id, use.number)


def _is_ranked(session: Session, reward: RewardRun | None, sampled_at: datetime | None) -> bool:
    if reward is None:
        return False
    condition = exists().where(
        Job.run_id == reward.id, Job.kind == JobKind.SELECT, Job.state == JobState.FINISHED
    )
    if sampled_at is not None:
        condition = condition.where(Job.created_at > sampled_at)
    return _has(session, condition)


def _job_fact(job: Job) -> JobFact:
    return JobFact(
        id=job.id,
        kind=job.kind,
        state=job.state,
        run_id=job.run_id,
        attempt=job.attempt,
        worker=job.worker,
        done=job.progress_done,
        total=job.progress_total,
        message=job.progress_message,
        is_cancel_requested=job.cancel_requested_at is not None,
    )


def _held(session: Session, project_id: uuid.UUID) -> tuple[Held, ...]:
    """Kinds whose newest job ended badly, in the order of the steps."""
    newest = session.scalars(
        select(Job)
        .where(Job.project_id == project_id, Job.kind.not_in(ASIDE))
        .ext(distinct_on(Job.kind))
        .order_by(Job.kind, Job.created_at.desc(), Job.id)
    )
    ended_badly = [job for job in newest if job.state in (JobState.FAILED, JobState.CANCELLED)]
    order = list(STEP_OF)
    return tuple(
        Held(job.id, job.kind, job.run_id, job.state is JobState.FAILED, job.error)
        for job in sorted(ended_badly, key=lambda job: order.index(job.kind))
    )
