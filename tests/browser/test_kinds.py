"""Ranking, rating and writing in a real browser, by keyboard alone."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.collect.intake import CompletionIn, Message, PromptIn, add_prompts
from app.tables.base import utc_now
from app.tables.collect import Completion
from app.tables.kinds import (
    CompletionRating,
    PromptAssignment,
    PromptKind,
    RankedCompletion,
    Span,
    SpanReason,
)
from app.tables.projects import FlagScope
from app.tables.work import PromptControl, PromptControlTime
from tests.browser.conftest import NARROW, Visit, console_is_clean, fits_its_width, is_accessible
from tests.collect.test_kinds import URL, world
from tests.collect.worlds import make_annotators, make_flag, make_world
from tests.support import make_project

pytestmark = [pytest.mark.browser]


def test_a_day_of_ranking_rating_and_writing_by_keyboard(session: Session, visit: Visit) -> None:
    _, (alice,) = world(session, "alice", n=1, n_completions=4)
    page = visit(alice, f"{URL}/rank")
    for key in "2113":
        page.keyboard.press(key)
    assert page.locator("#so-far").inner_text() == "B = C > A > D"
    assert is_accessible(page)
    page.keyboard.press("Shift+A")
    page.keyboard.press("4")
    assert page.locator("#so-far").inner_text() == "B = C > D > A"
    page.keyboard.press("Enter")
    page.get_by_text("You have done everything here").wait_for()
    order = session.scalars(select(PromptAssignment.shown)).one()
    ranks = {r.completion_id: r.rank for r in session.scalars(select(RankedCompletion))}
    assert [ranks[one] for one in order] == [3, 1, 1, 2]

    page.goto(page.url.replace("/rank", "/rate"))
    for key in "7654":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.get_by_text("You have done everything here").wait_for()
    assert sorted(session.scalars(select(CompletionRating.rating))) == [4, 5, 6, 7]

    page.goto(page.url.replace("/rate", "/demonstrate"))
    page.keyboard.type("As I would say it.")
    page.keyboard.press("Control+Enter")
    page.get_by_text("You have done everything here").wait_for()
    written = session.scalars(select(Completion).where(Completion.author_id == alice.id)).one()
    assert written.text == "As I would say it."
    spent = session.execute(
        select(PromptAssignment.kind, PromptControlTime.control, PromptControlTime.completion_id)
        .join(PromptAssignment, PromptAssignment.id == PromptControlTime.assignment_id)
        .where(PromptControlTime.seconds > 0)
    ).all()
    assert (PromptKind.DEMONSTRATE, PromptControl.TEXT, None) in spent
    numbered = {one for kind, _, one in spent if kind is PromptKind.RANK}
    assert numbered & set(order)
    assert console_is_clean(page)


def test_time_away_from_a_page_of_any_kind_counts_for_two_minutes_at_most(
    session: Session, visit: Visit
) -> None:
    _, (alice,) = world(session, "alice", n=1)
    page = visit(alice, f"{URL}/rank")
    page.clock.install()
    for kind, keys in (("rank", "123"), ("rate", "456"), ("demonstrate", "So.")):
        page.goto(page.url.rsplit("/", 1)[0] + f"/{kind}")
        an_hour_ago = utc_now() - timedelta(hours=1)
        session.execute(update(PromptAssignment).values(created_at=an_hour_ago))
        session.commit()
        page.clock.run_for(10_000)
        page.keyboard.press("Shift")
        page.clock.run_for(1_800_000)
        page.keyboard.type(keys)
        page.clock.run_for(5_000)
        page.keyboard.press("Control+Enter")
        page.get_by_text("You have done everything here").wait_for()
    spent = dict(session.execute(select(PromptAssignment.kind, PromptAssignment.seconds)).all())
    assert spent == {kind: pytest.approx(135, abs=4) for kind in PromptKind}


def test_the_better_answer_is_rewritten_by_keyboard(session: Session, visit: Visit) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=1, is_rewrite_on=True)
    page = visit(alice, "/projects/garden/collect")
    page.keyboard.press("w")
    page.get_by_text("Rate the pair first").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("7")
    page.keyboard.press("w")
    shown = page.locator(".side-b .rendered").inner_text().strip()
    assert page.locator("#rewrite").input_value() == shown
    assert is_accessible(page)
    page.keyboard.press("Control+End")
    page.keyboard.type(" And more.")
    page.keyboard.press("Enter")
    page.keyboard.type("At last.")
    page.keyboard.press("Control+Enter")
    page.get_by_text("You have answered everything").wait_for()
    edited = session.scalars(select(Completion).where(Completion.author_id == alice.id)).one()
    assert edited.text == f"{shown} And more.\nAt last."
    assert console_is_clean(page)


def test_sentences_are_marked_by_keyboard(session: Session, visit: Visit) -> None:
    project = make_project(session, is_span_on=True)
    (alice,) = make_annotators(session, project, "alice")
    words = "One is. Two is! Three is?"
    answers = [CompletionIn(text=words), CompletionIn(text=words + " Four.")]
    message = Message(role="user", content="Count.")
    add_prompts(session, project, [PromptIn(messages=[message], completions=answers)])
    session.commit()
    make_flag(session, project, "Muddled", scope=FlagScope.PROMPT)
    page = visit(alice, "/projects/garden/collect")
    # Where many flags took the letters before it; after a full stop the letter is the flag's.
    page.evaluate("document.querySelector('.flag').dataset.key = '.m'")
    page.keyboard.press(".")
    page.keyboard.press("m")
    expect(page.get_by_role("radio", name="Yes")).to_be_checked()
    page.keyboard.press("m")
    page.keyboard.press("j")
    page.keyboard.press("1")
    page.keyboard.press("Shift+J")
    assert is_accessible(page)
    # In one task, as a fast typist does it: browsers take the focus out of a panel that closed
    # only when they paint, and what is typed until then must go to the page.
    page.evaluate(
        """["Enter", "2"].forEach((key) => document.activeElement.dispatchEvent(
            new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })))"""
    )
    page.keyboard.press("Enter")
    page.get_by_text("You have answered everything").wait_for()
    span = session.scalars(select(Span)).one()
    assert words[span.start : span.stop] == "Two is! Three is?"
    assert span.reason is SpanReason.WRONG
    assert console_is_clean(page)


def test_the_pages_fit_a_narrow_window(session: Session, visit: Visit) -> None:
    _, (alice,) = world(session, "alice", n=1, n_completions=9)
    page = visit(alice, f"{URL}/rank", size=NARROW)
    assert fits_its_width(page)
    assert page.locator("[data-card]").count() == 9
