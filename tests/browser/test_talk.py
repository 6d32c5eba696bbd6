"""A conversation in a real browser, by keyboard alone, with the worker's lane behind it."""

import pytest
from playwright.sync_api import expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.tables.collect import Comparison, Completion
from app.tables.talk import Turn
from tests.browser.conftest import NARROW, Visit, console_is_clean, fits_its_width, is_accessible
from tests.collect.talking import URL, answer, world
from tests.worker.test_replies import serving

pytestmark = [pytest.mark.browser]


def test_a_conversation_by_keyboard_alone(session: Session, visit: Visit) -> None:
    _, (alice,) = world(session, "alice")
    page = visit(alice, URL)
    assert is_accessible(page)
    page.keyboard.type("My basil droops.")
    page.reload()
    page.locator("#words:focus").wait_for()
    assert page.locator("#words").input_value() == "My basil droops.", "lost by a reload"
    page.keyboard.press("Control+Enter")
    page.get_by_text("No worker is running").wait_for()
    assert is_accessible(page)
    page.reload()
    with serving("echo"):
        page.locator(".side-a").wait_for()
        assert is_accessible(page)
        page.keyboard.press("7")
        page.keyboard.press("b")
        expect(page.locator("#saved")).to_have_text("Saved")
        # Another browser, as far as drafts go.
        page.evaluate("localStorage.clear()")
        page.reload()
        expect(page.locator("input[name=rating]:checked")).to_have_value("7")
        expect(page.locator("[name=is_both_bad]")).to_be_checked()
        page.keyboard.press("Enter")
        page.locator("#words:focus").wait_for()
        assert page.locator(".turn").count() == 2
        turn = session.scalars(select(Turn)).one()
        session.commit()
        comparison = session.scalars(select(Comparison)).one()
        assert (comparison.rating > 4) != turn.is_flipped
        chosen = session.get_one(Completion, turn.chosen_id)
        assert chosen.text in page.locator(".turn-assistant").inner_text()
        session.commit()
        page.keyboard.type("And the mint?")
        page.keyboard.press("Control+Enter")
        page.locator(".side-a").wait_for()
        assert page.locator(".turn").count() == 3
    page.keyboard.press("n")
    page.get_by_text("You ended a conversation").wait_for()
    page.locator("#words:focus").wait_for()
    assert page.locator("#words").input_value() == ""
    page.keyboard.press("Escape")
    page.keyboard.press("z")
    page.locator(".side-a").wait_for()
    page.keyboard.press("x")
    page.get_by_text("Every choice in it is kept").wait_for()
    assert console_is_clean(page)


def test_a_message_is_taken_back_and_a_second_tab_is_told(session: Session, visit: Visit) -> None:
    _, (alice,) = world(session, "alice")
    page = visit(alice, URL)
    other = page.context.new_page()
    other.goto(page.url)
    page.keyboard.type("Hello.")
    page.keyboard.press("Control+Enter")
    page.locator(".writes").wait_for()
    other.locator("#words").fill("Something else.")
    other.keyboard.press("Control+Enter")
    other.get_by_text("another tab").wait_for()
    assert other.locator("#words").input_value() == "Something else."
    page.keyboard.press("t")
    page.locator("#words:focus").wait_for()
    assert page.locator("#words").input_value() == "Hello."
    page.keyboard.press("Control+Enter")
    page.locator(".writes").wait_for()
    turn = session.scalars(select(Turn)).one()
    answer(session, turn)
    page.locator(".side-a").wait_for()
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert fits_its_width(page)
    assert is_accessible(page)
