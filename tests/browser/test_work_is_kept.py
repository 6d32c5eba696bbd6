"""Crashes, lost connections, two tabs and second thoughts: nobody's work is lost, or sent twice."""

import re

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.pairing import canonical
from app.collect.service import record_comparison
from app.tables.accounts import Person
from app.tables.collect import Assignment, Comparison
from app.tables.work import ControlTime, Draft
from app.web.login import cookie_name
from tests.browser.comparing import COLLECT, answers, current, wait_for_next
from tests.browser.conftest import (
    NARROW,
    Live,
    Visit,
    console_is_clean,
    fits_its_width,
    is_accessible,
)
from tests.collect.worlds import make_flag, make_world
from tests.support import log_in

pytestmark = pytest.mark.browser

PATIENCE = 12_000


def half_answer(page: Page, comment: str) -> None:
    page.keyboard.press("c")
    page.keyboard.type(comment)
    page.keyboard.press("Escape")
    page.keyboard.press("3")


def is_saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("Saved")


def become(page: Page, session: Session, person: Person | None) -> None:
    page.context.clear_cookies()
    if person is not None:
        token, _ = log_in(session, person)
        page.context.add_cookies(
            [{"name": cookie_name(), "value": token, "domain": "127.0.0.1", "path": "/"}]
        )


def test_half_an_answer_comes_back_in_a_second_tab_and_on_another_device(
    visit: Visit, session: Session
) -> None:
    project, (alice,) = make_world(session, "alice")
    make_flag(session, project, "Rude", shortcut="r")
    page = visit(alice, COLLECT)
    half_answer(page, "<b>half</b> a thought")
    page.keyboard.press("r")
    is_saved(page)
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes('draft'))") == []
    second = page.context.new_page()
    second.goto(page.url)
    for other in (second, visit(alice, COLLECT)):
        expect(other.locator("#comment")).to_have_value("<b>half</b> a thought")
        expect(other.locator("input[name=rating]:checked")).to_have_value("3")
        expect(other.locator(".side-a .flag input:checked")).to_have_value("1")
    second.keyboard.press("7")
    expect(page.locator("input[name=rating]:checked")).to_have_value("7")
    is_saved(second)
    page.bring_to_front()
    # What was only written into the browser, as in a crash, comes back too.
    page.evaluate("void (window.fetch = () => new Promise(() => {}))")
    page.keyboard.press("2")
    page.reload()
    expect(page.locator("input[name=rating]:checked")).to_have_value("2")
    is_saved(page)
    before = current(page)
    page.keyboard.press("Enter")
    wait_for_next(page, before)
    (said,) = answers(session)
    assert (said.rating, said.comment) == (canonical(2, said.is_flipped), "<b>half</b> a thought")
    # The other tab goes on by a word about it, for it held the same half answer.
    expect(second.locator("#saved")).to_contain_text("You answered this pair in another tab")
    second.get_by_role("link", name="See that answer").click()
    expect(second.locator("input[name=rating]:checked")).to_have_value("2")
    assert console_is_clean(page)


def test_a_newer_draft_from_elsewhere_is_shown_and_the_one_here_can_be_put_back(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    half_answer(page, "here")
    is_saved(page)
    session.rollback()
    draft = session.scalars(select(Draft)).one()
    draft.version, draft.content = 90, {"comment": "from the train", "rating": "8"}
    session.commit()
    page.keyboard.press("5")
    expect(page.locator("#comment")).to_have_value("from the train")
    page.get_by_role("button", name="Put back what was here").click()
    expect(page.locator("input[name=rating]:checked")).to_have_value("5")
    is_saved(page)
    session.rollback()
    session.refresh(draft)
    assert (draft.version, draft.content["comment"]) == (91, "here")


def test_an_answer_without_a_connection_waits_and_is_sent_once_when_it_returns(
    visit: Visit, session: Session, live: Live
) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT, size=NARROW)
    before, bar = current(page), page.locator("#outbox")
    live.stop()
    half_answer(page, "offline")
    page.keyboard.press("Enter")
    expect(bar).to_contain_text(re.compile("No connection since .* 1 answer waits"))
    assert fits_its_width(page)
    assert is_accessible(page)
    page.wait_for_timeout(300)
    live.start()
    wait_for_next(page, before)
    expect(bar).to_be_hidden()
    (said,) = answers(session)
    assert (said.rating, said.comment) == (canonical(3, said.is_flipped), "offline")
    # Closing the tab loses nothing: the next visit sends it.
    before = current(page)
    live.stop()
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    expect(bar).to_contain_text("1 answer waits")
    context = page.context
    page.close()
    live.start()
    again = context.new_page()
    again.goto(live.url + COLLECT)
    wait_for_next(again, before)
    assert len(answers(session)) == 2


