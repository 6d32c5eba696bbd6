"""Skipped rankings, ratings and demonstrations, taken back within a minute."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.kinds.leases import own_prompt, skip
from app.collect.kinds.skips import last_skip, unskip
from app.errors import Conflict, Forbidden
from app.tables.base import utc_now
from app.tables.collect import AssignmentState
from app.tables.kinds import PromptAssignment, PromptKind
from tests.collect.test_kinds import URL, take, world
from tests.collect.worlds import broken_rules
from tests.support import Browsing


@pytest.mark.parametrize("kind", list(PromptKind))
def test_a_skipped_prompt_comes_back_and_the_one_after_it_waits(
    session: Session, browsing: Browsing, kind: PromptKind
) -> None:
    project, (alice,) = world(session, "alice", n=2)
    page = browsing.sign_in(alice).get(f"{URL}/{kind}").text
    assert "Take it back" not in page
    first = session.scalars(select(PromptAssignment)).one()
    form = {"assignment_id": str(first.id)}
    assert browsing.post(f"{URL}/{kind}/skips", {**form, "other": "Odd"}).status_code == 303
    assert "Take it back" in browsing.get(f"{URL}/{kind}").text
    second = take(session, project, alice, kind)
    for _ in range(2):
        assert browsing.post(f"{URL}/{kind}/unskips", form).status_code == 303
    session.expire_all()
    assert (first.state, first.skip_reason) == (AssignmentState.LEASED, "")
    assert second.state is AssignmentState.EXPIRED
    page = browsing.get(f"{URL}/{kind}").text
    assert str(first.id) in page
    assert "Take it back" not in page
    # What made room comes back before anything else.
    skip(session, own_prompt(session, first.id, alice.id, project.id, kind), "after all")
    assert take(session, project, alice, kind) is second
    assert broken_rules(session) == []


def test_a_skip_of_one_kind_is_not_offered_on_the_page_of_another(session: Session) -> None:
    project, (alice,) = world(session, "alice", n=1)
    held = take(session, project, alice, PromptKind.RANK)
    skip(session, held, "no")
    assert last_skip(session, project.id, alice.id, PromptKind.RANK) is held
    assert last_skip(session, project.id, alice.id, PromptKind.RATE) is None


def test_a_skipped_prompt_is_gone_after_a_minute_or_once_others_took_it(
    session: Session, browsing: Browsing
) -> None:
    project, (alice, bob) = world(session, "alice", "bob", n=1)
    mine = take(session, project, alice, PromptKind.RATE)
    skip(session, mine, "no")
    session.commit()
    theirs = take(session, project, bob, PromptKind.RATE)
    with pytest.raises(Conflict, match="no room left"):
        unskip(session, mine)
    with pytest.raises(Forbidden):
        own_prompt(session, mine.id, bob.id, project.id, PromptKind.RATE)
    skip(session, theirs, "neither")
    mine.ended_at = utc_now() - timedelta(seconds=61)
    session.commit()
    assert last_skip(session, project.id, alice.id, PromptKind.RATE) is None
    with pytest.raises(Conflict, match="within a minute"):
        unskip(session, mine)
    form = {"assignment_id": str(mine.id)}
    refused = browsing.sign_in(alice).post(f"{URL}/rate/unskips", form)
    assert refused.status_code == 409
