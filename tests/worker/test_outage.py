"""A worker whose database goes away, and the daemon as it is started for real."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from app import db, jobs
from app.postgres import EmbeddedPostgres
from app.tables.jobs import Job, JobKind, JobState, WorkerProcess
from app.tables.runs import PolicyRun, RunMetric, RunState
from tests.conftest import pointed_at
from tests.support import make_project
from tests.worker.workers import (
    fake_stages,
    make_talking_project,
    make_worker,
    wait_until,
    worker_process,
)


@pytest.mark.slow
def test_a_database_that_goes_away_for_a_while_costs_neither_the_job_nor_a_metric(
    tmp_path: Path,
) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", fsync=False)
    server.start()
    try:
        db.migrate(server.url)
        with pointed_at(server.url, str(tmp_path / "data")):
            with db.session_scope() as session:
                make_talking_project(session)
            with worker_process("alice", "slow", lease=1.0) as process:
                wait_until(is_counting)
                db.get_engine().dispose()
                server.stop(at_once=True)
                time.sleep(2.0)
                assert process.poll() is None, "the worker gave up"
                server.start()
                wait_until(has_live_policy, seconds=20)
            with db.session_scope() as session:
                job = session.scalars(select(Job).where(Job.kind == JobKind.SFT)).one()
                assert (job.state, job.attempt) == (JobState.FINISHED, 1)
                steps = session.scalars(
                    select(RunMetric.step).where(RunMetric.name == "loss")
                ).all()
                assert sorted(steps) == list(range(1, 11))
    finally:
        server.stop(at_once=True)


def is_counting() -> bool:
    with db.session_scope() as session:
        return session.scalar(select(Job).where(Job.progress_done > 1)) is not None


def has_live_policy() -> bool:
    with db.session_scope() as session:
        return session.scalar(select(PolicyRun).where(PolicyRun.is_live)) is not None


def test_connections_cut_by_the_server_do_no_harm(session: Session, database: str) -> None:
    make_talking_project(session)
    with worker_process("alice", "slow"):
        wait_until(is_counting)
        session.rollback()
        engine = create_engine(db.with_driver(database), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
            )
        engine.dispose()
        db.get_engine().dispose()
        wait_until(has_live_policy)


@pytest.mark.parametrize(
    ("code", "is_away"),
    [
        *(("08006", True), ("57P01", True), ("57P03", True)),
        *(("40P01", False), ("53100", False), ("53300", False), ("55P03", False), ("57014", False)),
    ],
)
def test_a_server_that_refuses_one_statement_is_not_away(
    session: Session, code: str, is_away: bool
) -> None:
    with pytest.raises(DBAPIError) as caught:
        session.execute(text(f"do $$ begin raise exception using errcode = '{code}'; end $$"))
    assert db.is_server_away(caught.value) == is_away
    assert db.is_passing(caught.value)


def test_a_server_that_nobody_answers_for_is_away() -> None:
    engine = create_engine(db.with_driver("postgresql://127.0.0.1:1/nothing"))
    with pytest.raises(OperationalError) as caught:
        engine.connect()
    assert db.is_server_away(caught.value)


REFUSE = """
create sequence refusals;
create function refuse() returns trigger language plpgsql as $$
begin
    if nextval('refusals') <= {times} then raise exception using errcode = '40P01'; end if;
    return new;
end $$;
create trigger refuse before {what} for each row when ({condition}) execute function refuse();
"""


def refuse(session: Session, what: str, condition: str, times: int = 1000) -> None:
    """From now on the database refuses such a change so many times, as for a deadlock."""
    session.execute(text(REFUSE.format(what=what, condition=condition, times=times)))
    session.commit()


def test_a_project_whose_statements_are_refused_stops_no_other(session: Session) -> None:
    broken = make_talking_project(session, "broken")
    make_talking_project(session, "garden")
    refuse(session, "insert on policy_run", f"new.project_id = '{broken.id}'")
    assert make_worker("quick").turn()
    assert has_live_policy()


def test_a_refused_publication_is_tried_again(session: Session) -> None:
    make_talking_project(session)
    refuse(session, "update on job", "new.state = 'finished'", times=2)
    assert make_worker("quick").turn()
    assert has_live_policy()


def test_a_publication_that_is_always_refused_fails_the_run(session: Session) -> None:
    make_talking_project(session)
    refuse(session, "update on job", "new.state = 'finished'")
    assert make_worker("quick").turn()
    run = session.scalars(select(PolicyRun)).one()
    assert run.state is RunState.FAILED
    assert "DeadlockDetected" in run.error


def test_a_connection_cut_while_the_inputs_are_written_costs_no_attempt(session: Session) -> None:
    make_talking_project(session)
    stages = fake_stages("quick")
    stage, cuts = stages[JobKind.SFT], ["once"]

    def prepare(own: Session, job: jobs.Claim, folder: Path) -> list[str]:
        if cuts and cuts.pop():
            own.execute(text("select pg_terminate_backend(pg_backend_pid())"))
        return stage.prepare(own, job, folder)

    worker = make_worker("quick")
    worker.stages = stages | {JobKind.SFT: replace(stage, prepare=prepare)}
    assert worker.turn()
    job = session.scalars(select(Job).where(Job.kind == JobKind.SFT)).one()
    assert (job.state, job.attempt) == (JobState.FINISHED, 1)


def test_a_job_taken_by_another_worker_kills_the_child_and_publishes_nothing(
    session: Session,
) -> None:
    project = make_talking_project(session)
    with worker_process("alice", "slow", lease=5):
        wait_until(is_counting)
        job = session.scalars(select(Job).where(Job.kind == JobKind.SFT)).one()
        job.state, job.token, job.lease_until = JobState.QUEUED, None, None
        session.flush()
        claim = jobs.claim(session, "bob")
        project.is_archived = True
        session.commit()
        assert claim is not None
        time.sleep(2.5)
        session.refresh(job)
        assert (job.state, job.worker) == (JobState.RUNNING, "bob")
        session.commit()
        assert not has_live_policy()


def test_the_daemon_starts_says_what_it_computes_on_and_ends_on_sigterm(session: Session) -> None:
    make_project(session)
    session.commit()
    command = [sys.executable, "-m", "worker.main", "run"]
    process = subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE)
    try:

        def knows_its_device() -> bool:
            device = session.scalar(select(WorkerProcess.device))
            session.commit()
            return device is not None and ("core" in device or "NVIDIA" in device)

        wait_until(knows_its_device, seconds=60)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=15)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said.decode()
    assert b"SIGTERM: stopping." in said


def test_a_full_disk_is_told_in_the_words_of_the_trainer(session: Session) -> None:
    make_talking_project(session)
    make_worker("error").turn()
    run = session.scalars(select(PolicyRun)).one()
    assert run.error == "The disk is full: free some space and try again."
