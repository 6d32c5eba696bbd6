"""What the audit trail says of steps that people start."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.loop.service import start_step
from app.loop.state import Step
from app.tables.accounts import AuditEvent, Role
from tests.datasets.support import add_pairs, answer
from tests.support import join, make_person, make_project


def test_a_base_model_registered_by_hand_and_a_set_frozen_for_training_name_who_asked(
    session: Session,
) -> None:
    project, rita = make_project(session, base_model="someone/model"), make_person(session, "rita")
    join(session, project, rita, Role.RESEARCHER)
    start_step(session, project, Step.REGISTER, by=rita.id)
    for pair in add_pairs(session, project, 2):
        answer(session, pair, rita)
    start_step(session, project, Step.REWARD, by=rita.id)
    events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert [event.action for event in events] == [
        *("policy_run.registered", "preference_set.frozen", "reward_run.requested"),
    ]
    assert {event.actor_id for event in events} == {rita.id}
