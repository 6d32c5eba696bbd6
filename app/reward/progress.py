"""Where a job stands, as people ask it: how far, how long, how much longer, who computes."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.reward.queries import Pace, find_job, read_pace
from app.tables.base import utc_now
from app.tables.jobs import Job, JobKind, JobState
from app.tables.runs import PolicyRun, RewardRun


@dataclass(frozen=True)
class Progress:
    """A job as a page shows it. Times are in seconds; None where nothing is known."""

    job_id: uuid.UUID
    kind: JobKind
    state: JobState
    done: int
    total: int
    message: str
    attempt: int
    max_attempts: int
    worker: str
    elapsed: float | None
    left: float | None
    is_stopping: bool
    error: str

    @property
    def is_open(self) -> bool:
        return self.state in (JobState.QUEUED, JobState.RUNNING)

    @property
    def can_retry(self) -> bool:
        return self.state in (JobState.FAILED, JobState.CANCELLED)


def describe(job: Job, pace: Pace | None, now: datetime) -> Progress:
    """The job's standing at `now`. Pure."""
    is_running = job.state is JobState.RUNNING
    until = now if is_running else job.finished_at
    elapsed = (until - job.started_at).total_seconds() if until and job.started_at else None
    return Progress(
        job_id=job.id,
        kind=job.kind,
        state=job.state,
        done=job.progress_done,
        total=job.progress_total,
        message=job.progress_message,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        worker=job.worker,
        elapsed=max(0.0, elapsed) if elapsed is not None else None,
        left=_seconds_left(job, pace, elapsed) if is_running else None,
        is_stopping=job.cancel_requested_at is not None and is_running,
        error=job.error,
    )


def _seconds_left(job: Job, pace: Pace | None, elapsed: float | None) -> float | None:
    """From the pace of the last steps; for jobs that report none from the whole, where no attempt
    was lost. What comes before the first step (loading, choosing a loss) says nothing of it."""
    left = job.progress_total - job.progress_done
    if job.progress_total <= 0 or left <= 0 or job.progress_done <= 0:
        return None
    step = pace.seconds_a_step() if pace else None
    if pace is None and job.attempt == 1 and elapsed is not None:
        step = elapsed / job.progress_done
    return None if step is None else step * left


def read_progress(session: Session, run_id: uuid.UUID) -> Progress | None:
    """How the newest job of a run stands now; None where it never had one."""
    job = find_job(session, run_id)
    return describe(job, read_pace(session, run_id), utc_now()) if job else None


def seconds_of(run: RewardRun | PolicyRun) -> float | None:
    """How long a run took, or has taken so far; None before it starts."""
    if run.started_at is None:
        return None
    return ((run.finished_at or utc_now()) - run.started_at).total_seconds()
