"""The pair leased ahead of the page: for a shorter time, counted, turned to at the answer."""

import re
import uuid
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.service import (
    Nothing,
    Why,
    lease_ahead,
    next_assignment,
    record_comparison,
    sweep_expired,
)
from app.tables.accounts import Person
from app.tables.base import utc_now
from app.tables.collect import Assignment, AssignmentState, Comparison, Pair
from app.tables.projects import Project
from tests.collect.worlds import answer, broken_rules, expire, lease, make_world
from tests.support import Browsing

URL = "/projects/garden/collect"
HTMX = {"HX-Request": "true"}


def ahead_of(session: Session, project: Project, page: Assignment) -> Assignment:
    """The assignment after `page`, committed; fails where there is none."""
    found = lease_ahead(session, project, page.annotator_id, page=page.id)
    assert found is not None
    session.commit()
    return session.get_one(Assignment, found.id, populate_existing=True)


def live(session: Session, person: Person) -> dict[int, uuid.UUID]:
    """What the person holds, by slot."""
    session.rollback()
    held = session.scalars(
        select(Assignment).where(
            Assignment.annotator_id == person.id, Assignment.state == AssignmentState.LEASED
        )
    )
    return {one.slot: one.id for one in held}


def test_the_pair_ahead_is_leased_for_a_shorter_time_counts_and_stays_the_same(
    session: Session,
) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=2, lease_minutes=20)
    page = lease(session, project, alice.id)
    ahead = ahead_of(session, project, page)
    assert ahead.pair_id != page.pair_id
    minutes = (ahead.lease_until - utc_now()).total_seconds() / 60
    assert 4 < minutes <= 5
    assert ahead_of(session, project, page).id == ahead.id
    # A reload shows the page's own pair, and others cannot have either of the two.
    assert lease(session, project, alice.id).id == page.id
    nothing = next_assignment(session, project, bob.id)
    assert isinstance(nothing, Nothing)
    assert nothing.why is Why.BUSY
    assert broken_rules(session) == []


def test_after_the_answer_the_pair_ahead_is_on_the_page_with_a_whole_lease_and_its_time_begins(
    session: Session,
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=3, lease_minutes=20)
    page = lease(session, project, alice.id)
    ahead = ahead_of(session, project, page)
    ahead.created_at = utc_now() - timedelta(minutes=4)
    session.commit()
    answer(session, project, alice)
    turned = lease(session, project, alice.id)
    assert (turned.id, turned.slot) == (ahead.id, 0)
    assert turned.lease_until > utc_now() + timedelta(minutes=19)
    assert turned.created_at > utc_now() - timedelta(minutes=1)
    assert broken_rules(session) == []


def test_a_pair_ahead_that_ran_out_goes_to_others_and_the_queue_goes_on(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=3)
    page = lease(session, project, alice.id)
    ahead = ahead_of(session, project, page)
    expire(session, ahead.id)
    sweep_expired(session)
    session.commit()
    pair = session.get_one(Pair, ahead.pair_id)
    pair.priority = 9.0
    session.commit()
    while lease(session, project, bob.id).pair_id != pair.id:
        answer(session, project, bob)
    answer(session, project, alice)
    found = next_assignment(session, project, alice.id)
    assert isinstance(found, Nothing) or found.pair_id not in (ahead.pair_id, page.pair_id)
    # Whoever had it on the page all the same is heard.
    late = record_comparison(
        session, assignment_id=ahead.id, annotator_id=alice.id, rating=2, seconds=1,
        idempotency_key="late",
    )  # fmt: skip
    session.commit()
    assert late.is_surplus
    assert broken_rules(session) == []


@pytest.mark.parametrize("limit", ["most_a_day", "most_in_total"])
@pytest.mark.parametrize("most", [1, 2])
def test_nothing_is_leased_ahead_that_a_limit_would_not_let_be_answered(
    session: Session, limit: str, most: int
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=5, **{limit: most})
    for n in range(most):
        page = lease(session, project, alice.id)
        ahead = lease_ahead(session, project, alice.id, page=page.id)
        session.commit()
        assert (ahead is None) == (n == most - 1)
        answer(session, project, alice)
    assert live(session, alice) == {}


def test_giving_back_and_resting_put_both_pairs_back(session: Session, browsing: Browsing) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=4)
    browsing.sign_in(alice)
    for path, fields in (
        ("releases", {}),
        ("pauses", {"until": str((utc_now() + timedelta(days=2)).date())}),
    ):
        page = lease(session, project, alice.id)
        ahead_of(session, project, page)
        response = browsing.post(f"{URL}/{path}", {"assignment_id": str(page.id), **fields})
        assert response.status_code == 303
        assert live(session, alice) == {}
        assert broken_rules(session) == []


