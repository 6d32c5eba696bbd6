"""What models write on the compare page: attacks, code, tables, long words, both directions."""

import re

import pytest
from playwright.sync_api import expect
from sqlalchemy.orm import Session

from app.collect.intake import CompletionIn, Message, PromptIn, add_prompts
from app.tables.accounts import Person
from app.tables.projects import FlagKind, FlagScope, Project
from tests.browser.comparing import COLLECT
from tests.browser.conftest import (
    NARROW,
    WIDE,
    Visit,
    console_is_clean,
    fits_its_width,
    is_accessible,
)
from tests.collect.worlds import make_annotators, make_flag
from tests.support import make_project

pytestmark = pytest.mark.browser

HOSTILE = """<button hx-post="/sign-out" hx-trigger="load">x</button>

[link](javascript:alert(1)) <div hx-get="/nowhere" hx-trigger="load" data-hx-get="/nowhere"></div>

<script>document.title = "owned"</script> <img src=x onerror="document.title='owned'">
"""
SMALL_TABLE = "| c |\n| - |\n| 3 |"
CODE_AND_TABLE = """A function:

```python
def median(values):
    # the middle of a sorted copy, in one very long comment that does not fit into the column at all
    return sorted(values)[len(values) // 2]
```

| one | two | three | four | five | six |
| --- | ---: | --- | --- | --- | --- |
| a long cell of words | 1 | another long cell | and another | and one more | the last |

- [x] done
"""
RIGHT_TO_LEFT = "מזג אוויר הוא מה שקורה **עכשיו**.\n\n- אחד\n- שניים\n\nالبحر واسع."
LONG = "\n\n".join(f"### Part {n}\n\n" + "Words that go on and on. " * 40 for n in range(12))
LONG_WORD = "https://example.org/" + "averylongword" * 40 + " with an \u202eoverride."


def pair_of(session: Session, first: str, second: str) -> tuple[Project, Person]:
    project = make_project(session)
    (alice,) = make_annotators(session, project, "alice")
    words = PromptIn(
        messages=[
            Message(role="system", content="Be brief."),
            Message(role="user", content="What then?"),
        ],
        completions=[CompletionIn(text=first), CompletionIn(text=second)],
    )
    add_prompts(session, project, [words])
    session.commit()
    return project, alice


def test_htmx_inside_a_completion_never_fires_and_scripts_never_run(
    visit: Visit, session: Session
) -> None:
    _, alice = pair_of(session, HOSTILE, "Plain words.")
    page = visit(alice, COLLECT)
    posts: list[str] = []
    page.on("request", lambda request: posts.append(f"{request.method} {request.url}"))
    page.wait_for_timeout(300)
    # Its own style and icons may still arrive.
    assert [post for post in posts if "/static/" not in post] == []
    assert page.title() != "owned"
    assert (
        page.locator(".reading [hx-post], .reading [hx-get], .reading [data-hx-get]").count() == 0
    )
    assert page.locator(".reading script, .reading img, .reading [onerror]").count() == 0
    assert page.locator(".reading a[href^=javascript]").count() == 0
    # Even one that got past the sanitiser carries no nonce, and htmx takes its attributes away.
    page.evaluate(
        """() => {
            const button = document.createElement('button');
            button.setAttribute('hx-post', '/sign-out');
            button.setAttribute('hx-trigger', 'load');
            document.querySelector('.reading').append(button);
            htmx.process(button);
        }"""
    )
    page.wait_for_timeout(300)
    assert [post for post in posts if "/static/" not in post] == []


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_code_tables_and_long_words_read_well_on_any_screen(
    visit: Visit, session: Session, size: tuple[int, int], scheme: str
) -> None:
    project, alice = pair_of(session, CODE_AND_TABLE, f"{LONG_WORD}\n\n{SMALL_TABLE}\n\n{LONG}")
    make_flag(session, project, "Rude", shortcut="r")
    make_flag(session, project, "Closed", shortcut="d", scope=FlagScope.PROMPT)
    make_flag(session, project, "Clear", shortcut="l", kind=FlagKind.RATING_7)
    page = visit(alice, COLLECT, size=size, scheme=scheme)
    expect(page.locator(".rendered pre .k").first).to_be_visible()
    expect(page.locator(".rendered table")).to_have_count(2)
    expect(page.locator(".invisible")).to_have_text("U+202E")
    # The answer bar is there without scrolling, however long the texts are.
    bar = page.locator(".answer-bar").bounding_box()
    assert bar is not None
    assert bar["y"] + bar["height"] <= size[1] + 1
    assert fits_its_width(page)
    assert is_accessible(page)
    assert console_is_clean(page)


def test_right_to_left_text_reads_from_the_right(visit: Visit, session: Session) -> None:
    _, alice = pair_of(session, RIGHT_TO_LEFT, "Left to right.")
    page = visit(alice, COLLECT, size=NARROW)
    hebrew = page.locator(".reading p", has_text=re.compile("מזג"))
    assert hebrew.evaluate("element => getComputedStyle(element).direction") == "rtl"
    assert fits_its_width(page)
