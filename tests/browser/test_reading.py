"""Reading two answers: long talks, maths, what differs, by keyboard and on any screen."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.collect.intake import CompletionIn, Message, PromptIn, add_prompts
from app.projects.presets import PRESETS, add_preset
from app.settings import REPOSITORY
from app.tables.accounts import Person
from app.tables.collect import Comparison, FlagAnswer
from app.tables.projects import Project
from tests.browser.conftest import NARROW, Visit, console_is_clean, fits_its_width, is_accessible
from tests.collect.worlds import make_annotators
from tests.support import make_project

pytestmark = pytest.mark.browser

COLLECT = "/projects/garden/collect"
MATHS = r"""A half is $\frac{1}{2}$, it costs $5 or $10, and $\undefinedthing$ stays.

\[ \int_0^1 x^2\,dx = \begin{pmatrix} 1 & 2 \end{pmatrix} \]

$\href{javascript:alert(1)}{x}$"""
LONG = "\n\n".join(f"The {n}th paragraph of a long answer, which goes on. " * 6 for n in range(30))


def reader(session: Session, turns: list[str], *texts: str, **settings: object) -> Person:
    """Someone before one pair; `turns` begin with a system message."""
    project = make_project(session, **settings)
    (alice,) = make_annotators(session, project, "alice")
    roles = ["system", *(("user", "assistant")[i % 2] for i in range(len(turns) - 1))]
    messages = [Message(role=r, content=c) for r, c in zip(roles, turns, strict=True)]
    completions = [CompletionIn(text=one) for one in texts]
    add_prompts(session, project, [PromptIn(messages=messages, completions=completions)])
    session.commit()
    return alice


# Every shift of what is drawn, those right after a key too, which no browser holds against a page.
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((one) => one.value)))
  .observe({ type: "layout-shift" });
"""

# How far one of the two texts is scrolled, from 0 to 1.
SHARE = (
    "(e => e.scrollTop / Math.max(1, e.scrollHeight - e.clientHeight))"
    "(document.querySelector('.side-{} .reading'))"
)


def has_scrolled(page: Page, side: str, how: str) -> None:
    page.wait_for_function(f"() => {SHARE.format(side)} {how}")


def test_formulas_are_set_under_the_policy_and_only_where_there_are_some(
    visit: Visit, session: Session
) -> None:
    alice = reader(session, ["Be brief.", "And $a_1 * b_2$?"], MATHS, "No formula.")
    page = visit(alice, COLLECT)
    expect(page.locator(".reading .maths .katex-mathml math")).to_have_count(3)
    expect(page.locator(".turns .maths.is-set .katex")).to_have_count(1)
    expect(page.locator(".reading .maths.is-wide .katex-display")).to_be_visible()
    expect(page.locator(".reading p", has_text="A half")).to_contain_text("it costs $5 or $10, and")
    expect(page.get_by_text(r"$\undefinedthing$")).to_be_visible()
    assert page.locator(".reading a").count() == 0
    assert is_accessible(page)
    assert console_is_clean(page)
    session.execute(text("update completion set text = 'Plain.', html = '<p>Plain.</p>'"))
    session.execute(text('update prompt set html = \'["Be brief.", "Plain."]\''))
    session.commit()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_load_state("networkidle")
    assert not [url for url in asked if "katex" in url]


def test_nothing_jumps_when_the_next_pair_arrives_formulas_and_all(
    visit: Visit, session: Session
) -> None:
    alice = reader(session, ["Be brief.", "And?"], "Plain.", is_rewrite_on=True)
    project = session.scalars(select(Project)).one()
    asked = [Message(role="user", content="The same?")]
    for n in range(2):
        texts = [CompletionIn(text=f"{n}{k}\n\n{MATHS}") for k in "ab"]
        messages = [*asked, Message(role="assistant", content="So."), *asked] if n else asked
        add_prompts(session, project, [PromptIn(messages=messages, completions=texts)])
    session.commit()
    page = visit(alice, COLLECT)
    expect(page.locator(".katex-display").first).to_be_visible()
    page.evaluate(SHIFTS)
    page.keyboard.press("3")
    before = str(page.locator("#pair").get_attribute("data-assignment"))
    with page.expect_request("**/answers"):
        page.keyboard.press("Enter")
    expect(page.locator("#pair")).not_to_have_attribute("data-assignment", before)
    expect(page.locator(".side-b .katex-display")).to_be_visible()
    expect(page.get_by_role("button", name="Rewrite")).to_be_visible()
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    assert page.evaluate("window.shifts") == []


