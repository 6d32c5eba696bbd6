"""Policy runs: registered, asked for, started, published, stopped, tried again; which is live."""

import uuid
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import jobs, runs
from app.collect.freshness import expire_superseded
from app.errors import Conflict
from app.tables.base import utc_now
from app.tables.jobs import Job, JobKind
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RewardRun, RunState

# The built-in model learns at rates that would wreck a network of real size.
TINY_RATE, USUAL_RATE = 1e-3, 1e-5
TINY_SFT = {"epochs": 3.0, "learning_rate": 5e-3, "batch_size": 32}
JOB_OF = {Algorithm.SFT: JobKind.SFT, Algorithm.PPO: JobKind.POLICY}
# In a configuration: the reward run of safety. The worker makes a folder of it.
SAFETY_RUN = "safety_run"


def default_configuration(project: Project, algorithm: Algorithm) -> dict[str, Any]:
    """Options of `prefloop-worker sft` or `policy`, by name."""
    if algorithm is Algorithm.SFT:
        return {"seed": project.seed, **TINY_SFT}
    return {
        "seed": project.seed,
        "algorithm": algorithm.value,
        "steps": project.policy_steps,
        "kl_coef": project.kl_coef,
        "max_new_tokens": project.max_new_tokens,
        "learning_rate": TINY_RATE if project.base_model == "tiny" else USUAL_RATE,
        "checkpoint_every": 10,
    }


def register_base(session: Session, project: Project, *, by: uuid.UUID | None = None) -> PolicyRun:
    """The base model as it came, as the project's first policy: finished and live."""
    run = _new_run(session, project, Algorithm.BASE, {})
    run.artefact = project.base_model
    run.started_at = utc_now()
    runs.end(run, RunState.FINISHED)
    _take_over(session, run)
    runs.note(session, run, "registered", by)
    return run


def request_run(
    session: Session,
    project: Project,
    algorithm: Algorithm,
    *,
    reward_run: RewardRun | None = None,
    safety_run: RewardRun | None = None,
    configuration: dict[str, Any] | None = None,
    requested_by: uuid.UUID | None = None,
) -> PolicyRun:
    """A policy run and the job for it: SFT from the base model, PPO from the live policy.

    PPO keeps near the project's first policy and needs `reward_run`; a `safety_run`, of this
    project or another, is the second objective. Raises Conflict for what is
    missing, or when such a job waits already.
    """
    defaults = default_configuration(project, algorithm)
    run = _new_run(session, project, algorithm, defaults | (configuration or {}))
    if algorithm is Algorithm.PPO:
        parent, reference = find_live(session, project), find_reference(session, project)
        if parent is None or reference is None or reward_run is None:
            raise Conflict("A policy is optimised from a live policy, by a live reward model.")
        run.parent_id, run.reference_id = parent.id, reference.id
        run.reward_run_id = reward_run.id
        if safety_run is not None:
            run.configuration = run.configuration | {SAFETY_RUN: str(safety_run.id)}
    session.flush()
    jobs.enqueue(session, project.id, JOB_OF[algorithm], run_id=run.id)
    runs.note(session, run, "requested", requested_by, {"algorithm": algorithm.value})
    return run


def start(session: Session, job: jobs.Claim) -> PolicyRun:
    """Mark the run of a claimed job as running. Raises LostLease."""
    return runs.start(session, PolicyRun, job)


def publish(session: Session, job: jobs.Claim, outcome: runs.Outcome) -> PolicyRun:
    """Finish the job and the run, and make the run live unless its figures cannot be trusted.

    A run of an older number than the live one does not replace it. Raises LostLease and Stopped,
    and then nothing of this transaction may be committed.
    """
    run = runs.finish(session, PolicyRun, job, outcome)
    report = outcome.report
    if run.algorithm is not Algorithm.SFT:
        run.score_before = report["before"]["score_mean"]
        run.score_after = report["after"]["score_mean"]
        run.kl, run.entropy = report.get("kl"), report.get("entropy")
    run.alarms = [str(alarm["message"]) for alarm in report.get("alarms", [])]
    session.flush()
    live = find_live(session, run)
    if report.get("is_trustworthy", True) and (live is None or live.number < run.number):
        _take_over(session, run)
    runs.note(session, run, "finished", None, {"is_live": run.is_live, "alarms": run.alarms})
    return run


def fail(session: Session, job: jobs.Claim, error: str) -> None:
    """End the job and its run with the sentence that people read. Raises LostLease."""
    runs.fail(session, PolicyRun, job, error)


def retry(session: Session, run: PolicyRun, *, by: uuid.UUID | None = None) -> Job:
    """Try a failed or stopped run again, from its newest checkpoint. Raises Conflict."""
    return runs.retry(session, run, JOB_OF[run.algorithm], by=by)


def make_live(session: Session, run: PolicyRun, *, by: uuid.UUID | None = None) -> None:
    """Let this run's policy write the next completions. Raises Conflict unless it is finished."""
    runs.make_live(session, run, by=by)
    expire_superseded(session, session.get_one(Project, run.project_id))


def mark_sampled(session: Session, run: PolicyRun) -> None:
    """Fresh completions of this run have become pairs."""
    # Compared with the times of answers, which are the database's too.
    run.sampled_at = func.clock_timestamp()
    session.flush()


def find_live(session: Session, like: Project | PolicyRun) -> PolicyRun | None:
    """The live policy run of a project, or of a run's project."""
    project_id = like.id if isinstance(like, Project) else like.project_id
    return session.scalar(
        select(PolicyRun).where(PolicyRun.project_id == project_id, PolicyRun.is_live)
    )


def find_reference(session: Session, project: Project) -> PolicyRun | None:
    """The project's first policy, which every later one is kept near."""
    return session.scalar(
        select(PolicyRun)
        .where(
            PolicyRun.project_id == project.id,
            PolicyRun.algorithm.in_([Algorithm.BASE, Algorithm.SFT]),
            PolicyRun.state == RunState.FINISHED,
        )
        .order_by(PolicyRun.number)
        .limit(1)
    )


def _new_run(
    session: Session, project: Project, algorithm: Algorithm, configuration: dict[str, Any]
) -> PolicyRun:
    run = PolicyRun(
        project_id=project.id,
        number=runs.next_number(session, PolicyRun, project.id),
        algorithm=algorithm,
        base_model=project.base_model,
        configuration=configuration,
    )
    session.add(run)
    session.flush()
    return run


def _take_over(session: Session, run: PolicyRun) -> None:
    runs.take_over(session, run)
    expire_superseded(session, session.get_one(Project, run.project_id))
