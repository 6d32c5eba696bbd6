"""The queue under several workers at once, over real connections."""

import threading
import uuid
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.db import session_scope
from app.errors import Conflict
from app.jobs import Claim, LostLease, Orders
from app.tables.base import utc_now
from app.tables.jobs import Job, JobKind, JobState
from tests.support import make_project


def claim(session: Session, worker: str = "alice", lease: float = 20) -> Claim:
    found = jobs.claim(session, worker, timedelta(seconds=lease))
    assert found is not None
    return found


def test_a_project_holds_one_fresh_job_of_a_kind(session: Session) -> None:
    project = make_project(session)
    jobs.enqueue(session, project.id, JobKind.SAMPLE)
    jobs.enqueue(session, project.id, JobKind.REWARD)
    with pytest.raises(Conflict, match="already waits"):
        jobs.enqueue(session, project.id, JobKind.SAMPLE)


def test_ten_workers_take_each_job_once_and_one_a_project(session: Session) -> None:
    projects = [make_project(session, f"p{i}") for i in range(5)]
    for project in projects:
        for kind in (JobKind.REWARD, JobKind.SAMPLE):
            jobs.enqueue(session, project.id, kind)
    session.commit()
    barrier, taken = threading.Barrier(10), list[uuid.UUID]()
    errors = list[Exception]()

    def work() -> None:
        barrier.wait()
        try:
            for _ in range(5):
                with session_scope() as own:
                    found = jobs.claim(own, "alice")
                if found is not None:
                    taken.append(found.project_id)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert max(Counter(taken).values()) == 1
    assert len(taken) == 5
    running = session.scalars(select(Job.project_id).where(Job.state == JobState.RUNNING)).all()
    assert sorted(running) == sorted(taken)


def test_a_job_taken_back_is_lost_to_the_first_worker(session: Session) -> None:
    project = make_project(session)
    jobs.enqueue(session, project.id, JobKind.REWARD)
    first = claim(session, lease=-1)
    assert [one.state for one in jobs.sweep(session)] == [JobState.QUEUED]
    second = claim(session, "bob")
    assert (second.id, second.attempt) == (first.id, 2)
    for act in (jobs.heartbeat, jobs.finish, jobs.hand_back, jobs.end_cancelled):
        with pytest.raises(LostLease):
            act(session, first)
    assert jobs.heartbeat(session, second, done=1, total=2, message="on") is Orders.GO_ON
    jobs.finish(session, second)
    with pytest.raises(LostLease):
        jobs.finish(session, second)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_worker_whose_clock_is_wrong_holds_its_job_and_takes_no_other(
    session: Session, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    project = make_project(session)
    jobs.enqueue(session, project.id, JobKind.REWARD)
    held = claim(session)
    monkeypatch.setattr(jobs, "utc_now", lambda: utc_now() + timedelta(hours=hours))
    assert jobs.sweep(session) == []
    assert jobs.heartbeat(session, held) is Orders.GO_ON
    jobs.see_worker(session, "alice", "CPU")
    jobs.see_worker(session, "alice", "CPU")
    monkeypatch.undo()
    lease = session.get_one(Job, held.id).lease_until
    assert lease is not None
    assert abs(lease - utc_now() - jobs.LEASE) < timedelta(seconds=10)
    assert len(jobs.live_workers(session)) == 1
    assert jobs.sweep(session) == []
    jobs.finish(session, held)


def test_a_stop_reaches_the_worker_with_its_next_heartbeat(session: Session) -> None:
    project = make_project(session)
    job = jobs.enqueue(session, project.id, JobKind.REWARD)
    held = claim(session)
    session.refresh(job)
    assert jobs.request_cancel(session, job.id).state is JobState.RUNNING
    assert jobs.heartbeat(session, held) is Orders.CANCEL
    jobs.end_cancelled(session, held)
    with pytest.raises(Conflict, match="ended already"):
        jobs.request_cancel(session, job.id)


def test_a_stopped_job_whose_worker_vanished_ends_as_stopped(session: Session) -> None:
    project = make_project(session)
    job = jobs.enqueue(session, project.id, JobKind.REWARD)
    claim(session, lease=-1)
    session.refresh(job)
    jobs.request_cancel(session, job.id)
    assert [one.state for one in jobs.sweep(session)] == [JobState.CANCELLED]


def test_a_handed_back_job_does_not_collide_with_a_fresh_one_of_its_kind(
    session: Session,
) -> None:
    project = make_project(session)
    jobs.enqueue(session, project.id, JobKind.SAMPLE)
    held = claim(session)
    jobs.enqueue(session, project.id, JobKind.SAMPLE)
    jobs.hand_back(session, held)
    session.commit()
    assert claim(session).id == held.id, "the older one comes first"


def test_a_job_that_kills_its_workers_is_not_tried_for_ever(session: Session) -> None:
    project = make_project(session)
    job = jobs.enqueue(session, project.id, JobKind.REWARD)
    for attempt in (1, 2, 3):
        assert claim(session, lease=-1).attempt == attempt
        swept = jobs.sweep(session)
    session.refresh(job)
    assert swept == [job]
    assert job.state is JobState.FAILED
    assert "memory" in job.error
    assert jobs.claim(session, "alice") is None
