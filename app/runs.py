"""What reward runs and policy runs have in common: numbers, states, metrics, files, the job behind.

A run's row speaks to people; its job's row is what workers hold. Both change in one transaction.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.audit import record_event
from app.errors import Conflict, NotFound
from app.settings import get_settings
from app.tables.base import utc_now
from app.tables.jobs import Job, JobKind, JobState
from app.tables.runs import Algorithm, PolicyRun, RewardRun, RunMetric, RunState

Run = RewardRun | PolicyRun
ENDED = (RunState.FINISHED, RunState.FAILED, RunState.CANCELLED)
# The kinds whose job makes the run that it names; the others only use it.
MAKES_A_RUN = (JobKind.SFT, JobKind.REWARD, JobKind.POLICY)
METRIC_ROWS_AT_ONCE = 1000
Kind = TypeVar("Kind", RewardRun, PolicyRun)
WORDS: dict[type[Run], str] = {RewardRun: "reward run", PolicyRun: "policy run"}


class Metric(NamedTuple):
    """One number of a run at one step; None where the trainer got no finite number."""

    name: str
    step: int
    value: float | None


@dataclass(frozen=True)
class Outcome:
    """What a stage left: the artefact, named from the folder of runs, its hash, its report."""

    artefact: str
    artefact_hash: str
    report: dict[str, Any]


def list_runs(
    session: Session, kind: type[Kind], project_id: uuid.UUID, limit: int = 200
) -> Sequence[Kind]:
    """A project's runs of this kind, newest first."""
    return session.scalars(
        select(kind).where(kind.project_id == project_id).order_by(kind.number.desc()).limit(limit)
    ).all()


def find(session: Session, kind: type[Kind], project_id: uuid.UUID, run_id: uuid.UUID) -> Kind:
    """Raises NotFound for a run of another project as for none."""
    run = session.get(kind, run_id)
    if run is None or run.project_id != project_id:
        raise NotFound(f"This project has no such {WORDS[kind]}.")
    return run


def list_comparable(session: Session, run: Kind, *like: ColumnElement[bool]) -> Sequence[Kind]:
    """Other finished runs of the project that are `like` this one, newest first."""
    kind = type(run)
    return session.scalars(
        select(kind)
        .where(
            kind.project_id == run.project_id,
            kind.id != run.id,
            kind.state == RunState.FINISHED,
            *like,
        )
        .order_by(kind.number.desc())
        .limit(50)
    ).all()


def next_number(session: Session, kind: type[Run], project_id: uuid.UUID) -> int:
    """The number of the project's next run of this kind. The caller holds the project's lock."""
    highest = session.scalar(select(func.max(kind.number)).where(kind.project_id == project_id))
    return (highest or 0) + 1


def run_folder(run_id: uuid.UUID) -> Path:
    """Where a run keeps its inputs, checkpoints, log and artefact."""
    return get_settings().runs_folder / str(run_id)


def artefact_path(run: Run) -> str:
    """What the trainer loads a finished run's network from: a folder, or a base model's name.

    Rows name folders from the folder of runs, so that the data folder can be moved.
    """
    if isinstance(run, PolicyRun) and run.algorithm is Algorithm.BASE:
        return run.artefact
    return str(get_settings().runs_folder / run.artefact)


def find_run(session: Session, job: Job | jobs.Claim) -> Run | None:
    """The run that a job makes; None for a job that only uses one."""
    if job.run_id is None or job.kind not in MAKES_A_RUN:
        return None
    if job.kind is JobKind.REWARD:
        return session.get(RewardRun, job.run_id)
    return session.get(PolicyRun, job.run_id)


def start(session: Session, kind: type[Kind], job: jobs.Claim) -> Kind:
    """Mark the run of a claimed job as running. Raises LostLease."""
    jobs.hold(session, job)
    run = session.get_one(kind, job.run_id)
    begin(run)
    session.flush()
    return run


def finish(session: Session, kind: type[Kind], job: jobs.Claim, outcome: Outcome) -> Kind:
    """Finish the job and its run, with what its stage left. Raises LostLease and Stopped."""
    jobs.finish(session, job)
    run = session.get_one(kind, job.run_id)
    end(run, RunState.FINISHED)
    run.artefact, run.artefact_hash = outcome.artefact, outcome.artefact_hash
    run.report, run.code_commit = outcome.report, outcome.report.get("code_commit") or ""
    return run


