"""A project with a policy to talk to, and what people and the worker do in it."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs
from app.collect.talk import replies, service
from app.collect.talk.queries import Stage, desk_of
from app.collect.talk.replies import Written
from app.tables.accounts import Person
from app.tables.collect import Comparison
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RunState
from app.tables.talk import Turn
from tests.collect.worlds import make_annotators
from tests.support import make_project

URL = "/projects/garden/collect/talk"
ANSWERS = (Written("Water **less**.", 0.7), Written("Water `more`.", 1.0))


def world(session: Session, *names: str, **settings: Any) -> tuple[Project, list[Person]]:
    project = make_project(session, **{"is_talk_on": True, **settings})
    people = make_annotators(session, project, *names)
    session.add(
        PolicyRun(
            project_id=project.id,
            number=7,
            algorithm=Algorithm.SFT,
            base_model="tiny",
            configuration={},
            state=RunState.FINISHED,
            is_live=True,
        )
    )
    session.commit()
    return project, people


def say(session: Session, project: Project, person: Person, words: str) -> Turn:
    desk = desk_of(session, project.id, person.id)
    turn = service.say(
        session, project, person.id, words,
        conversation_id=desk.conversation.id if desk.conversation else None,
        position=desk.position,
    )  # fmt: skip
    session.commit()
    return turn


def answer(session: Session, turn: Turn, written: tuple[Written, Written] = ANSWERS) -> Turn:
    """What the worker does: claim, write, publish."""
    claim = jobs.claim_reply(session, "alice")
    assert claim is not None
    assert claim.payload == {"turn_id": str(turn.id)}
    messages = replies.messages_of(session, turn.id)
    jobs.finish(session, claim)
    run = session.scalars(select(PolicyRun)).one()
    replies.publish(session, turn.id, messages, written, policy_run_id=run.id, is_cut=False)
    session.commit()
    return turn


def choose(session: Session, turn: Turn, person: Person, rating: int = 2) -> Comparison:
    said = service.Choice(rating=rating, seconds=4.0, idempotency_key=f"turn {turn.id}")
    comparison = service.choose(session, turn, person.id, said)
    session.commit()
    return comparison


def stage(session: Session, project: Project, person: Person) -> Stage:
    session.expire_all()
    return desk_of(session, project.id, person.id).stage
