"""Work for the worker: enqueue, claim, heartbeat, finish.

Two lanes: what trains, one job a project, and replies to people who wait at a page, which are
short, several at once, and never behind a training run.

A claim hands out a token. Every later word about the job must carry it: a worker that lost its
lease (stopped, swapped out, cut off) finds its token replaced and can neither report nor publish.
Leases are told by the database's clock alone: the clocks of two workers need not agree.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.tables.base import utc_now
from app.tables.jobs import ASIDE, Job, JobKind, JobState, WorkerProcess

LEASE = timedelta(seconds=20)
NOW = func.clock_timestamp(type_=DateTime(timezone=True))
# A row that this session read before the lock may have been claimed or ended since.
FRESH = {"populate_existing": True}


class LostLease(Conflict):
    """The job belongs to another worker by now, or was ended: stop and publish nothing."""


class Stopped(Conflict):
    """A person stopped the job: end it as cancelled and publish nothing."""


class Orders(StrEnum):
    """What a heartbeat tells the worker."""

    GO_ON = "go_on"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Claim:
    """A job in hand: its row as it was when claimed, and the token that proves it."""

    id: uuid.UUID
    project_id: uuid.UUID
    kind: JobKind
    run_id: uuid.UUID | None
    payload: dict[str, Any]
    attempt: int
    token: uuid.UUID


def enqueue(
    session: Session,
    project_id: uuid.UUID,
    kind: JobKind,
    *,
    run_id: uuid.UUID | None = None,
    payload: dict[str, Any] | None = None,
) -> Job:
    """Queue a job. A project holds one fresh queued job of a kind: a second is a Conflict.

    Of replies it holds as many as people ask for.
    """
    if kind is not JobKind.REPLY and find_queued(session, project_id, kind):
        raise Conflict("A job of this kind already waits for the worker in this project.")
    job = Job(project_id=project_id, kind=kind, run_id=run_id, payload=payload or {})
    session.add(job)
    session.flush()
    return job


def find_queued(session: Session, project_id: uuid.UUID, kind: JobKind) -> Job | None:
    return session.scalar(
        select(Job).where(
            Job.project_id == project_id,
            Job.kind == kind,
            Job.state == JobState.QUEUED,
            Job.attempt == 0,
        )
    )


def find_unfinished(session: Session, project_id: uuid.UUID) -> list[Job]:
    """Queued and running jobs of a project, oldest first, of those that are steps of its loop."""
    return list(
        session.scalars(
            select(Job)
            .where(
                Job.project_id == project_id,
                Job.kind.not_in(ASIDE),
                Job.state.in_([JobState.QUEUED, JobState.RUNNING]),
            )
            .order_by(Job.created_at)
        )
    )


# The lock on the project keeps two workers from claiming two of its jobs at once, but for one gap:
# a statement that began before the other committed and got the lock after it does not see the
# running job yet. The unique index uq_job_running refuses that one.
_PICK = """
    with pick as (
        select j.id from job j join project p on p.id = j.project_id
        where j.state = 'queued' and j.cancel_requested_at is null and not p.is_archived
          and {lane}
        order by j.kind in ('evaluate', 'worth'), j.created_at, j.id
        limit 1
        for update of j skip locked
    )
    update job set state = 'running', token = gen_random_uuid(), attempt = attempt + 1,
        worker = :worker, lease_until = clock_timestamp() + :lease,
        started_at = coalesce(started_at, clock_timestamp()),
        progress_done = 0, progress_total = 0, progress_message = ''
    from pick where job.id = pick.id
    returning job.id, job.project_id, job.kind, job.run_id, job.payload, job.attempt, job.token
"""
CLAIM = text(
    _PICK.format(
        lane="""j.kind <> 'reply'
          and not exists (select 1 from job r where r.project_id = j.project_id
                          and r.state = 'running' and r.kind <> 'reply')
          and pg_try_advisory_xact_lock(hashtextextended(j.project_id::text, 7))"""
    )
)
CLAIM_REPLY = text(_PICK.format(lane="j.kind = 'reply'"))


def claim(session: Session, worker: str, lease: timedelta = LEASE) -> Claim | None:
    """Take the oldest queued job of a project that trains nothing now; None when there is none.

    What waits in an archived project goes on waiting.
    """
    try:
        with session.begin_nested():
            row = session.execute(CLAIM, {"worker": worker, "lease": lease}).one_or_none()
    except IntegrityError:
        return None
    return _claimed(row)


def claim_reply(session: Session, worker: str, lease: timedelta = LEASE) -> Claim | None:
    """Take the reply that waits longest, whatever else runs; None when there is none."""
    return _claimed(session.execute(CLAIM_REPLY, {"worker": worker, "lease": lease}).one_or_none())


def _claimed(row: Any) -> Claim | None:
    if row is None:
        return None
    return Claim(
        id=row.id,
        project_id=row.project_id,
        kind=JobKind(row.kind),
        run_id=row.run_id,
        payload=row.payload,
        attempt=row.attempt,
        token=row.token,
    )


def hold(session: Session, job: Claim) -> Job:
    """The job's row, locked, if the claim still holds. Raises LostLease."""
    row = session.scalar(
        select(Job)
        .where(Job.id == job.id, Job.token == job.token)
        .with_for_update()
        .execution_options(**FRESH)
    )
    if row is None:
        raise LostLease("This job was handed to another worker or ended meanwhile.")
    return row


