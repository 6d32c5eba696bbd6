"""The lane of replies: a policy stays in memory, and whatever befalls it, nobody waits for ever."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.talk import service
from app.collect.talk.queries import Desk, Stage, desk_of
from app.tables.accounts import Person
from app.tables.base import utc_now
from app.tables.collect import Completion, Pair
from app.tables.jobs import Job, JobKind, JobState
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun
from app.tables.talk import Conversation, Turn
from tests.collect.talking import choose, say, world
from tests.worker.workers import QUICK, is_alive, wait_until
from worker.replies import Replies
from worker.tiny import make_tiny

FAKE = Path(__file__).with_name("fake_speaker.py")


def lane(mode: str, **pace: float) -> Replies:
    quick = replace(QUICK, listen=0.02, **pace)
    return Replies("alice", quick, (sys.executable, str(FAKE), mode))


@contextmanager
def serving(mode: str, **pace: float) -> Iterator[Replies]:
    replies = lane(mode, **pace)
    replies.start()
    try:
        yield replies
    finally:
        replies.stop()


def desk(session: Session, project: Project, person: Person) -> Desk:
    session.rollback()
    session.expire_all()
    return desk_of(session, project.id, person.id)


def wait_for(session: Session, project: Project, person: Person, stage: Stage) -> Desk:
    wait_until(lambda: desk(session, project, person).stage is stage, seconds=60)
    return desk(session, project, person)


def job_state(session: Session) -> JobState:
    session.rollback()
    session.expire_all()
    return session.scalars(select(Job).order_by(Job.created_at.desc())).first().state  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    texts = [f"Sentence {n} says that the harbour is {n % 7} miles away." for n in range(200)]
    return str(make_tiny(texts, tmp_path_factory.mktemp("model") / "tiny", seed=0))


@pytest.mark.slow
def test_a_real_policy_answers_twice_and_stays_in_memory(session: Session, tiny: str) -> None:
    project, (alice,) = world(session, "alice", max_new_tokens=8)
    run = session.scalars(select(PolicyRun)).one()
    run.algorithm, run.artefact = Algorithm.BASE, tiny
    session.commit()
    say(session, project, alice, "How far is the harbour?")
    replies = Replies("alice", replace(QUICK, listen=0.02))
    replies.start()
    try:
        turn = wait_for(session, project, alice, Stage.CHOOSE).turn
        assert turn is not None
        child = replies.speaker._child
        assert child is not None
        written = session.scalars(select(Completion)).all()
        assert len({one.text for one in written}) == 2
        assert {one.policy_run_id for one in written} == {run.id}
        assert sorted(one.source[-3:] for one in written) == ["0.7", "e 1"]
        choose(session, turn, alice)
        began = utc_now()
        say(session, project, alice, "And the town?")
        wait_for(session, project, alice, Stage.CHOOSE)
        assert (utc_now() - began).total_seconds() < 3, "the policy was loaded anew"
        assert replies.speaker._child is child
    finally:
        replies.stop()
    assert not is_alive(child.pid)
    assert not turn.is_cut


def test_one_child_answers_message_after_message(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    with serving("echo"):
        for words in ("One?", "Two?"):
            say(session, project, alice, words)
            turn = wait_for(session, project, alice, Stage.CHOOSE).turn
            assert turn is not None
            choose(session, turn, alice)
    speakers = {one.text.split(" at ")[0] for one in session.scalars(select(Completion))}
    assert len(speakers) == 1, "one child for both"
    assert len(session.scalars(select(Pair)).all()) == 2


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [("refuse", "The model is shy."), ("die", "broke off"), ("hang", "took more than")],
)
def test_a_policy_that_does_not_answer_says_why(session: Session, mode: str, sentence: str) -> None:
    project, (alice,) = world(session, "alice")
    say(session, project, alice, "Hello.")
    with serving(mode, reply=0.5):
        assert sentence in wait_for(session, project, alice, Stage.FAILED).error
        turn = desk(session, project, alice).turn
        assert turn is not None
        service.try_again(session, turn)
        session.commit()
        wait_for(session, project, alice, Stage.FAILED)


def test_a_message_taken_back_while_the_policy_writes_frees_the_lane(session: Session) -> None:
    project, (alice, bob) = world(session, "alice", "bob")
    turn = say(session, project, alice, "Hello.")
    with serving("hang") as replies:
        wait_until(lambda: job_state(session) is JobState.RUNNING)
        turn = session.get_one(Turn, turn.id)
        service.take_back(session, turn)
        session.commit()
        wait_until(lambda: job_state(session) is JobState.CANCELLED)
        replies.speaker.argv = (sys.executable, str(FAKE), "echo")
        say(session, project, bob, "Hello.")
        wait_for(session, project, bob, Stage.CHOOSE)


def test_nobody_computes_for_a_page_that_is_gone(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    say(session, project, alice, "Hello.")
    session.scalars(select(Conversation)).one().seen_at = utc_now().replace(year=2020)
    session.commit()
    lane("die").answer_all()
    assert job_state(session) is JobState.CANCELLED
    assert "left" in desk(session, project, alice).error


def test_a_stopped_worker_hands_the_message_on(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    say(session, project, alice, "Hello.")
    with serving("hang") as replies:
        wait_until(lambda: replies.speaker._child is not None)
        child = replies.speaker._child
        assert child is not None
    assert not is_alive(child.pid)
    assert job_state(session) is JobState.QUEUED
    lane("echo").answer_all()
    assert desk(session, project, alice).stage is Stage.CHOOSE


def test_a_killed_worker_takes_its_policy_along_and_the_next_one_answers(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    say(session, project, alice, "Hello.")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.worker.test_replies", "hang"],
        env=os.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout:
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not is_alive(child))
    with serving("echo"):
        wait_for(session, project, alice, Stage.CHOOSE)
    job = session.scalars(select(Job).where(Job.kind == JobKind.REPLY)).one()
    assert (job.state, job.attempt) == (JobState.FINISHED, 2)


def test_a_policy_that_nobody_asks_lets_go_of_its_memory(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    say(session, project, alice, "Hello.")
    with serving("echo", keep_policy=0.1) as replies:
        wait_for(session, project, alice, Stage.CHOOSE)
        wait_until(lambda: replies.speaker._child is None)


if __name__ == "__main__":
    killed = lane(sys.argv[1], lease=1.0)
    killed.start()
    while killed.speaker._child is None:
        threading.Event().wait(0.02)
    sys.stdout.write(f"{killed.speaker._child.pid}\n")
    sys.stdout.flush()
    killed._thread.join()
