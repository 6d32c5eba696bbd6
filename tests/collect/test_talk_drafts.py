"""Half-given choices of a conversation: kept with a version, and gone once the choice is given."""

import json

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.collect.talk import service
from app.collect.talk.drafts import save_turn_draft, turn_draft_of
from app.errors import Conflict, Invalid
from app.tables.talk import Conversation, TurnDraft
from tests.collect.talking import URL, answer, say, world
from tests.support import Browsing


def test_the_newest_draft_of_a_choice_stands_and_goes_with_the_choice(
    session: Session, browsing: Browsing
) -> None:
    project, (alice, bob) = world(session, "alice", "bob")
    turn = say(session, project, alice, "My basil droops.")
    with pytest.raises(Conflict, match="nothing was left to save"):
        save_turn_draft(session, turn, version=1, content="{}")
    answer(session, turn)
    form = {"assignment_id": str(turn.id), "version": "2", "content": '{"rating": "7"}'}
    for _ in range(2):
        kept = browsing.sign_in(alice).post(f"{URL}/drafts", form).json()
        assert kept == {"version": 2, "is_saved": True}
    older = {**form, "version": "1", "content": '{"rating": "1"}'}
    stands = {"version": 2, "is_saved": False, "content": {"rating": "7"}}
    assert browsing.post(f"{URL}/drafts", older).json() == stands
    page = browsing.get(URL).text
    assert 'data-version="2"' in page
    with pytest.raises(Invalid):
        save_turn_draft(session, turn, version=3, content="[]")
    assert browsing.sign_in(bob).post(f"{URL}/drafts", form).status_code == 404
    choice = service.Choice(rating=7, seconds=1.0, idempotency_key="a key")
    service.choose(session, turn, alice.id, choice)
    session.commit()
    assert session.scalar(select(func.count()).select_from(TurnDraft)) == 0
    late = browsing.sign_in(alice).post(f"{URL}/drafts", {**form, "version": "3"})
    assert late.status_code == 409


def test_a_draft_waits_in_a_conversation_that_was_left(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    turn = say(session, project, alice, "And the mint?")
    answer(session, turn)
    save_turn_draft(session, turn, version=1, content=json.dumps({"comment": "so"}))
    service.end(session, session.scalars(select(Conversation)).one())
    with pytest.raises(Conflict):
        save_turn_draft(session, turn, version=2, content="{}")
    service.go_on(session, project, alice.id)
    assert turn_draft_of(session, turn.id) == (1, {"comment": "so"})
