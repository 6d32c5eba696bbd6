"""Conversations: what is said, answered twice and chosen, and what reads it afterwards."""

import json
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.collect.leases import Nothing, Why
from app.collect.service import next_assignment
from app.collect.talk import replies, service
from app.collect.talk.queries import Stage, Waiting, desk_of
from app.datasets.service import export_lines, freeze
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.loop.facts import read_facts
from app.tables.base import utc_now
from app.tables.collect import Assignment, Comparison, Completion, Draw, Pair, Prompt
from app.tables.jobs import Job, JobKind, JobState, WorkerProcess
from app.tables.talk import Conversation
from tests.collect.talking import ANSWERS, answer, choose, say, stage, world
from tests.collect.worlds import broken_rules


def test_the_chosen_answer_goes_on_and_is_what_the_policy_reads_next(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    turn = answer(session, say(session, project, alice, "My basil droops."))
    choose(session, turn, alice, rating=7)
    pair = session.scalars(select(Pair)).one()
    chosen = session.get_one(Completion, pair.completion_b_id)
    assert turn.chosen_id == chosen.id
    second = say(session, project, alice, "And the mint?")
    assert replies.messages_of(session, second.id) == [
        {"role": "user", "content": "My basil droops."},
        {"role": "assistant", "content": chosen.text},
        {"role": "user", "content": "And the mint?"},
    ]
    answer(session, second)
    assert session.scalars(select(Prompt.messages).order_by(Prompt.created_at)).all()[1] == [
        *replies.messages_of(session, second.id)
    ]
    assert broken_rules(session) == []


def test_a_choice_is_a_comparison_that_training_and_export_read(session: Session) -> None:
    project, (alice, bob) = world(session, "alice", "bob")
    turn = answer(session, say(session, project, alice, "My basil droops."))
    comparison = choose(session, turn, alice)
    assignment = session.get_one(Assignment, comparison.assignment_id)
    assert (assignment.draw, assignment.draw_probability) == (Draw.CONVERSATION, 1.0)
    pair = session.scalars(select(Pair)).one()
    talk = session.scalars(select(Conversation)).one()
    assert (pair.conversation_id, pair.is_open, pair.n_taken) == (talk.id, False, 1)
    found = next_assignment(session, project, bob.id)
    assert isinstance(found, Nothing), "nobody else is asked about it"
    frozen = freeze(session, project, created_by=None)
    (line,) = [json.loads(one) for one in export_lines(session, frozen)]
    assert line["prompt"] == [{"role": "user", "content": "My basil droops."}]
    assert line["draw"] == "conversation"
    assert {line["chosen"][0]["content"], line["rejected"][0]["content"]} == {
        one.text for one in ANSWERS
    }


def test_turns_of_one_conversation_stay_on_one_side_of_a_split(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    for words in ("One?", "Two?"):
        choose(session, answer(session, say(session, project, alice, words)), alice)
    assert len(set(session.scalars(select(Prompt.group_key)))) == 1


def test_the_same_words_in_two_conversations_are_two_pairs(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    for _ in range(2):
        turn = answer(session, say(session, project, alice, "Hello."))
        choose(session, turn, alice)
        service.end(session, session.get_one(Conversation, turn.conversation_id))
        session.commit()
    assert len(session.scalars(select(Prompt)).all()) == 1
    assert len(session.scalars(select(Pair)).all()) == 2
    assert len(session.scalars(select(Comparison)).all()) == 2


def test_what_is_sent_twice_is_kept_once_and_another_tab_is_told(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    first = say(session, project, alice, "Hello.")
    again = service.say(session, project, alice.id, " Hello.\r\n", conversation_id=None, position=1)
    assert again.id == first.id
    with pytest.raises(Conflict, match="another tab"):
        service.say(session, project, alice.id, "Other.", conversation_id=None, position=1)
    session.rollback()
    answer(session, first)
    with pytest.raises(Conflict, match="Choose one"):
        service.say(
            session, project, alice.id, "More.",
            conversation_id=first.conversation_id, position=2,
        )  # fmt: skip
    session.rollback()
    comparison = choose(session, first, alice)
    assert choose(session, first, alice).id == comparison.id
    with pytest.raises(Conflict, match="differently"):
        choose(session, first, alice, rating=8)


@pytest.mark.parametrize("words", ["", " \n ", "x" * 4_001, "a\0b", "\u200b"])
def test_a_message_that_says_nothing_or_too_much_is_refused(session: Session, words: str) -> None:
    project, (alice,) = world(session, "alice")
    with pytest.raises(Invalid):
        say(session, project, alice, words)


def test_a_message_taken_back_stands_in_the_field_and_nothing_is_written(
    session: Session,
) -> None:
    project, (alice,) = world(session, "alice")
    turn = say(session, project, alice, "Hello.")
    claim = jobs.claim_reply(session, "alice")
    assert claim is not None
    service.take_back(session, turn)
    session.commit()
    with pytest.raises(jobs.Stopped):
        jobs.finish(session, claim)
    session.rollback()
    desk = desk_of(session, project.id, alice.id)
    assert (desk.stage, desk.position) == (Stage.WRITE, 1)
    assert desk.conversation is not None
    assert desk.conversation.draft == "Hello."
    with pytest.raises(jobs.Stopped):
        replies.messages_of(session, turn.id)


def test_a_reply_that_came_is_not_taken_back(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    turn = answer(session, say(session, project, alice, "Hello."))
    with pytest.raises(Conflict, match="came at this moment"):
        service.take_back(session, turn)


def test_nothing_is_written_for_a_page_that_nobody_looks_at(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    turn = say(session, project, alice, "Hello.")
    talk = session.get_one(Conversation, turn.conversation_id)
    talk.seen_at = utc_now() - timedelta(minutes=2)
    session.commit()
    with pytest.raises(jobs.Stopped, match="Nobody"):
        replies.messages_of(session, turn.id)
    service.see(session, talk)
    session.refresh(talk)
    assert replies.messages_of(session, turn.id)


def test_a_failed_reply_says_why_and_is_tried_again(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    turn = say(session, project, alice, "Hello.")
    claim = jobs.claim_reply(session, "alice")
    assert claim is not None
    jobs.fail(session, claim, "The model fell asleep.")
    session.commit()
    desk = desk_of(session, project.id, alice.id)
    assert (desk.stage, desk.error) == (Stage.FAILED, "The model fell asleep.")
    service.try_again(session, turn)
    service.try_again(session, turn)
    session.commit()
    waiting = select(Job).where(Job.state == JobState.QUEUED)
    assert len(session.scalars(waiting).all()) == 1
    answer(session, turn)
    assert stage(session, project, alice) is Stage.CHOOSE


def test_replies_wait_beside_training_and_are_no_part_of_the_loop(session: Session) -> None:
    project, (alice, bob) = world(session, "alice", "bob")
    jobs.enqueue(session, project.id, JobKind.REWARD)
    session.commit()
    training = jobs.claim(session, "alice")
    for person in (alice, bob):
        say(session, project, person, "Hello.")
    assert jobs.claim(session, "alice") is None, "one training run a project, and no reply"
    first, second = jobs.claim_reply(session, "alice"), jobs.claim_reply(session, "bob")
    assert first is not None
    assert second is not None
    session.commit()
    assert [job.kind for job in jobs.find_unfinished(session, project.id)] == [JobKind.REWARD]
    jobs.fail(session, first, "No.")
    session.commit()
    assert read_facts(session, project).held == ()
    assert training is not None
    for row in session.scalars(select(Job).where(Job.state == JobState.RUNNING)):
        row.lease_until = utc_now() - timedelta(minutes=1)
    session.commit()
    assert [job.id for job in jobs.sweep(session)] == [training.id]
    assert [job.id for job in jobs.sweep(session, replies=True)] == [second.id]


def test_the_page_says_who_is_waited_for(session: Session) -> None:
    project, (alice, bob) = world(session, "alice", "bob")
    say(session, project, alice, "Hello.")
    say(session, project, bob, "Hello.")
    assert desk_of(session, project.id, bob.id).waiting is Waiting.NOBODY
    session.add(WorkerProcess(name="w", device="CPU"))
    session.commit()
    desk = desk_of(session, project.id, bob.id)
    assert (desk.waiting, desk.n_before) == (Waiting.QUEUED, 1)
    jobs.claim_reply(session, "w")
    session.commit()
    assert desk_of(session, project.id, alice.id).waiting is Waiting.WRITING


def test_an_ended_conversation_can_go_on_today(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    turn = answer(session, say(session, project, alice, "Hello."))
    talk = session.get_one(Conversation, turn.conversation_id)
    service.end(session, talk)
    session.commit()
    assert stage(session, project, alice) is Stage.BEGIN
    service.go_on(session, project, alice.id)
    session.commit()
    assert stage(session, project, alice) is Stage.CHOOSE
    service.end(session, talk)
    talk.ended_at = utc_now() - timedelta(days=2)
    session.commit()
    with pytest.raises(Conflict):
        service.go_on(session, project, alice.id)


def test_a_turn_belongs_to_whoever_wrote_it(session: Session) -> None:
    project, (alice, bob) = world(session, "alice", "bob")
    turn = answer(session, say(session, project, alice, "Hello."))
    for who in (bob.id, uuid.uuid4()):
        with pytest.raises(NotFound):
            service.own_turn(session, turn.id, who, project.id)


def test_whoever_is_paused_or_at_the_limit_writes_nothing(session: Session) -> None:
    project, (alice,) = world(session, "alice", most_in_total=1)
    choose(session, answer(session, say(session, project, alice, "Hello.")), alice)
    nothing = service.why_not(session, project, alice.id)
    assert nothing is not None
    assert nothing.why is Why.LIMIT_REACHED
    with pytest.raises(Forbidden):
        say(session, project, alice, "More.")
