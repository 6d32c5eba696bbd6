"""A day on the compare page, in a real browser."""

import re

import pytest
from playwright.sync_api import expect
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.collect.pairing import canonical
from app.tables.collect import Assignment, AssignmentState, FlagAnswer
from app.tables.projects import FlagKind, FlagScope
from tests.browser.comparing import COLLECT, answers, current, on_page, wait_for_next
from tests.browser.conftest import (
    NARROW,
    WIDE,
    Live,
    Visit,
    console_is_clean,
    fits_its_width,
    is_accessible,
)
from tests.collect.worlds import make_flag, make_world

pytestmark = pytest.mark.browser


def test_a_whole_answer_by_keyboard_brings_the_next_pair_into_focus(
    visit: Visit, session: Session
) -> None:
    project, (alice,) = make_world(session, "alice")
    rude = make_flag(session, project, "Rude", shortcut="r")
    page = visit(alice, COLLECT)
    mine = on_page(session, alice)
    page.keyboard.press("7")
    page.keyboard.press("r")
    page.keyboard.press("Shift+R")
    page.keyboard.press("Shift+R")
    page.keyboard.press("e")
    page.keyboard.press("c")
    page.keyboard.type("2 is a digit here, and s skips nothing")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    wait_for_next(page, str(mine.id))
    (said,) = answers(session)
    assert said.rating == canonical(7, mine.is_flipped)
    assert said.is_about_equal
    assert not said.is_both_bad
    assert said.comment == "2 is a digit here, and s skips nothing"
    assert 0 <= said.seconds < 60
    flags = session.scalars(select(FlagAnswer).where(FlagAnswer.flag_id == rude.id)).all()
    assert sorted(flag.value for flag in flags if flag.value is not None) == [0, 1]
    expect(page.locator("#asked")).to_be_focused()
    expect(page.locator("#announcement")).to_have_text("Next pair. 1 in 24 hours · 2 left.")
    expect(page.locator("input[name=rating]:checked")).to_have_count(0)
    assert console_is_clean(page)


def test_the_keys_1_and_8_reach_the_ends_wherever_the_two_stand(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=6)
    page = visit(alice, COLLECT)
    for key in "181818":
        mine = on_page(session, alice)
        page.keyboard.press(key)
        page.keyboard.press("Enter")
        wait_for_next(page, str(mine.id))
        assert answers(session)[-1].rating == canonical(int(key), mine.is_flipped)
    expect(page.get_by_role("heading", name="You have answered everything")).to_be_visible()
    assert console_is_clean(page)


def test_the_page_betrays_neither_author_nor_canonical_order(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    html = page.content()
    for word in ("secret-one", "secret-two", "completion_", "flipped", "priority", "uniform"):
        assert word not in html


def test_enter_without_a_rating_sends_nothing(visit: Visit, session: Session) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    before = current(page)
    page.keyboard.press("Enter")
    page.wait_for_timeout(200)
    assert current(page) == before
    assert answers(session) == []


def test_a_skip_with_a_reason_brings_the_next_pair(visit: Visit, session: Session) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    before = current(page)
    page.keyboard.press("s")
    page.get_by_label("I have seen this before").check()
    page.get_by_role("button", name="Skip this pair").click()
    wait_for_next(page, before)
    session.rollback()
    skipped = session.scalars(select(Assignment).where(Assignment.state == "skipped")).one()
    assert skipped.skip_reason == "I have seen this before"
    assert console_is_clean(page)


def test_a_pair_is_given_back_by_a_key_that_no_flag_can_take(
    visit: Visit, session: Session
) -> None:
    project, (alice,) = make_world(session, "alice")
    make_flag(session, project, "Rude", shortcut="r")
    page = visit(alice, COLLECT)
    mine = on_page(session, alice)
    page.keyboard.press("r")
    expect(page).to_have_url(re.compile("/collect$"))
    # All that ends a pair stands in one line.
    last = [page.locator(".last-row button").nth(i).bounding_box() for i in (-1, -2, -3)]
    assert len({round(box["y"] + box["height"] / 2, -1) for box in last if box}) == 1
    page.keyboard.press(",")
    expect(page.get_by_text("went back to the queue")).to_be_visible()
    session.refresh(mine)
    assert mine.state is AssignmentState.EXPIRED


def test_u_goes_back_and_a_changed_answer_keeps_the_one_before(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    before = current(page)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    wait_for_next(page, before)
    following = current(page)
    page.keyboard.press("u")
    expect(page.get_by_role("heading", name="Change your answer")).to_be_visible()
    expect(page.locator("input[name=rating]:checked")).to_have_value("2")
    page.keyboard.press("6")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Your answer was changed")
    assert current(page) == following
    (said,) = answers(session)
    assert (said.rating, said.revision) == (canonical(6, said.is_flipped), 2)
    kept = session.scalar(text("select rating from comparison_revision"))
    assert kept == canonical(2, said.is_flipped)
    assert console_is_clean(page)


def test_with_the_server_gone_the_answer_stays_and_can_be_sent_again(
    visit: Visit, session: Session, live: Live
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=1)
    page = visit(alice, COLLECT)
    before = current(page)
    key = page.locator("input[name=idempotency_key]").input_value()
    live.stop()
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator("#outbox")).to_contain_text("1 answer waits in this browser")
    expect(page.locator("input[name=rating]:checked")).to_have_value("3")
    live.start()
    page.keyboard.press("Enter")
    wait_for_next(page, before)
    expect(page.locator(".toast.is-danger")).to_have_count(0)
    (said,) = answers(session)
    assert said.idempotency_key == key


def test_the_lease_is_renewed_well_before_it_runs_out_however_short_it_is(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=2, lease_minutes=1)
    page = visit(alice, COLLECT)
    page.clock.install()
    page.reload()
    for _ in range(2):
        with page.expect_response(f"**{COLLECT}/renewals", timeout=5_000) as renewal:
            page.clock.run_for(21_000)
        assert renewal.value.status == 204
    before = current(page)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    wait_for_next(page, before)
    with page.expect_request(f"**{COLLECT}/renewals", timeout=5_000) as asked:
        page.clock.run_for(21_000)
    assert current(page) in (asked.value.post_data or "")


def test_who_misses_a_flag_is_led_to_it_with_and_without_a_connection(
    visit: Visit, session: Session, live: Live
) -> None:
    project, (alice,) = make_world(session, "alice")
    make_flag(session, project, "Harmful", is_required=True, shortcut="x")
    page = visit(alice, COLLECT, size=NARROW)
    before = current(page)
    live.stop()
    page.keyboard.press("3")
    page.keyboard.press("x")
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    toast = page.locator(".toast.is-danger")
    expect(toast).to_contain_text("Please answer “Harmful” for answer B")
    # It stood on the side that was not shown.
    expect(page.locator(".side-b").get_by_role("radio", name="Yes")).to_be_focused()
    expect(page.locator("input[name=rating]:checked")).to_have_value("3")
    live.start()
    page.keyboard.press("Shift+X")
    page.keyboard.press("Enter")
    wait_for_next(page, before)
    expect(toast).to_have_count(0)


def test_a_refusal_is_said_in_the_servers_words_and_the_answer_stays(
    visit: Visit, session: Session
) -> None:
    project, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    # The page does not know it yet.
    make_flag(session, project, "Harmful", is_required=True)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator(".toast.is-danger")).to_contain_text("Please answer “Harmful”")
    expect(page.locator("input[name=rating]:checked")).to_have_value("3")


