"""Workers that wake up late, and people who stop a job at the worst moment."""

import os
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app import jobs, runs
from app.jobs import Claim, LostLease
from app.loop.service import advance
from app.policy import service as policies
from app.reward import service as rewards
from app.runs import Outcome
from app.tables.base import utc_now
from app.tables.jobs import JobKind, JobState
from app.tables.runs import RunState
from tests.worker.workers import (
    QUICK,
    fake_stages,
    is_alive,
    is_counting,
    make_talking_project,
    make_worker,
    only_job,
    only_run,
    starts,
    trainer_lock,
    wait_until,
    worker_process,
)
from worker.duty import Training
from worker.stages import Stage


def test_a_worker_that_slept_through_its_lease_publishes_nothing(session: Session) -> None:
    make_talking_project(session)
    with worker_process("alice", "slow", lease=1.0) as zombie:
        wait_until(lambda: is_counting(session))
        os.kill(zombie.pid, signal.SIGSTOP)
        orphan = int(trainer_lock(session).read_text().split()[1])
        with worker_process("bob", "quick", lease=5):
            wait_until(lambda: only_job(session).state is JobState.FINISHED)
            assert not is_alive(orphan), "two trainers wrote in one folder"
            before = only_run(session).artefact_hash
            os.kill(zombie.pid, signal.SIGCONT)
            time.sleep(1.0)
    assert only_job(session).worker == "bob"
    assert only_run(session).artefact_hash == before
    assert only_run(session).state is RunState.FINISHED


def expire_lease(session: Session) -> None:
    job = only_job(session)
    job.lease_until = utc_now() - timedelta(seconds=1)
    session.commit()


def test_a_worker_that_slept_before_it_began_leaves_the_finished_run_alone(
    session: Session,
) -> None:
    make_talking_project(session)
    advance(session)
    claim = jobs.claim(session, "alice")
    session.commit()
    assert claim is not None
    expire_lease(session)
    assert make_worker("quick", "bob").turn()
    before = only_run(session).finished_at
    Training(make_worker("quick"), claim, fake_stages("quick")[claim.kind]).do()
    run = only_run(session)
    assert (run.state, run.finished_at, run.is_live) == (RunState.FINISHED, before, True)
    assert len(starts(session)) == 1


def test_a_worker_that_slept_while_it_wrote_the_inputs_starts_no_second_trainer(
    session: Session,
) -> None:
    make_talking_project(session)

    def meanwhile() -> None:
        expire_lease(session)
        assert make_worker("quick", "bob").turn()

    worker = make_worker("quick", pace=replace(QUICK, heartbeat=60))
    worker.stages = stages_that("quick", meanwhile)
    assert worker.turn()
    assert (only_job(session).worker, only_run(session).state) == ("bob", RunState.FINISHED)
    assert len(starts(session)) == 1


def stages_that(mode: str, meanwhile: Callable[[], None]) -> dict[JobKind, Stage]:
    """The fake stages, in which something happens while the inputs of SFT are written."""

    def prepare(session: Session, job: Claim, folder: Path) -> list[str]:
        argv = stage.prepare(session, job, folder)
        meanwhile()
        return argv

    stages = fake_stages(mode)
    stage = stages[JobKind.SFT]
    return stages | {JobKind.SFT: replace(stage, prepare=prepare)}


def test_a_stop_is_heard_while_the_inputs_are_written(session: Session) -> None:
    make_talking_project(session)

    def stop() -> None:
        session.execute(text("set lock_timeout = '2s'"))
        runs.stop(session, only_job(session).id)
        session.commit()

    worker = make_worker("quick")
    worker.stages = stages_that("quick", stop)
    assert worker.turn()
    assert only_job(session).state is JobState.CANCELLED
    assert only_run(session).state is RunState.CANCELLED
    assert not trainer_lock(session).exists()


def test_a_stop_while_the_artefact_is_verified_is_not_lost(session: Session) -> None:
    make_talking_project(session)
    stages = fake_stages("quick")
    stage = stages[JobKind.SFT]

    def collect(folder: Path, report: dict[str, Any]) -> Outcome:
        runs.stop(session, only_job(session).id)
        session.commit()
        return stage.collect(folder, report)

    worker = make_worker("quick")
    worker.stages = stages | {JobKind.SFT: replace(stage, collect=collect)}
    assert worker.turn()
    assert only_job(session).state is JobState.CANCELLED
    assert (only_run(session).state, only_run(session).is_live) == (RunState.CANCELLED, False)


def test_a_lost_claim_can_neither_beat_nor_publish_nor_fail(session: Session) -> None:
    project = make_talking_project(session)
    run = policies.request_run(session, project, policies.Algorithm.SFT)
    claim = jobs.claim(session, "alice")
    assert claim is not None
    lost = Claim(**{**vars(claim), "token": uuid.uuid4()})
    for act in (
        lambda: jobs.heartbeat(session, lost),
        lambda: policies.start(session, lost),
        lambda: rewards.start(session, lost),
        lambda: policies.publish(session, lost, Outcome("x", "y", {})),
        lambda: policies.fail(session, lost, "no"),
    ):
        with pytest.raises(LostLease):
            act()
    assert run.state is RunState.QUEUED