def heartbeat(
    session: Session,
    job: Claim,
    *,
    done: int = 0,
    total: int = 0,
    message: str = "",
    lease: timedelta = LEASE,
) -> Orders:
    """Renew the lease and report progress. Raises LostLease; says whether to cancel."""
    row = hold(session, job)
    row.lease_until = NOW + lease
    row.progress_done, row.progress_total, row.progress_message = done, total, message
    session.flush()
    return Orders.CANCEL if row.cancel_requested_at else Orders.GO_ON


def finish(session: Session, job: Claim) -> None:
    """End the job well.

    Raises LostLease and Stopped, and then nothing of this transaction may be committed.
    """
    row = hold(session, job)
    if row.cancel_requested_at:
        raise Stopped("This job was stopped; what it made is not published.")
    _end(row, JobState.FINISHED)
    session.flush()


def fail(session: Session, job: Claim, error: str) -> None:
    """End the job badly, with the sentence that people will read."""
    row = hold(session, job)
    row.error = error
    _end(row, JobState.FAILED)
    session.flush()


def end_cancelled(session: Session, job: Claim) -> None:
    _end(hold(session, job), JobState.CANCELLED)
    session.flush()


def hand_back(session: Session, job: Claim) -> None:
    """Return an unfinished job to the queue: a worker that is told to stop did nothing wrong."""
    row = hold(session, job)
    row.state, row.token, row.lease_until = JobState.QUEUED, None, None
    # One more is allowed, not one fewer counted: at attempt 0 it would pass for a fresh job.
    row.max_attempts += 1
    row.progress_message = "handed back by a worker that was stopped"
    session.flush()


def request_cancel(session: Session, job_id: uuid.UUID) -> Job:
    """Ask for a job to stop: a queued one ends now, a running one at its next heartbeat."""
    row = session.scalar(
        select(Job).where(Job.id == job_id).with_for_update().execution_options(**FRESH)
    )
    if row is None:
        raise NotFound("There is no such job.")
    if row.state not in (JobState.QUEUED, JobState.RUNNING):
        raise Conflict("This job has ended already; there is nothing left to stop.")
    row.cancel_requested_at = utc_now()
    if row.state is JobState.QUEUED:
        _end(row, JobState.CANCELLED)
    session.flush()
    return row


def sweep(session: Session, *, replies: bool = False) -> list[Job]:
    """Take back jobs whose worker fell silent: to the queue, or to failed after too many attempts.

    Those of one lane: what trains, or `replies`. Returns them all, so that their runs can follow.
    """
    is_in_lane = Job.kind == JobKind.REPLY if replies else Job.kind != JobKind.REPLY
    silent = session.scalars(
        select(Job)
        .where(Job.state == JobState.RUNNING, Job.lease_until < NOW, is_in_lane)
        .with_for_update(skip_locked=True)
        .execution_options(**FRESH)
    ).all()
    for row in silent:
        if row.cancel_requested_at:
            _end(row, JobState.CANCELLED)
        elif row.attempt >= row.max_attempts:
            row.error = (
                f"The worker fell silent at attempt {row.attempt} of this job, its last. "
                "It may need more memory than the machine has; its log says more."
            )
            _end(row, JobState.FAILED)
        else:
            row.state, row.token, row.lease_until = JobState.QUEUED, None, None
            row.progress_message = "taken back from a worker that fell silent"
    session.flush()
    return list(silent)


def see_worker(session: Session, name: str, device: str) -> None:
    """Note that a worker lives, for the people who wonder whether anything computes."""
    seen = session.execute(
        update(WorkerProcess)
        .where(WorkerProcess.name == name)
        .values(device=device, last_seen_at=NOW)
        .returning(WorkerProcess.name)
    ).one_or_none()
    if seen is None:
        session.add(WorkerProcess(name=name, device=device))
        session.flush()


def live_workers(
    session: Session, within: timedelta = timedelta(seconds=60)
) -> list[WorkerProcess]:
    return list(
        session.scalars(
            select(WorkerProcess)
            .where(WorkerProcess.last_seen_at > NOW - within)
            .order_by(WorkerProcess.name)
        )
    )


def _end(row: Job, state: JobState) -> None:
    row.state, row.token, row.lease_until = state, None, None
    row.finished_at = utc_now()