def test_a_conditional_flag_is_asked_only_after_its_condition_and_a_rating_takes_a_digit(
    visit: Visit, session: Session
) -> None:
    project, (alice,) = make_world(session, "alice")
    closed = make_flag(session, project, "Closed", shortcut="d", scope=FlagScope.PROMPT)
    make_flag(session, project, "Invented", shortcut="i", condition_flag_id=closed.id)
    clear = make_flag(session, project, "Clear", shortcut="l", kind=FlagKind.RATING_7)
    page = visit(alice, COLLECT)
    before = current(page)
    invented = page.locator(".side-a").get_by_role("radiogroup", name="Invented")
    expect(invented).to_be_hidden()
    # The page uses D itself, so a flag that had it answers to another key, and D does one thing.
    page.keyboard.press("d")
    expect(page.locator("#pair")).to_have_attribute("data-difference", "")
    expect(invented).to_be_hidden()
    page.keyboard.press("?")
    line = page.locator("#keys dl > div", has_text="Closed")
    expect(line.locator("kbd")).to_have_text([".", "a"])
    assert is_accessible(page)
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    page.keyboard.press(".")
    page.keyboard.press("a")
    expect(invented).to_be_visible()
    page.keyboard.press("i")
    page.keyboard.press("l")
    page.keyboard.press("6")
    expect(page.locator("input[name=rating]:checked")).to_have_count(0)
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    wait_for_next(page, before)
    session.rollback()
    rows = session.scalars(select(FlagAnswer)).all()
    assert sorted(row.value or 0 for row in rows) == [1, 1, 6]
    assert [row.value for row in rows if row.flag_id == clear.id] == [6]


def test_guidelines_and_keys_open_beside_the_pair_and_close_again(
    visit: Visit, session: Session
) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT)
    page.keyboard.press("g")
    expect(page.locator("#guidelines")).to_be_visible()
    assert is_accessible(page)
    page.keyboard.press("Escape")
    expect(page.locator("#guidelines")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    assert console_is_clean(page)


def test_without_a_script_the_page_still_takes_an_answer(visit: Visit, session: Session) -> None:
    _, (alice,) = make_world(session, "alice")
    page = visit(alice, COLLECT, has_script=False)
    before = current(page)
    page.locator("input[name=rating][value='5']").check(force=True)
    page.get_by_role("button", name="Submit").click()
    wait_for_next(page, before)
    assert len(answers(session)) == 1


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_the_history_lists_own_answers_and_the_empty_page_says_what_to_do(
    visit: Visit, session: Session, size: tuple[int, int]
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=1)
    page = visit(alice, f"{COLLECT}/history", size=size)
    expect(page.get_by_role("heading", name="You have not answered anything yet")).to_be_visible()
    page.get_by_role("link", name="Start comparing").click()
    expect(page.locator("#asked")).to_be_visible()
    page.wait_for_load_state("load")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="You have answered everything")).to_be_visible()
    assert is_accessible(page)
    page.get_by_role("link", name="Read your answers").click()
    expect(page.locator(".answers li")).to_have_count(1)
    assert is_accessible(page)
    assert fits_its_width(page)
    assert console_is_clean(page)
