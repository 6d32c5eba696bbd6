"""The worker with real processes and a real database, and a trainer that only counts to ten."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import runs
from app.loop.service import advance
from app.policy import service as policies
from app.tables.jobs import Job, JobState, WorkerProcess
from app.tables.runs import PolicyRun, RunMetric, RunState
from tests.support import make_project
from tests.worker.workers import (
    FAKE,
    is_alive,
    is_counting,
    make_talking_project,
    make_worker,
    model_folder,
    only_job,
    only_run,
    starts,
    trainer_lock,
    wait_until,
    worker_process,
)
from worker.child import Child, read_kept
from worker.daemon import run_until_idle


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


def test_metrics_that_a_killed_worker_had_not_passed_on_come_with_the_one_that_goes_on(
    session: Session,
) -> None:
    make_talking_project(session)
    advance(session)
    session.commit()
    folder = runs.run_folder(only_run(session).id)
    folder.mkdir(parents=True)
    (folder / "count").write_text("4")
    kept = [
        json.dumps({"event": "metrics", "step": step, "values": {"loss": -step, "odd": None}})
        for step in range(1, 6)
    ]
    (folder / "metrics.jsonl").write_text("\n".join([*kept, kept[0][:20]]), "utf-8")
    runs.record_metrics(session, only_run(session).id, [runs.Metric("loss", 2, 0.25)])
    session.commit()
    assert make_worker("quick").turn()
    losses = session.execute(
        select(RunMetric.step, RunMetric.value)
        .where(RunMetric.name == "loss")
        .order_by(RunMetric.step)
    ).all()
    assert [step for step, _ in losses] == list(range(1, 11))
    # What was written stays, what was kept is added, and what is done again replaces it.
    assert [value for _, value in losses[:5]] == [-1, 0.25, -3, -4, 0.2]
    told = [step for step, _ in read_kept(folder / "metrics.jsonl")]
    assert told == [*range(1, 6), *range(5, 11)]


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