def fields(page: httpx.Response) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))


def fetch_ahead(browsing: Browsing, page: dict[str, str]) -> httpx.Response:
    return browsing.post(f"{URL}/prefetches", {"assignment_id": page["assignment_id"]})


def test_a_page_that_has_turned_to_the_pair_ahead_gets_the_one_after_it(
    session: Session, browsing: Browsing
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=3, most_a_day=9)
    browsing.sign_in(alice)
    page = fields(browsing.get(URL))
    first = fetch_ahead(browsing, page)
    assert first.headers["prefloop-ahead"] == fields(first)["assignment_id"]
    for word in ("secret-one", "secret-two", "completion_", "flipped", "priority", "uniform"):
        assert word not in first.text
    assert "<b>1</b> in 24 hours · <b>2</b> left" in first.text
    shown = {"rating": "3", "shown": first.headers["prefloop-ahead"], "shown_for": "0.2"}
    second = browsing.post(f"{URL}/answers", {**page, **shown}, headers=HTMX)
    assert second.headers["prefloop-kept"] == page["assignment_id"]
    assert second.headers["prefloop-current"] == shown["shown"]
    assert "<b>2</b> in 24 hours · <b>1</b> left" in second.text
    held = live(session, alice)
    assert {str(one) for one in held.values()} == {
        shown["shown"], second.headers["prefloop-ahead"],
    }  # fmt: skip
    assert str(held[0]) == shown["shown"]
    # Nothing is after the last one; and then nothing at all.
    page, shown["shown"] = fields(first), second.headers["prefloop-ahead"]
    third = browsing.post(f"{URL}/answers", {**page, **shown}, headers=HTMX)
    assert third.text == ""
    assert "prefloop-ahead" not in third.headers
    last = browsing.post(f"{URL}/answers", {**fields(second), "rating": "3"}, headers=HTMX)
    assert "You have answered everything" in last.text
    assert len(session.scalars(select(Comparison)).all()) == 3
    assert broken_rules(session) == []


def test_a_page_that_turned_to_what_is_gone_gets_what_is_there(
    session: Session, browsing: Browsing
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=4)
    browsing.sign_in(alice)
    page = fields(browsing.get(URL))
    ahead = fetch_ahead(browsing, page).headers["prefloop-ahead"]
    pair = session.get_one(Assignment, uuid.UUID(ahead)).pair_id
    expire(session, uuid.UUID(ahead))
    sweep_expired(session)
    session.get_one(Pair, pair).is_open = False
    session.commit()
    response = browsing.post(
        f"{URL}/answers", {**page, "rating": "3", "shown": ahead}, headers=HTMX
    )
    current = response.headers["prefloop-current"]
    assert current != ahead
    assert fields(response)["assignment_id"] == current
    assert broken_rules(session) == []


def test_an_old_page_leases_nothing_ahead(session: Session, browsing: Browsing) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=4)
    browsing.sign_in(alice)
    old = fields(browsing.get(URL))
    browsing.post(f"{URL}/answers", {**old, "rating": "3"})
    browsing.get(URL)
    response = fetch_ahead(browsing, old)
    assert (response.status_code, response.text) == (200, "")
    assert set(live(session, alice)) == {0}


def test_the_seconds_of_a_pair_ahead_count_from_when_it_was_shown(
    session: Session, browsing: Browsing
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=4)
    browsing.sign_in(alice)
    page = fields(browsing.get(URL))
    first = fetch_ahead(browsing, page)
    which = uuid.UUID(first.headers["prefloop-ahead"])
    session.get_one(Assignment, which).created_at = utc_now() - timedelta(seconds=200)
    session.commit()
    turned = {"rating": "3", "shown": str(which), "shown_for": "60"}
    second = browsing.post(f"{URL}/answers", {**page, **turned}, headers=HTMX)
    assert second.headers["prefloop-current"] == str(which)
    said = {**fields(first), "rating": "3", "seconds": "190"}
    assert browsing.post(f"{URL}/answers", said, headers=HTMX).status_code == 200
    session.rollback()
    seconds = session.scalars(
        select(Comparison.seconds).where(Comparison.assignment_id == which)
    ).one()
    assert 59 < seconds < 90
