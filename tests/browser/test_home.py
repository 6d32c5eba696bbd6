"""Breaks that are suggested between pairs, and a page that waits for the next one by itself."""

from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy.orm import Session

from app.collect.kinds import PromptKind
from app.collect.kinds.leases import release as release_prompt
from app.collect.service import release
from app.projects.service import add_guideline_version
from app.tables.accounts import Person
from app.tables.base import utc_now
from tests.browser.comparing import COLLECT, current, wait_for_next
from tests.browser.conftest import Visit, console_is_clean, is_accessible
from tests.collect.test_kinds import take, world
from tests.collect.worlds import lease, make_world
from tests.support import Browsing

pytestmark = pytest.mark.browser

WORKED = """([person, ms]) => localStorage.setItem(
    `prefloop.sitting.${person}`, JSON.stringify({ ms, at: Date.now() }))"""
LOOK = "document.querySelector('[data-waits]').dispatchEvent(new CustomEvent('every'))"


def begin_after(page: Page, ms: int, person: Person, path: str = COLLECT) -> None:
    """Come to the page after so much active time on earlier ones."""
    site = page.url.partition("/projects")[0]
    page.goto(f"{site}/account")
    page.evaluate(WORKED, [str(person.id), ms])
    page.goto(site + path)


def go_on(page: Page) -> None:
    before = current(page)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    wait_for_next(page, before)


def test_a_break_is_suggested_when_the_next_pair_comes_and_put_off_until_the_limit_again(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=4, break_after_minutes=5)
    page = visit(alice, COLLECT)
    bar = page.locator("#break")
    expect(bar).to_be_hidden()
    # A moment short of five minutes, and a moment of work on this pair.
    begin_after(page, 299_700, alice)
    expect(page.locator("#asked")).to_be_visible()
    page.mouse.move(300, 300)
    page.wait_for_timeout(800)
    expect(bar).to_be_hidden()
    go_on(page)
    expect(bar).to_contain_text("You have worked for 5 active minutes")
    assert is_accessible(page)
    bar.get_by_role("button", name="Not now").click()
    expect(bar).to_be_hidden()
    go_on(page)
    expect(bar).to_be_hidden()
    begin_after(page, 300_000, alice)
    bar.get_by_role("button", name="Take a break").click()
    expect(page.get_by_text("That pair went back to the queue")).to_be_visible()
    assert console_is_clean(page)


def test_a_page_without_a_pair_looks_again_by_itself_and_shows_what_is_free(
    visit: Visit, session: Session
) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=1)
    bobs = lease(session, project, bob.id)
    page = visit(alice, COLLECT)
    expect(page.get_by_text("This page looks by itself every 20 seconds")).to_be_visible()
    assert is_accessible(page)
    with page.expect_response("**/collect?waits=true") as heard:
        page.evaluate(LOOK)
    assert heard.value.status == 204
    expect(page.get_by_role("heading", name="Others have the last pairs open")).to_be_visible()
    release(session, bobs.id, bob.id)
    session.commit()
    with page.expect_response("**/collect?waits=true") as heard:
        page.evaluate(LOOK)
    assert heard.value.status == 200
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#announcement")).to_contain_text("Next pair")
    assert console_is_clean(page)


def test_the_guidelines_are_confirmed_from_their_panel_and_the_answer_is_kept(
    visit: Visit, session: Session
) -> None:
    project, (alice,) = make_world(session, "alice")
    add_guideline_version(session, project, markdown="Be kind.", created_by=None)
    # A lease of this second is known to have no draft.
    lease(session, project, alice.id).created_at = utc_now() - timedelta(minutes=1)
    session.commit()
    page = visit(alice, COLLECT)
    expect(page.get_by_text("Version 1 of the guidelines is new to you")).to_be_visible()
    page.keyboard.press("c")
    page.keyboard.type("half a thought")
    page.keyboard.press("Escape")
    expect(page.locator("#saved")).to_have_text("Saved")
    page.keyboard.press("g")
    page.get_by_role("button", name="I have read version 1").click()
    expect(page.get_by_text("Noted: you have read version 1.")).to_be_visible()
    expect(page.get_by_text("is new to you")).to_have_count(0)
    expect(page.locator("#comment")).to_have_value("half a thought")
    assert console_is_clean(page)


def test_only_a_page_that_waits_is_told_nothing(session: Session, browsing: Browsing) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=1)
    lease(session, project, bob.id)
    browsing.sign_in(alice)
    assert "Others have the last pairs open" in browsing.get(f"{COLLECT}?waits=true").text
    waiting = {"headers": {"HX-Request": "true"}}
    assert browsing.get(f"{COLLECT}?waits=true", **waiting).status_code == 204
    project.is_archived = True
    session.commit()
    page = browsing.get(f"{COLLECT}?waits=true", **waiting).text
    assert "This work is paused" in page
    assert "<html" not in page


def test_other_kinds_of_work_wait_pause_and_are_given_back_alike(
    visit: Visit, session: Session
) -> None:
    project, (alice, bob) = world(session, "alice", "bob", n=1, break_after_minutes=5)
    bobs = take(session, project, bob, PromptKind.RATE)
    page = visit(alice, f"{COLLECT}/kinds/rate")
    with page.expect_response("**/rate?waits=true") as heard:
        page.evaluate(LOOK)
    assert heard.value.headers.get("hx-refresh") is None
    release_prompt(session, bobs)
    session.commit()
    page.evaluate(LOOK)
    expect(page.locator("#answer")).to_be_visible()
    begin_after(page, 301_000, alice, f"{COLLECT}/kinds/rate")
    expect(page.locator("#break")).to_contain_text("You have worked for 5 active minutes")
    assert is_accessible(page)
    page.locator("#break").get_by_role("button", name="Not now").click()
    expect(page.locator("#break")).to_be_hidden()
    page.keyboard.press(",")
    expect(page.get_by_text("That one went back to the queue")).to_be_visible()
    assert console_is_clean(page)
