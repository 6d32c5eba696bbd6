"""The worker with real processes and a real database, and a trainer that only counts to ten."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app import jobs, runs
from app.jobs import Claim, LostLease
from app.loop.service import advance
from app.policy import service as policies
from app.reward import service as rewards
from app.reward.service import Outcome
from app.tables.base import utc_now
from app.tables.jobs import Job, JobKind, JobState, WorkerProcess
from app.tables.runs import PolicyRun, RunMetric, RunState
from tests.support import make_project
from tests.worker.workers import (
    FAKE,
    QUICK,
    fake_stages,
    make_talking_project,
    make_worker,
    wait_until,
    worker_process,
)
from worker.child import Child
from worker.daemon import run_until_idle
from worker.duty import Duty
from worker.stages import Stage

# SFT is the first job of a fresh project; a second turn would go on to sample the new policy.


def only_job(session: Session) -> Job:
    session.expire_all()
    job = session.scalars(select(Job).where(Job.kind == JobKind.SFT)).one()
    session.commit()
    return job


def only_run(session: Session) -> PolicyRun:
    session.expire_all()
    run = session.scalars(select(PolicyRun)).one()
    session.commit()
    return run


def is_counting(session: Session) -> bool:
    job = session.scalar(
        select(Job).where(Job.progress_done > 1).execution_options(populate_existing=True)
    )
    session.commit()
    return job is not None


def model_folder(session: Session) -> Path:
    return Path(runs.artefact_path(only_run(session)))


def test_a_job_ends_with_a_live_run_its_metrics_and_a_verified_artefact(session: Session) -> None:
    make_talking_project(session)
    assert make_worker("quick").turn()
    run = only_run(session)
    assert (run.state, run.is_live, run.code_commit) == (RunState.FINISHED, True, "abc")
    assert len(run.artefact_hash) == 64
    assert not run.artefact.startswith("/")
    assert (model_folder(session) / "weights").read_text() == "1"
    losses = session.scalars(
        select(RunMetric.value).where(RunMetric.name == "loss").order_by(RunMetric.step)
    ).all()
    assert losses == [1 / step for step in range(1, 11)]
    job = only_job(session)
    assert (job.state, job.progress_done, job.progress_total) == (JobState.FINISHED, 10, 10)
    assert session.scalars(select(WorkerProcess.device)).one() == "CPU, 1 core"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("error", "The disk is full"),
        ("killed", "ran out of memory"),
        ("silent", "without a result"),
        ("crash", "ZeroDivisionError"),
        ("torn", "was not published"),
    ],
)
def test_a_trainer_that_fails_becomes_a_sentence_and_waits_for_a_person(
    session: Session, mode: str, words: str
) -> None:
    make_talking_project(session)
    worker = make_worker(mode)
    assert worker.turn()
    run, job = only_run(session), only_job(session)
    assert run.state is RunState.FAILED
    assert words in run.error
    assert (job.state, job.error) == (JobState.FAILED, run.error)
    assert not run.is_live
    assert not worker.turn(), "a failed step starts again by itself"


def test_a_run_whose_artefact_was_damaged_is_made_good_by_trying_again(session: Session) -> None:
    make_talking_project(session)
    make_worker("torn").turn()
    run = only_run(session)
    assert run.state is RunState.FAILED
    policies.retry(session, run)
    session.commit()
    assert make_worker("quick").turn()
    assert only_run(session).is_live
    assert starts(session)[-1][0] > 0, "it began anew"
    assert (model_folder(session).with_name("damaged") / "weights").read_text() == "2"


def test_a_trainer_that_prints_garbage_is_heard_where_it_makes_sense(session: Session) -> None:
    make_talking_project(session)
    make_worker("garbage").turn()
    assert only_run(session).state is RunState.FINISHED
    log = runs.run_folder(only_run(session).id) / "trainer.log"
    assert b"\xff\xfe" in log.read_bytes()


def test_a_base_model_that_does_not_exist_fails_the_run_in_words(session: Session) -> None:
    project = make_talking_project(session, base_model="/nowhere/at-all")
    project.is_loop_automatic = False
    run = policies.request_run(session, project, policies.Algorithm.SFT)
    session.commit()
    run_until_idle(60)
    session.refresh(run)
    assert run.state is RunState.FAILED
    assert "/nowhere/at-all" in run.error
    assert "There is no base model" in run.error


def test_a_person_stops_a_running_job_within_seconds(session: Session) -> None:
    make_talking_project(session)
    with worker_process("alice", "slow"):
        wait_until(lambda: is_counting(session))
        runs.stop(session, only_job(session).id)
        session.commit()
        wait_until(lambda: only_job(session).state is JobState.CANCELLED, seconds=4)
    assert only_run(session).state is RunState.CANCELLED


def test_a_stubborn_trainer_is_killed_after_its_grace_time(session: Session) -> None:
    make_talking_project(session)
    with worker_process("alice", "stubborn"):
        wait_until(lambda: is_counting(session))
        runs.stop(session, only_job(session).id)
        session.commit()
        wait_until(lambda: only_job(session).state is JobState.CANCELLED, seconds=8)


def test_a_stopped_job_that_nobody_runs_ends_at_once_and_can_be_tried_again(
    session: Session,
) -> None:
    project = make_talking_project(session)
    run = policies.request_run(session, project, policies.Algorithm.SFT)
    session.commit()
    runs.stop(session, only_job(session).id)
    assert run.state is RunState.CANCELLED
    policies.retry(session, run)
    session.commit()
    assert make_worker("quick").turn()
    session.refresh(run)
    assert run.is_live


def test_sigterm_hands_the_job_back_and_burns_no_attempt(session: Session) -> None:
    make_talking_project(session)
    with worker_process("alice", "slow") as process:
        wait_until(lambda: is_counting(session))
        began = time.monotonic()
        process.terminate()
        assert process.wait(15) == 0
        assert time.monotonic() - began < 5
    job = only_job(session)
    assert (job.state, job.token) == (JobState.QUEUED, None)
    assert job.max_attempts - job.attempt == 3
    assert only_run(session).state is RunState.QUEUED
    make_worker("quick", "bob").turn()
    assert only_run(session).is_live
    first, _ = starts(session)[-1]
    assert first > 0, "the second worker began anew"


def starts(session: Session) -> list[tuple[int, int]]:
    """(step it went on from, process) of each trainer that came to its end."""
    lines = model_folder(session).with_name("starts").read_text().splitlines()
    return [(int(first), int(pid)) for first, pid in (line.split() for line in lines)]


def test_after_kill_9_another_worker_goes_on_from_the_checkpoint(session: Session) -> None:
    make_talking_project(session)
    with worker_process("alice", "slow", lease=1.0) as process:
        wait_until(lambda: is_counting(session))
        child = int(trainer_lock(session).read_text().split()[1])
        process.kill()
        process.wait()
        wait_until(lambda: not is_alive(child), seconds=3)
    with worker_process("bob", "quick", lease=5):
        wait_until(lambda: only_job(session).state is JobState.FINISHED)
    job = only_job(session)
    assert (job.attempt, job.worker) == (2, "bob")
    assert starts(session)[-1][0] > 0
    steps = session.scalars(select(RunMetric.step).where(RunMetric.name == "loss")).all()
    assert sorted(steps) == list(range(1, 11))


def trainer_lock(session: Session) -> Path:
    return runs.run_folder(only_run(session).id) / "trainer.lock"


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


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
    Duty(make_worker("quick"), claim, fake_stages("quick")[claim.kind]).do()
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


def test_attempts_run_out_with_a_sentence(session: Session) -> None:
    make_talking_project(session)
    with worker_process("alice", "slow", lease=1.0) as process:
        wait_until(lambda: is_counting(session))
        process.kill()
        process.wait()
    job = only_job(session)
    job.attempt = job.max_attempts
    session.commit()
    time.sleep(1.0)
    make_worker("quick").turn()
    assert only_job(session).state is JobState.FAILED
    assert "fell silent" in only_run(session).error
    assert only_run(session).state is RunState.FAILED


def test_two_workers_share_two_projects_and_never_one(session: Session) -> None:
    for slug in ("garden", "orchard"):
        make_talking_project(session, slug, is_loop_automatic=True)
    most: dict[str, int] = {}
    with worker_process("alice", "slow"), worker_process("bob", "slow"):

        def are_both_done() -> bool:
            running = session.execute(
                select(Job.project_id, Job.worker).where(Job.state == JobState.RUNNING)
            ).all()
            session.commit()
            assert len({row.project_id for row in running}) == len(running)
            most["running"] = max(most.get("running", 0), len(running))
            done = session.scalars(select(PolicyRun).where(PolicyRun.is_live)).all()
            session.commit()
            return len(done) == 2

        wait_until(are_both_done, seconds=20)
    assert most["running"] == 2
    assert len(session.scalars(select(PolicyRun)).all()) == 2, "a run was made twice"


def test_the_worker_imports_no_torch() -> None:
    program = "import worker.daemon, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("has_waitid", [True, False])
def test_the_child_cannot_reach_the_database_and_dies_with_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_waitid: bool
) -> None:
    if not has_waitid:
        monkeypatch.delattr(os, "waitid")
    program = (
        "import json, os, subprocess, sys; p = subprocess.Popen(['sleep', '60']);"
        "print(json.dumps({'event': 'result', 'report': {"
        "'url': os.environ.get('DATABASE_URL'), 'wait': os.environ['OMP_WAIT_POLICY'],"
        "'sleeper': p.pid}}), flush=True)"
    )
    os.environ["DATABASE_URL"] = "postgresql://nowhere"
    ended = threading.Event()
    try:
        child = Child([sys.executable, "-c", program], tmp_path, ended.set)
        assert child.finish() == 0
    finally:
        del os.environ["DATABASE_URL"]
    report = child.heard.result
    assert report is not None
    assert (report["url"], report["wait"]) == (None, "PASSIVE")
    wait_until(lambda: not is_alive(report["sleeper"]), seconds=3)
    assert ended.is_set()


def test_without_prompts_nothing_is_due(session: Session) -> None:
    make_project(session)
    session.commit()
    assert not make_worker("quick").turn()
    assert FAKE.exists()