def test_what_waits_is_sent_by_its_own_author_only_and_after_signing_in_again(
    visit: Visit, session: Session, live: Live
) -> None:
    _, (alice, bob) = make_world(session, "alice", "bob")
    page = visit(alice, COLLECT)
    mine, bar = current(page), page.locator("#outbox")
    become(page, session, None)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(bar).to_contain_text("You are signed out", timeout=PATIENCE)
    become(page, session, bob)
    other = page.context.new_page()
    other.goto(live.url + COLLECT)
    expect(other.locator("#outbox")).to_contain_text("Answers of another person wait")
    expect(bar).to_contain_text("Someone else has signed in", timeout=PATIENCE)
    assert answers(session) == []
    other.close()
    # The page still holds the form token of the first sign-in; the answer is sent all the same.
    become(page, session, alice)
    wait_for_next(page, mine)
    (said,) = answers(session)
    assert said.annotator_id == alice.id


def test_a_refused_answer_is_shown_with_its_text_until_it_is_discarded(
    visit: Visit, session: Session, live: Live
) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    bar = page.locator("#outbox")
    live.stop()
    half_answer(page, "my words")
    page.keyboard.press("Enter")
    expect(bar).to_contain_text("1 answer waits")
    mine = session.scalars(select(Assignment).where(Assignment.slot == 0)).one()
    record_comparison(
        session,
        assignment_id=mine.id,
        annotator_id=alice.id,
        rating=8,
        seconds=1,
        idempotency_key="from another device",
    )
    session.commit()
    # Whoever has begun the next pair stays with it.
    page.keyboard.press("5")
    live.start()
    expect(bar).to_contain_text("You have answered this pair before", timeout=PATIENCE)
    expect(bar).to_contain_text("rating 3, “my words”")
    assert is_accessible(page)
    page.on("dialog", lambda dialog: dialog.accept())
    bar.get_by_role("button", name="Discard").click()
    expect(bar).to_be_hidden()
    assert len(answers(session)) == 1


def test_an_answer_in_one_tab_moves_the_other_and_the_way_back_shows_it(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    before = current(page)
    second = page.context.new_page()
    second.goto(page.url)
    page.bring_to_front()
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    wait_for_next(page, before)
    wait_for_next(second, before)
    assert current(second) == current(page)
    # The browser brings the page back as it was before the answer.
    stale = f"document.getElementById('pair').dataset.assignment = '{before}'"
    back = "window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
    page.evaluate(f"{stale}; {back}")
    expect(page.get_by_role("heading", name="Change your answer")).to_be_visible()
    expect(page.locator("input[name=rating]:checked")).to_have_value("3")


def test_undo_leads_to_the_answer_with_its_versions_until_the_projects_window_ends(
    visit: Visit, session: Session
) -> None:
    project, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    before = current(page)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    wait_for_next(page, before)
    page.locator("#saved").get_by_role("link", name="Undo").click()
    expect(page.locator(".about-change")).to_contain_text("frozen already keep the answer")
    page.keyboard.press("6")
    expect(page.locator("#saved")).to_have_text("Saved in this browser")
    page.reload()
    expect(page.locator("input[name=rating]:checked")).to_have_value("6")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Your answer was changed")
    page.keyboard.press("u")
    expect(page.locator(".about-change summary")).to_have_text("1 earlier version")
    assert is_accessible(page)
    project.undo_hours = 0
    session.commit()
    page.reload()
    expect(page.locator(".about-change")).to_contain_text("an answer stands as it was given")
    expect(page.get_by_role("button", name="Save the change")).to_have_count(0)
    assert console_is_clean(page)


def test_active_time_is_told_apart_by_control(visit: Visit, session: Session) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    page.bring_to_front()
    before = current(page)
    page.locator(".side-a .reading").hover()
    page.wait_for_timeout(700)
    page.locator(".conversation").hover()
    page.wait_for_timeout(400)
    half_answer(page, "why")
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    wait_for_next(page, before)
    (said,) = answers(session)
    rows = session.scalars(select(ControlTime).where(ControlTime.comparison_id == said.id)).all()
    spent = {(row.control.value, row.side): row.seconds for row in rows}
    left = ("completion", "B" if said.is_flipped else "A")
    assert set(spent) >= {left, ("prompt", None), ("rating", None)}
    assert spent[left] > 0.5
    assert sum(spent.values()) <= said.seconds + 0.05


def test_leaving_asks_only_where_work_is_kept_nowhere(
    visit: Visit, session: Session, live: Live
) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    asked: list[str] = []

    def leave() -> None:
        page.evaluate(
            "window.left = new Event('beforeunload', { cancelable: true });"
            "window.dispatchEvent(window.left)"
        )
        asked.append(page.evaluate("window.left.defaultPrevented"))

    half_answer(page, "kept")
    leave()
    live.stop()
    page.evaluate("void (Storage.prototype.setItem = () => { throw new Error('full'); })")
    page.keyboard.press("5")
    leave()
    live.start()
    expect(page.locator("#saved")).to_have_text("Saved", timeout=PATIENCE)
    leave()
    assert asked == [False, True, False]
    assert session.scalars(select(Comparison)).all() == []
