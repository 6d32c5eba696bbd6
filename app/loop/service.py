"""Turn the loop: take back what was lost, then start what is due, project by project."""

import logging
import uuid
from collections.abc import Callable
from functools import partial

from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from app import jobs, runs
from app.accounts.audit import record_event
from app.agree.gold import retire_worn_everywhere
from app.collect.service import sweep_expired
from app.datasets.service import freeze
from app.db import is_server_away
from app.errors import Conflict, DomainError, NotFound
from app.loop.facts import read_facts
from app.loop.state import NAMES, STEP_OF, Due, Step, decide, refusal
from app.loop.steps import job_name
from app.policy import service as policies
from app.reward import service as rewards
from app.reward import studies
from app.tables.datasets import PreferenceSet
from app.tables.jobs import ASIDE, Job, JobKind, JobState
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RewardRun

logger = logging.getLogger("prefloop.loop")
LOCK_SPACE = 8


def advance(session: Session) -> list[str]:
    """Sweep lost jobs and leases, start what is due in every project; what happened, in sentences.

    Safe to call from several workers at once: a project that another one looks at is left to it.
    What goes wrong in one project stops none of the others. Flushes, never commits.
    """
    sentences = [
        _carefully(session, _take_back),
        _carefully(session, _free_pairs),
        _carefully(session, _retire_gold),
    ]
    projects = session.scalars(
        select(Project).where(~Project.is_archived).order_by(Project.created_at, Project.id)
    ).all()
    for project in projects:
        sentence = _carefully(session, partial(_advance_one, project=project))
        sentences.append(sentence and f"{project.slug}: {sentence}")
    return [sentence for sentence in sentences if sentence]


def start_step(session: Session, project: Project, step: Step, *, by: uuid.UUID | None) -> str:
    """Start a step because a person asks for it; what happened, as a sentence.

    Raises Conflict when the step cannot be started now, with the reason.
    """
    _refuse_archived(project)
    _lock(session, project.id, wait=True)
    reason = refusal(read_facts(session, project), step)
    if reason is not None:
        raise Conflict(reason)
    return _START[step](session, project, by)


def try_again(session: Session, project: Project, job_id: uuid.UUID, *, by: uuid.UUID) -> str:
    """Start a failed or stopped job once more: its run goes on from its newest checkpoint.

    Raises NotFound, and Conflict when something else runs or the job ended well.
    """
    _refuse_archived(project)
    _lock(session, project.id, wait=True)
    job = _find_job(session, project, job_id)
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        raise Conflict("Only what failed or was stopped can be tried again.")
    if job.kind in ASIDE:
        studies.go_on(
            session, studies.find_study(session, project.id, uuid.UUID(job.payload["study"]))
        )
        return f"{job_name(job.kind).capitalize()} is tried again."
    facts = read_facts(session, project)
    if facts.jobs:
        raise Conflict(f"First {NAMES[STEP_OF[facts.jobs[0].kind]]} has to end.")
    run = runs.find_run(session, job)
    if isinstance(run, RewardRun):
        rewards.retry(session, run, by=by)
    elif isinstance(run, PolicyRun):
        policies.retry(session, run, by=by)
    else:
        return start_step(session, project, STEP_OF[job.kind], by=by)
    return f"{NAMES[STEP_OF[job.kind]].capitalize()} is tried again."


def stop_job(session: Session, project: Project, job_id: uuid.UUID, *, by: uuid.UUID) -> str:
    """Stop a job: one that waits at once, one that runs within seconds. Raises Conflict."""
    job = runs.stop(session, _find_job(session, project, job_id).id)
    record_event(
        session,
        "job.stopped",
        actor_id=by,
        project_id=project.id,
        subject=job_name(job.kind),
    )
    name = job_name(job.kind).capitalize()
    return f"{name} {'was stopped' if job.state is JobState.CANCELLED else 'is stopping'}."


def _refuse_archived(project: Project) -> None:
    if project.is_archived:
        raise Conflict(
            "This project is archived. Take it out of the archive first, in its settings."
        )


def _find_job(session: Session, project: Project, job_id: uuid.UUID) -> Job:
    job = session.get(Job, job_id)
    if job is None or job.project_id != project.id:
        raise NotFound("This project has no such job.")
    return job


def _carefully(session: Session, act: Callable[[Session], str]) -> str:
    """What `act` says, in a savepoint: an error there undoes what `act` did alone.

    Raises SQLAlchemyError when the database is away.
    """
    try:
        with session.begin_nested():
            return act(session)
    except DomainError as error:
        return error.message
    except Exception as error:
        if isinstance(error, SQLAlchemyError) and is_server_away(error):
            raise
        logger.debug("A step of the loop failed.", exc_info=True)
        if isinstance(error, OperationalError):
            return f"The database refused a statement: {error.orig} It is tried again."
        return f"Prefloop made a mistake here: {type(error).__name__}: {error}"