def fail(session: Session, kind: type[Kind], job: jobs.Claim, error: str) -> None:
    """End the job and its run with the sentence that people read. Raises LostLease."""
    jobs.fail(session, job, error)
    run = session.get_one(kind, job.run_id)
    end(run, RunState.FAILED, error)
    note(session, run, "failed", None, {"error": error})


def retry(session: Session, run: Run, kind: JobKind, *, by: uuid.UUID | None) -> Job:
    """Try a failed or stopped run again, from its newest checkpoint. Raises Conflict."""
    job = queue_again(session, run, kind)
    note(session, run, "tried again", by)
    return job


def make_live(session: Session, run: Run, *, by: uuid.UUID | None) -> None:
    """Raises Conflict unless the run is finished."""
    if run.state is not RunState.FINISHED:
        raise Conflict(f"Only a finished {WORDS[type(run)]} can become live.")
    take_over(session, run)
    note(session, run, "made live", by)


def take_over(session: Session, run: Run) -> None:
    """Make the run live in place of the one that was, of the same objective if it has one."""
    kind = type(run)
    live = [kind.project_id == run.project_id, kind.is_live]
    if isinstance(run, RewardRun):
        live.append(RewardRun.objective == run.objective)
    session.execute(update(kind).where(*live).values(is_live=False))
    run.is_live = True
    session.flush()


def note(
    session: Session,
    run: Run,
    what: str,
    by: uuid.UUID | None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write into the audit trail what happened to the run, such as "made live"."""
    words = WORDS[type(run)]
    record_event(
        session,
        f"{words}.{what}".replace(" ", "_"),
        actor_id=by,
        project_id=run.project_id,
        subject=f"{words.capitalize()} {run.number}",
        detail=detail,
    )


def begin(run: Run) -> None:
    """A worker has the run in hand, for the first time or once more."""
    run.state, run.error = RunState.RUNNING, ""
    run.started_at = run.started_at or utc_now()
    run.finished_at = None


def wait_again(run: Run) -> None:
    """The run's worker handed it back; it goes on from its checkpoint."""
    run.state = RunState.QUEUED


def end(run: Run, state: RunState, error: str = "") -> None:
    run.state, run.error, run.finished_at = state, error, utc_now()


def follow_job(session: Session, job: Job) -> None:
    """Let the run of a job that was taken from its worker wait again, or end as the job ended."""
    run = find_run(session, job)
    if run is None or run.state in ENDED:
        return
    if job.state is JobState.QUEUED:
        wait_again(run)
    else:
        is_failure = job.state is JobState.FAILED
        end(run, RunState.FAILED if is_failure else RunState.CANCELLED, job.error)
    session.flush()


def stop(session: Session, job_id: uuid.UUID) -> Job:
    """Ask a job to stop. One that waits ends now, and its run with it; else soon.

    Raises NotFound and Conflict.
    """
    job = jobs.request_cancel(session, job_id)
    if job.state is JobState.CANCELLED:
        follow_job(session, job)
    return job


def queue_again(session: Session, run: Run, kind: JobKind) -> Job:
    """A fresh job for a run that failed or was stopped; it goes on from the run's checkpoint.

    Raises Conflict for a run that has not ended, or that is finished.
    """
    if run.state not in (RunState.FAILED, RunState.CANCELLED):
        raise Conflict("Only a run that failed or was stopped can be tried again.")
    run.state, run.error, run.finished_at = RunState.QUEUED, "", None
    return jobs.enqueue(session, run.project_id, kind, run_id=run.id)


def record_metrics(
    session: Session, run_id: uuid.UUID, metrics: Iterable[Metric], *, replaces: bool = True
) -> None:
    """Write metrics; those of a step that is done again after a crash replace the old ones.

    Without `replaces`, what is there stays: for metrics that may have been written already.
    """
    newest = {(one.name, one.step): one for one in metrics}
    rows = [{"run_id": run_id, **one._asdict()} for one in newest.values()]
    for start in range(0, len(rows), METRIC_ROWS_AT_ONCE):
        statement = insert(RunMetric).values(rows[start : start + METRIC_ROWS_AT_ONCE])
        key = ["run_id", "name", "step"]
        now = {"value": statement.excluded.value, "at": func.clock_timestamp()}
        session.execute(
            statement.on_conflict_do_update(index_elements=key, set_=now)
            if replaces
            else statement.on_conflict_do_nothing(index_elements=key)
        )
