"""The next pair shows at the press of a key, and nothing is lost on the way to the server."""

import re
import uuid

import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.pairing import canonical
from app.collect.service import assign, record_comparison, sweep_expired
from app.tables.accounts import Person
from app.tables.collect import Assignment, AssignmentState, Comparison
from tests.browser.conftest import Live, Visit, console_is_clean, is_accessible
from tests.collect.worlds import broken_rules, expire, make_world

pytestmark = pytest.mark.browser

COLLECT = "/projects/garden/collect"
ANSWERS = f"**{COLLECT}/answers"


def open_with_next(visit: Visit, person: Person) -> Page:
    """The compare page with the pair after it fetched."""
    page = visit(person, "/account")
    with page.expect_response(f"**{COLLECT}/prefetches") as fetched:
        page.goto(page.url.replace("/account", COLLECT))
    assert fetched.value.headers["prefloop-ahead"]
    page.wait_for_timeout(50)
    return page


def current(page: Page) -> str:
    return page.locator("#pair").get_attribute("data-assignment") or ""


def ahead(session: Session) -> Assignment:
    session.rollback()
    return session.scalars(
        select(Assignment).where(Assignment.slot == 1, Assignment.state == "leased")
    ).one()


def answers(session: Session) -> list[Comparison]:
    session.rollback()
    return list(session.scalars(select(Comparison).order_by(Comparison.created_at)))


def test_the_next_pair_is_painted_before_the_server_has_the_answer_and_a_reload_shows_it(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=4)
    page = open_with_next(visit, alice)
    before, following = current(page), ahead(session)
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if held:
            route.continue_()
        held.append(route)

    page.route(ANSWERS, hold_the_first)
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    expect(page.locator("#pair")).to_have_attribute("data-assignment", str(following.id))
    expect(page.locator("#asked")).to_be_focused()
    expect(page.locator("#announcement")).to_have_text("Next pair. 1 in 24 hours · 3 left.")
    assert answers(session) == []
    # Whoever is faster than the network waits for it; no answer overtakes another.
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.wait_for_timeout(100)
    assert len(held) == 1
    assert current(page) == str(following.id)
    held[0].continue_()
    expect(page.locator("#pair")).not_to_have_attribute("data-assignment", str(following.id))
    expect(page.locator("#saved")).to_contain_text("Kept. Undo")
    assert page.evaluate("localStorage.getItem('prefloop.outbox')") == "[]"
    first, second = answers(session)
    assert [str(first.assignment_id), str(second.assignment_id)] == [before, str(following.id)]
    assert first.rating == canonical(7, first.is_flipped)
    assert second.rating == canonical(2, second.is_flipped)
    here = current(page)
    page.reload()
    assert current(page) == here
    expect(page.locator("#outbox")).to_be_hidden()
    assert broken_rules(session) == []
    assert console_is_clean(page)


def test_without_a_connection_the_next_pair_shows_all_the_same_and_answers_go_in_order(
    visit: Visit, session: Session, live: Live
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=4)
    page = open_with_next(visit, alice)
    before, following, bar = current(page), ahead(session), page.locator("#outbox")
    live.stop()
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#pair")).to_have_attribute("data-assignment", str(following.id))
    expect(bar).to_contain_text(re.compile("No connection since .* 1 answer waits"))
    assert is_accessible(page)
    # There is no pair after it, so the page stays; a second thought replaces what waits.
    for rating in "46":
        page.keyboard.press(rating)
        page.keyboard.press("Enter")
        expect(bar).to_contain_text("2 answers wait")
    expect(bar).to_contain_text("The answer on this page is among them")
    live.start()
    expect(page.locator("#pair")).not_to_have_attribute(
        "data-assignment", str(following.id), timeout=30_000
    )
    expect(bar).to_be_hidden()
    first, second = answers(session)
    assert [str(first.assignment_id), str(second.assignment_id)] == [before, str(following.id)]
    assert second.rating == canonical(6, second.is_flipped)
    assert broken_rules(session) == []


def test_what_was_fetched_is_renewed_and_a_pair_that_went_to_others_gives_way(
    visit: Visit, session: Session
) -> None:
    _, (alice, bob) = make_world(session, "alice", "bob", n_pairs=4, lease_minutes=1)
    page = open_with_next(visit, alice)
    page.clock.install()
    with page.expect_response(f"**{COLLECT}/prefetches"):
        page.reload()
    page.wait_for_timeout(50)
    with page.expect_request(f"**{COLLECT}/prefetches", timeout=5_000):
        page.clock.run_for(49_000)
    page.wait_for_timeout(200)
    gone = ahead(session)
    expire(session, gone.id)
    sweep_expired(session)
    session.commit()
    others = lease_pair(session, bob, gone)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#pair")).not_to_have_attribute("data-assignment", str(gone.id))
    session.rollback()
    mine = session.get_one(Assignment, uuid.UUID(current(page)))
    assert mine.pair_id not in (gone.pair_id, others.pair_id) or mine.id != gone.id
    assert (mine.state, mine.slot) == (AssignmentState.LEASED, 0)
    assert broken_rules(session) == []
    assert console_is_clean(page)


def lease_pair(session: Session, person: Person, gone: Assignment) -> Assignment:
    """Somebody else has it on their page now."""
    found = assign(session, gone.pair_id, person.id)
    session.commit()
    return found


def test_a_refused_answer_comes_back_to_the_page_on_which_it_was_written(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=4)
    page = open_with_next(visit, alice)
    before = current(page)
    page.keyboard.press("c")
    page.keyboard.type("my words")
    page.keyboard.press("Escape")
    expect(page.locator("#saved")).to_have_text("Saved")
    record_comparison(
        session, assignment_id=uuid.UUID(before), annotator_id=alice.id, rating=8, seconds=1,
        idempotency_key="from another device",
    )  # fmt: skip
    session.commit()
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator(".toast.is-danger")).to_contain_text("You have answered this pair before")
    assert current(page) == before
    expect(page.locator("input[name=rating]:checked")).to_have_value("3")
    expect(page.locator("#comment")).to_have_value("my words")
    expect(page.locator("#outbox")).to_be_hidden()
    # From there the way goes on as ever: to the last answer, which is the one that counts.
    page.keyboard.press("u")
    expect(page.get_by_role("heading", name="Change your answer")).to_be_visible()
    page.get_by_role("link", name="Leave it as it is").click()
    expect(page.locator("#pair")).not_to_have_attribute("data-assignment", before)
    assert len(answers(session)) == 1