def test_a_long_talk_shows_its_end_and_the_texts_scroll_by_key_alone_or_together(
    visit: Visit, session: Session
) -> None:
    turns = ["Never invent.", *(f"Turn {n} of the talk." for n in range(1, 20))]
    alice = reader(session, turns, LONG, LONG + LONG)
    page = visit(alice, COLLECT)
    expect(page.get_by_text("Never invent.")).to_be_visible()
    expect(page.get_by_text("Turn 19 of the talk.")).to_be_in_viewport()
    expect(page.get_by_text("Turn 3 of the talk.")).to_be_hidden()
    page.get_by_text("Show all").click()
    expect(page.get_by_text("Turn 3 of the talk.")).to_be_visible()
    for side in "ab":
        page.keyboard.press("0")
        expect(page.locator(f".side-{side} .reading")).to_be_focused()
        page.keyboard.press("End")
        has_scrolled(page, side, "> 0.99")
    page.keyboard.press("9")
    page.keyboard.press("Home")
    has_scrolled(page, "a", "< 0.01")
    page.keyboard.press("PageDown")
    has_scrolled(page, "b", "> 0")
    page.wait_for_function(f"() => Math.abs({SHARE.format('a')} - {SHARE.format('b')}) < 0.02")
    expect(page.get_by_role("button", name="Scroll together")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("+")
    page.keyboard.press("+")
    size = "getComputedStyle(document.querySelector('.reading .rendered')).fontSize"
    large = page.evaluate(size)
    page.reload()
    assert page.evaluate(size) == large
    expect(page.locator("html")).to_have_attribute("data-text", "2")
    expect(page.get_by_role("button", name="Scroll together")).to_have_attribute(
        "aria-pressed", "true"
    )
    assert is_accessible(page)
    assert console_is_clean(page)


def test_what_differs_is_marked_said_and_taken_away_again(visit: Visit, session: Session) -> None:
    alice = reader(
        session,
        ["Be brief.", "Where?"],
        "The *old* town lies on the river Seine, and `it` is large.",
        "The *new* town lies on the river Seine, and `it` is not so very large.",
    )
    page = visit(alice, COLLECT)
    before = page.locator(".sides").inner_html()
    page.keyboard.press("d")
    marked = sorted(page.locator(".reading mark").all_text_contents())
    assert marked == ["new", "not so very", "old"]
    expect(page.locator("#announcement")).to_contain_text("Differences are marked")
    lines = page.locator(".reading mark").evaluate_all(
        "all => [...new Set(all.map(e => getComputedStyle(e).textDecorationStyle))].sort()"
    )
    assert lines == ["dotted", "solid"]
    assert is_accessible(page)
    page.keyboard.press("d")
    assert page.locator(".sides").inner_html() == before
    assert console_is_clean(page)


def test_two_texts_of_a_million_letters_that_share_little_are_compared_in_bounded_time(
    visit: Visit, session: Session
) -> None:
    alice = reader(session, ["Be brief.", "Where?"], "One.", "Two.")
    page = visit(alice, COLLECT)
    words = page.evaluate(
        """async (source) => {
            const { byLine, byWord, matches } = await import(source);
            const many = (by) => Array.from({ length: 170000 }, (_, i) => `w${(i * by) % 5003}`);
            const began = performance.now();
            const bounded = byWord(many(7), many(11));
            const lines = byLine(many(7), ["w7", "nowhere"], 1);
            const same = matches([..."ABCABBA"], [..."CBABAC"]);
            return [bounded, lines[1], same.length, performance.now() - began < 4000];
        }""",
        f"/static/js/difference.js?{(Path(REPOSITORY) / 'static/js/difference.js').stat().st_size}",
    )
    assert words == [None, [False, True], 4, True]


def test_on_a_narrow_screen_one_key_or_button_shows_the_other_answer(
    visit: Visit, session: Session
) -> None:
    alice = reader(session, ["Be brief.", "Where?"], LONG, "Short.")
    page = visit(alice, COLLECT, size=NARROW)
    both = [page.locator(".side-a"), page.locator(".side-b")]
    expect(both[1]).to_be_visible()
    page.keyboard.press("0")
    expect(both[1]).to_be_hidden()
    page.keyboard.press("0")
    expect(both[0]).to_be_hidden()
    expect(page.locator(".side-b .reading")).to_be_focused()
    page.get_by_role("button", name="Both").click()
    expect(both[0]).to_be_visible()
    assert fits_its_width(page)
    assert is_accessible(page)
    assert console_is_clean(page)


def test_confidence_takes_its_key_and_a_digit(visit: Visit, session: Session) -> None:
    alice = reader(session, ["Be brief.", "Where?"], "One.", "Two.", is_confidence_asked=True)
    page = visit(alice, COLLECT)
    for key in ("3", "y", "4", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("heading", name="You have answered everything")).to_be_visible()
    session.rollback()
    assert session.scalars(select(Comparison.confidence)).all() == [4]
    page.keyboard.press("u")
    expect(page.locator("input[name=confidence]:checked")).to_have_value("4")
    assert console_is_clean(page)


def test_every_flag_of_three_sets_has_a_key_and_the_page_stays_whole(
    visit: Visit, session: Session
) -> None:
    alice = reader(session, ["Be brief.", "Where?"], LONG, LONG + LONG)
    project = session.scalars(select(Project)).one()
    for key in PRESETS:
        add_preset(session, project, key, by=None)
    session.commit()
    page = visit(alice, COLLECT)
    keys = page.locator(".flag:not([data-place=right])").evaluate_all(
        "all => all.map(e => e.dataset.key)"
    )
    n_flags = sum(len(preset.flags) for preset in PRESETS.values())
    assert len(keys) == len(set(keys)) == n_flags
    assert None not in keys
    first = page.get_by_role("radiogroup", name="Contains personal data")
    for key in (".", "a"):
        page.keyboard.press(key)
    expect(first.get_by_label("Yes")).to_be_checked()
    complexity = page.locator(".side-b").get_by_role("radiogroup", name="Complexity")
    page.keyboard.press(".")
    page.keyboard.press(f"Shift+{(complexity.get_attribute('data-key') or '')[-1].upper()}")
    page.keyboard.press("6")
    expect(complexity.get_by_label("6")).to_be_checked()
    page.keyboard.press("w")
    page.keyboard.press("Shift+W")
    page.keyboard.press("2")
    text_of_a = page.locator(".side-a .reading").bounding_box()
    assert text_of_a is not None
    assert text_of_a["height"] > 150
    assert is_accessible(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="You have answered everything")).to_be_visible()
    session.rollback()
    assert sorted(one or 0 for one in session.scalars(select(FlagAnswer.value))) == [1, 1, 1, 6]
    assert console_is_clean(page)