def _take_back(session: Session) -> str:
    return " ".join(_take_one_back(session, job) for job in jobs.sweep(session))


def _take_one_back(session: Session, job: Job) -> str:
    runs.follow_job(session, job)
    if job.state is JobState.QUEUED:
        name = job_name(job.kind).capitalize()
        return f"{name} waits for another worker; its own fell silent."
    return job.error or "A stopped job whose worker was gone has ended."


def _free_pairs(session: Session) -> str:
    n_expired = sweep_expired(session)
    return f"Leases that ran out: {n_expired}. Their pairs are free again." if n_expired else ""


def _retire_gold(session: Session) -> str:
    n = retire_worn_everywhere(session)
    return f"Gold items that enough people have seen: {n}. They are retired." if n else ""


def _advance_one(session: Session, project: Project) -> str:
    if not _lock(session, project.id, wait=False):
        return ""
    found = decide(read_facts(session, project))
    if not isinstance(found, Due):
        return studies.request_due(session, project)
    return _START[found.step](session, project, None)


def _lock(session: Session, project_id: uuid.UUID, *, wait: bool) -> bool:
    """Hold the project's loop until the transaction ends; what is read next is current."""
    function = "pg_advisory_xact_lock" if wait else "pg_try_advisory_xact_lock"
    answer = session.scalar(
        text(f"select {function}(hashtextextended(:project, :space))"),
        {"project": str(project_id), "space": LOCK_SPACE},
    )
    return wait or bool(answer)


def _register(session: Session, project: Project, by: uuid.UUID | None) -> str:
    policies.register_base(session, project, by=by)
    return f"{project.base_model} is the first policy."


def _sft(session: Session, project: Project, by: uuid.UUID | None) -> str:
    run = policies.request_run(session, project, Algorithm.SFT, requested_by=by)
    return f"Policy run {run.number} will learn from the imported completions."


def _reward(session: Session, project: Project, by: uuid.UUID | None) -> str:
    frozen = _set_to_train_on(session, project, by)
    run = rewards.request_run(session, project, frozen, requested_by=by)
    return (
        f"Reward run {run.number} will learn from preference set {frozen.number} "
        f"({frozen.n_comparisons:,} comparisons)."
    )


def _set_to_train_on(session: Session, project: Project, by: uuid.UUID | None) -> PreferenceSet:
    """The latest set where it is untrained or nothing is new since; else a set frozen now."""
    facts = read_facts(session, project)
    latest = facts.latest_set
    if latest and (not facts.is_set_trained or facts.n_new_comparisons == 0):
        return session.get_one(PreferenceSet, latest.id)
    return freeze(session, project, created_by=by)


def _policy(session: Session, project: Project, by: uuid.UUID | None) -> str:
    reward = rewards.find_live(session, project)
    safety = rewards.find_safety(session, project)
    run = policies.request_run(
        session, project, Algorithm.PPO, reward_run=reward, safety_run=safety, requested_by=by
    )
    number = reward.number if reward else 0
    beside = f", beside it reward run {safety.number} for safety" if safety else ""
    return f"Policy run {run.number} will be optimised against reward run {number}{beside}."


def _sample(session: Session, project: Project, by: uuid.UUID | None) -> str:
    policy = policies.find_live(session, project)
    if policy is None:
        raise Conflict("There is no live policy to sample.")
    _enqueue(session, project, JobKind.SAMPLE, policy.id, by)
    return f"Policy {policy.number} will write new completions."


def _select(session: Session, project: Project, by: uuid.UUID | None) -> str:
    reward = rewards.find_live(session, project)
    if reward is None:
        raise Conflict("There is no live reward model to rank the pairs with.")
    _enqueue(session, project, JobKind.SELECT, reward.id, by)
    return f"Reward run {reward.number} will rank the open pairs."


def _enqueue(
    session: Session, project: Project, kind: JobKind, run_id: uuid.UUID, by: uuid.UUID | None
) -> None:
    job = jobs.enqueue(session, project.id, kind, run_id=run_id)
    record_event(
        session,
        f"{kind.value}.requested",
        actor_id=by,
        project_id=project.id,
        detail={"job": str(job.id)},
    )


_START: dict[Step, Callable[[Session, Project, uuid.UUID | None], str]] = {
    Step.REGISTER: _register,
    Step.SFT: _sft,
    Step.SELECT: _select,
    Step.POLICY: _policy,
    Step.REWARD: _reward,
    Step.SAMPLE: _sample,
}
