"""The loop over real tables: what it starts, once, and what it takes back."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import jobs, runs
from app.collect.service import next_assignment
from app.db import session_scope
from app.errors import Conflict, NotFound
from app.loop.facts import read_facts
from app.loop.service import advance, start_step, stop_job, try_again
from app.loop.state import Step
from app.policy import service as policies
from app.projects.service import set_archived
from app.runs import Outcome
from app.tables.accounts import Role
from app.tables.base import utc_now
from app.tables.collect import Pair
from app.tables.jobs import Job, JobKind, JobState
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RunState
from tests.collect.worlds import expire
from tests.support import join, make_person, make_project
from tests.worker.workers import make_talking_project
from worker import stages


def test_a_tiny_project_begins_with_its_imported_completions(session: Session) -> None:
    make_talking_project(session)
    assert advance(session) == ["garden: Policy run 1 will learn from the imported completions."]
    run = session.scalars(select(PolicyRun)).one()
    assert (run.algorithm, run.state, run.number) == (Algorithm.SFT, RunState.QUEUED, 1)
    assert advance(session) == []


def test_any_other_base_model_is_the_first_policy_as_it_is(session: Session) -> None:
    project = make_talking_project(session, base_model="/models/x")
    advance(session)
    run = session.scalars(select(PolicyRun)).one()
    assert (run.algorithm, run.is_live, run.artefact) == (Algorithm.BASE, True, "/models/x")
    assert runs.artefact_path(run) == "/models/x"
    assert read_facts(session, project).live_policy is not None


def test_a_pair_whose_lease_ran_out_is_free_again(session: Session) -> None:
    project = make_talking_project(session)
    alice = make_person(session, "alice")
    join(session, project, alice, Role.ANNOTATOR)
    assignment = next_assignment(session, project, alice.id)
    expire(session, assignment.id)
    assert "Leases that ran out: 1. Their pairs are free again." in advance(session)
    assert session.get_one(Pair, assignment.pair_id, populate_existing=True).n_taken == 0


def test_two_workers_that_advance_at_once_start_one_run(session: Session) -> None:
    make_talking_project(session)
    barrier = threading.Barrier(4)

    def turn() -> None:
        barrier.wait()
        for _ in range(3):
            with session_scope() as own:
                advance(own)

    threads = [threading.Thread(target=turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.scalars(select(func.count()).select_from(PolicyRun)).one() == 1
    assert session.scalars(select(func.count()).select_from(Job)).one() == 1


def test_by_hand_each_step_can_be_asked_for_and_says_why_not(session: Session) -> None:
    project = make_talking_project(session, is_loop_automatic=False)
    alice = make_person(session)
    assert advance(session) == []
    with pytest.raises(Conflict, match="Waits for a first reward model"):
        start_step(session, project, Step.SELECT, by=alice.id)
    assert "Policy run 1" in start_step(session, project, Step.SFT, by=alice.id)
    with pytest.raises(Conflict, match="First supervised fine-tuning has to end"):
        start_step(session, project, Step.SAMPLE, by=alice.id)


def test_an_archived_project_stands_still(session: Session) -> None:
    project = make_talking_project(session, is_archived=True)
    alice = make_person(session)
    assert advance(session) == []
    with pytest.raises(Conflict, match="archive"):
        start_step(session, project, Step.SFT, by=alice.id)


def test_what_waits_in_a_project_put_away_goes_on_waiting(session: Session) -> None:
    project = make_talking_project(session)
    alice = make_person(session)
    advance(session)
    set_archived(session, project, is_archived=True, by=alice.id)
    assert jobs.claim(session, "alice") is None
    set_archived(session, project, is_archived=False, by=alice.id)
    assert claimed(session).kind is JobKind.SFT


def test_what_runs_in_a_project_put_away_is_stopped_and_can_be_tried_again(
    session: Session,
) -> None:
    project = make_talking_project(session)
    alice = make_person(session)
    advance(session)
    claim = claimed(session)
    set_archived(session, project, is_archived=True, by=alice.id)
    assert jobs.heartbeat(session, claim) is jobs.Orders.CANCEL
    stages.end_cancelled(session, claim)
    with pytest.raises(Conflict, match="archive"):
        try_again(session, project, claim.id, by=alice.id)
    set_archived(session, project, is_archived=False, by=alice.id)
    assert try_again(session, project, claim.id, by=alice.id)
    assert claimed(session).run_id == claim.run_id


@pytest.mark.parametrize(
    "wrong", [Conflict("Something is wrong here."), KeyError("Something is wrong here.")]
)
def test_what_is_wrong_in_one_project_stops_no_other(
    session: Session, monkeypatch: pytest.MonkeyPatch, wrong: Exception
) -> None:
    make_talking_project(session, "broken")
    make_talking_project(session, "garden")
    request = policies.request_run

    def refuse(own: Session, project: Project, *args: object, **kwargs: object) -> PolicyRun:
        run = request(own, project, *args, **kwargs)  # type: ignore[arg-type]
        if project.slug == "broken":
            raise wrong
        return run

    monkeypatch.setattr(policies, "request_run", refuse)
    sentences = advance(session)
    assert sentences[0].startswith("broken: ")
    assert "Something is wrong here." in sentences[0]
    assert sentences[1].startswith("garden: Policy run 1")
    assert session.scalars(select(PolicyRun)).one().number == 1


def claimed(session: Session) -> jobs.Claim:
    claim = jobs.claim(session, "alice")
    assert claim is not None
    return claim


def test_after_a_failure_a_person_tries_again_and_the_run_stays_the_same(
    session: Session,
) -> None:
    project = make_talking_project(session)
    alice = make_person(session)
    advance(session)
    session.commit()
    policies.fail(session, claimed(session), "The disk is full.")
    session.commit()
    assert advance(session) == []
    held = read_facts(session, project).held
    assert [(one.kind, one.error) for one in held] == [(JobKind.SFT, "The disk is full.")]
    assert try_again(session, project, held[0].job_id, by=alice.id)
    run = session.scalars(select(PolicyRun)).one()
    assert (run.state, run.error) == (RunState.QUEUED, "")
    with pytest.raises(Conflict):
        try_again(session, project, held[0].job_id, by=alice.id)
    assert claimed(session).run_id == run.id


def test_a_job_of_another_project_is_not_found(session: Session) -> None:
    make_talking_project(session)
    other, alice = make_project(session, "other"), make_person(session)
    advance(session)
    job = session.scalars(select(Job)).one()
    with pytest.raises(NotFound):
        stop_job(session, other, job.id, by=alice.id)


def test_a_stopped_job_is_not_started_again_by_itself(session: Session) -> None:
    project = make_talking_project(session)
    alice = make_person(session)
    advance(session)
    job = session.scalars(select(Job)).one()
    assert "was stopped" in stop_job(session, project, job.id, by=alice.id)
    assert session.scalars(select(PolicyRun.state)).one() is RunState.CANCELLED
    assert advance(session) == []


def test_a_job_lost_for_the_last_time_ends_its_run_too(session: Session) -> None:
    make_talking_project(session)
    advance(session)
    session.commit()
    states = []
    for _ in range(3):
        claim = claimed(session)
        policies.start(session, claim)
        session.execute(Job.__table__.update().values(lease_until=utc_now() - timedelta(seconds=1)))
        session.commit()
        states.append(state_of_run(session))
        sentences = advance(session)
        session.commit()
        states.append(state_of_run(session))
    assert states[:4] == [RunState.RUNNING, RunState.QUEUED] * 2
    assert "fell silent" in sentences[0]
    run = session.scalars(select(PolicyRun).execution_options(populate_existing=True)).one()
    assert run.state is RunState.FAILED
    assert "fell silent" in run.error


def state_of_run(session: Session) -> RunState:
    return session.scalars(select(PolicyRun.state)).one()


def test_a_run_whose_figures_cannot_be_trusted_finishes_and_does_not_become_live(
    session: Session,
) -> None:
    project = make_talking_project(session)
    base = policies.register_base(session, project)
    run = policies.request_run(session, project, Algorithm.SFT)
    report = {
        "is_trustworthy": False,
        "alarms": [{"kind": "negative_kl", "step": 3, "message": "No divergence is negative."}],
    }
    policies.publish(session, claimed(session), Outcome("a/model", "h", report))
    assert run.state is RunState.FINISHED
    assert run.alarms == ["No divergence is negative."]
    assert (run.is_live, base.is_live) == (False, True)
    policies.make_live(session, run)
    session.refresh(base)
    assert (run.is_live, base.is_live) == (True, False)


def test_an_older_run_that_ends_late_does_not_replace_a_newer_live_one(session: Session) -> None:
    project = make_talking_project(session)
    old = policies.request_run(session, project, Algorithm.SFT)
    claim = claimed(session)
    new = policies.register_base(session, project)
    policies.publish(session, claim, Outcome("a/model", "h", {}))
    assert (old.is_live, new.is_live) == (False, True)


def test_a_handed_back_job_has_lost_no_attempt(session: Session) -> None:
    make_talking_project(session)
    advance(session)
    for _ in range(10):
        jobs.hand_back(session, claimed(session))
    job = session.scalars(select(Job)).one()
    assert job.state is JobState.QUEUED
    assert job.max_attempts - job.attempt == 3


def test_metrics_of_a_step_done_again_replace_the_old_ones(session: Session) -> None:
    project = make_talking_project(session)
    run = policies.request_run(session, project, Algorithm.SFT)
    runs.record_metrics(session, run.id, [runs.Metric("loss", 1, 2.0), runs.Metric("kl", 1, None)])
    runs.record_metrics(session, run.id, [runs.Metric("loss", 1, 1.5)] * 2)
    rows = session.execute(select(runs.RunMetric.name, runs.RunMetric.value)).all()
    assert sorted(map(tuple, rows)) == [("kl", None), ("loss", 1.5)]
