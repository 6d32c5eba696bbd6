"""Fixing an answer and deciding on a pair in a browser, by keyboard, with nothing lost."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.tables.accounts import Role
from app.tables.gold import GoldItem
from tests.agree.test_gold import give, pairs_of
from tests.browser.conftest import NARROW, Visit, console_is_clean, fits_its_width, is_accessible
from tests.collect.worlds import make_world
from tests.support import join, make_person

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_range_is_marked_by_digits_and_a_message_takes_its_own_new_lines(
    visit: Visit, session: Session
) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", overlap=2)
    rosa = make_person(session, "rosa")
    join(session, project, rosa, Role.RESEARCHER)
    first, second, _ = pairs_of(session, project)
    give(session, second, alice, 1)
    give(session, second, bob, 8)
    page = visit(rosa, f"/projects/garden/agree/gold/{first.id}")
    for key in "2341":
        page.keyboard.press(key)
    page.keyboard.press("4")
    page.keyboard.press("c")
    page.keyboard.type("Because of *rule 2*.")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/agree/gold")
    item = session.scalars(select(GoldItem)).one()
    assert (item.low, item.high) == (1, 3)
    assert console_is_clean(page)
    case = visit(rosa, f"/projects/garden/agree/adjudicate/{second.id}", size=NARROW)
    case.get_by_text("Send back").first.click()
    words = case.get_by_label("What to think about again").first
    words.press_sequentially("One")
    words.press("Enter")
    words.press_sequentially("two")
    assert words.input_value() == "One\ntwo"
    assert case.url.endswith(str(second.id))
    assert is_accessible(case)
    assert fits_its_width(case)
    assert console_is_clean(case)
