"""Ranking, rating and writing through crashes, lost connections and second thoughts."""

import re

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.kinds.changing import said_in
from app.tables.collect import Completion
from app.tables.kinds import PromptAssignment, PromptRevision, RankedCompletion
from tests.browser.conftest import (
    NARROW,
    Live,
    Visit,
    console_is_clean,
    fits_its_width,
    is_accessible,
)
from tests.browser.test_work_is_kept import PATIENCE, is_saved
from tests.collect.test_kinds import URL, world
from tests.collect.worlds import make_world

pytestmark = pytest.mark.browser


def assignment_on(page: Page) -> str:
    return str(page.locator("#pair").get_attribute("data-assignment"))


def is_next(page: Page, before: str) -> None:
    expect(page.locator("#pair")).not_to_have_attribute("data-assignment", before, timeout=PATIENCE)


def test_half_a_ranking_comes_back_and_undo_leads_to_the_answer_with_its_versions(
    visit: Visit, session: Session
) -> None:
    project, (alice,) = world(session, "alice", n=2, n_completions=3)
    page = visit(alice, f"{URL}/rank")
    page.keyboard.press("2")
    page.keyboard.press("1")
    is_saved(page)
    second = page.context.new_page()
    second.goto(page.url)
    expect(second.locator("#so-far")).to_have_text("B > A · 1 without a rank")
    second.close()
    page.reload()
    expect(page.locator("#so-far")).to_have_text("B > A · 1 without a rank")
    page.keyboard.press("Shift+C")
    page.keyboard.press("3")
    assert is_accessible(page)
    before = assignment_on(page)
    page.keyboard.press("Enter")
    is_next(page, before)
    expect(page.locator("#announcement")).to_have_text("Next prompt. 1 left.")
    expect(page.locator("[data-letter=A] .reading")).to_be_focused()
    page.locator("#saved").get_by_role("link", name="Undo").click()
    expect(page.get_by_role("heading", name="Change your answer")).to_be_visible()
    expect(page.locator("#so-far")).to_have_text("B > A > C")
    page.keyboard.press("3")
    expect(page.locator("#saved")).to_have_text("Saved in this browser")
    page.reload()
    expect(page.locator("#so-far")).to_have_text("B > A = C")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Your answer was changed")
    page.keyboard.press("u")
    page.locator(".about-change summary").click()
    expect(page.locator(".about-change li")).to_contain_text("A 2, B 1, C 3")
    assert is_accessible(page)
    session.rollback()
    done = session.get_one(PromptAssignment, before)
    assert list(said_in(session, done).choices.values()) != [2, 1, 3]
    assert session.scalars(select(PromptRevision.revision)).all() == [1]
    project.undo_hours = 0
    session.commit()
    page.reload()
    expect(page.locator(".about-change")).to_contain_text("an answer stands as it was given")
    assert console_is_clean(page)


def test_a_demonstration_without_a_connection_waits_and_is_sent_once(
    visit: Visit, session: Session, live: Live
) -> None:
    _, (alice,) = world(session, "alice", n=2)
    page = visit(alice, f"{URL}/demonstrate", size=NARROW)
    before, bar = assignment_on(page), page.locator("#outbox")
    live.stop()
    page.keyboard.type("Written offline.")
    page.keyboard.press("Control+Enter")
    expect(bar).to_contain_text(re.compile("No connection since .* 1 answer waits"))
    assert fits_its_width(page)
    live.start()
    is_next(page, before)
    expect(bar).to_be_hidden()
    expect(page.locator("#text")).to_have_value("")
    written = session.scalars(select(Completion).where(Completion.author_id == alice.id)).all()
    assert [one.text for one in written] == ["Written offline."]
    # The browser brings the page back as it was before the answer.
    stale = f"document.getElementById('pair').dataset.assignment = '{before}'"
    back = "window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
    page.evaluate(f"{stale}; {back}")
    expect(page.get_by_role("heading", name="Change your answer")).to_be_visible()
    expect(page.locator("#text")).to_have_value("Written offline.")


def test_many_answers_are_read_larger_together_and_by_what_differs(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = world(session, "alice", n=1, n_completions=3)
    for one in session.scalars(select(Completion)):
        one.html = f"<p>{one.text}</p>" + "<p>And so it goes on.</p>" * 60
    session.commit()
    page = visit(alice, f"{URL}/rank")
    page.keyboard.press("j")
    page.keyboard.press("d")
    expect(page.locator("#announcement")).to_contain_text("of B and")
    expect(page.locator("[data-letter=A] mark")).to_have_count(0)
    expect(page.locator("[data-letter=C] mark")).to_have_count(1)
    assert is_accessible(page)
    page.keyboard.press("d")
    expect(page.locator("mark")).to_have_count(0)
    page.keyboard.press("0")
    page.keyboard.press("PageDown")
    tops = "[...document.querySelectorAll('.reading')].map(e => e.scrollTop > 0)"
    page.wait_for_function(f"() => {tops}.every(Boolean)")
    page.keyboard.press("+")
    expect(page.locator("html")).to_have_attribute("data-text", "1")
    for key in "213":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.get_by_text("You have done everything here").wait_for()
    assert len(session.scalars(select(RankedCompletion)).all()) == 3
    assert console_is_clean(page)


def test_a_half_written_rewrite_is_shown_again_after_a_reload(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=1, is_rewrite_on=True)
    page = visit(alice, "/projects/garden/collect")
    page.keyboard.press("3")
    page.keyboard.press("w")
    page.keyboard.type("Mine. ")
    is_saved(page)
    page.reload()
    expect(page.locator("#rewrite")).to_be_visible()
    expect(page.locator("#rewrite")).to_have_value(re.compile(r"Mine\."))
    page.keyboard.press("Enter")
    page.get_by_text("You have answered everything").wait_for()
    page.keyboard.press("u")
    expect(page.locator("#rewrite")).to_have_value(re.compile(r"Mine\."))
    assert is_accessible(page)
