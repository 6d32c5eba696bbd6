"""What a hostile completion may not do to the page that shows it."""

import gc
import re
from concurrent.futures import ThreadPoolExecutor
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.main import serve_app
from app.markdown import COLOURED, render_markdown


def test_html_from_a_model_stays_text() -> None:
    assert "<script" not in render_markdown("<script>alert(1)</script>")


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:x)",
        "<a href='javascript:x'>x</a>",
        "![x](javascript:alert(1))",
    ],
)
def test_a_link_leads_nowhere_but_to_http_and_mail(text: str) -> None:
    assert not re.search(r'href="(?!https?:|mailto:)', render_markdown(text))


def test_a_remote_picture_becomes_a_link_so_that_its_server_learns_nothing() -> None:
    html = render_markdown("![chart](https://tracker.example/p.png)")
    assert "<img" not in html
    assert 'href="https://tracker.example/p.png"' in html


def test_htmx_attributes_and_class_names_never_come_through() -> None:
    html = render_markdown('<button class="is-next" hx-post="/evil" hx-trigger="load">go</button>')
    assert "<button" not in html


def test_code_is_highlighted_and_a_table_scrolls_in_its_own_box() -> None:
    html = render_markdown("```python\ndef f(): return 1\n```\n\n|a|b|\n|-|-:|\n|1|2|")
    assert '<span class="k">def</span>' in html
    assert 'class="table-scroll" role="group"' in html
    assert 'align="right">2<' in html


def test_characters_that_reorder_text_are_shown_and_not_obeyed() -> None:
    html = render_markdown("safe \u202edoog\u202c")
    assert "\u202e" not in html
    assert "U+202E" in html


def test_a_run_of_invisible_characters_is_shown_once_with_its_length() -> None:
    html = render_markdown("a" + "\u200b" * 1000 + "b")
    assert html.count("U+200B") == 1
    assert "×1000" in html


def test_hidden_characters_everywhere_do_not_swell_the_page() -> None:
    html = render_markdown("a\u200b" * 50_000)
    assert "\u200b" not in html
    assert len(html) < 300_000


LETTERS = 100_000
HOSTILE = {
    "words in a Java fence": "```java\n" + "word one two " * 8_000,
    "Java fences": "```java\na\n```\n" * 7_000,
    "longer Java fences": ("```java\n" + "\n" * 850 + "```\n") * 120,
    "fences of all languages": "".join(f"```{name}\n{'a. ' * 600}\n```\n" for name in COLOURED),
    "openings of pictures": "![" * 50_000,
    "openings of pictures with a place": "![](" * 25_000,
    "openings of links": "[" * 100_000,
    "nested links": "[" * 16_000 + "a" + "](b)" * 16_000,
    "links": "[a](b)" * 16_000,
    "places of links": "[a]: b\n" * 14_000,
    "emphasis": "**a *a " * 14_000,
    "unfinished emphasis": "_a__" * 25_000,
    "backticks": "".join("`" * (i % 450) + "a" for i in range(450)),
    "quotations": ("> " * 15 + "a\n") * 3_000,
    "a list": "- a\n" * 25_000,
    "a list with boxes": "- [ ] a\n" * 13_000,
    "lines": "a\n" * 50_000,
    "headings": "# a\n" * 25_000,
    "a long table": "|a|b|\n|-|-|\n" + "|1|2|\n" * 16_000,
    "an empty table": "|a|b|\n|-|-|\n" + "|\n" * 50_000,
    "a wide table": "|" + "a|" * 16_000 + "\n|" + "-|" * 16_000 + "\n" + "|\n" * 17_000,
    "dollars": "$a " * 33_000,
    "openings of formulas": "\\(a " * 25_000,
    "openings of formulas on lines": "$$ a\n" * 20_000,
    "hidden characters": "\u200b\u202e" * 50_000,
}


@pytest.fixture(scope="module")
def _lexers() -> None:
    for language in COLOURED:
        render_markdown(f"```{language}\nThe first use of a lexer loads it.\n```")


@pytest.mark.usefixtures("_lexers")
@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_of_a_hundred_thousand_characters_holds_a_server_up(name: str) -> None:
    # A thread begins a stack of its own. Python 3.11 takes memory for each call that crosses the
    # end of a piece of its stack, so that the same text cost ten times as much at one depth.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(_seconds, HOSTILE[name][:LETTERS]).result() < 0.5


def _seconds(text: str) -> float:
    # As the web server does: else Python walks through all that the other tests have loaded.
    gc.collect()
    gc.freeze()
    try:
        began = thread_time()
        render_markdown(text)
        return thread_time() - began
    finally:
        gc.unfreeze()


def test_the_web_server_leaves_what_it_loaded_out_of_garbage_collections(database: str) -> None:
    gc.unfreeze()
    try:
        serve_app()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_a_text_that_costs_too_much_keeps_its_letters_and_its_paragraphs() -> None:
    html = render_markdown("one <b>\n\n" + "![" * 50_000 + "\nlast")
    assert html.startswith('<p dir="auto">one &lt;b&gt;</p>')
    assert html.count("![") == 50_000
    assert "<br>last</p>" in html


def test_a_long_honest_answer_is_rendered_whole() -> None:
    part = "## Step\n\nUse `f(x)` and **not** [g](https://a.example).\n\n- one\n- two\n\n"
    prose = "A sentence of some eighty letters, as people and models write them all day long. " * 8
    html = render_markdown((part + prose + "\n\n") * 125)
    assert html.count("<h4") == 125
    assert html.count("<strong>") == 125


def test_code_is_coloured_up_to_a_length_and_whole_beyond_it() -> None:
    short, long = "x = 1\n" * 50, "x = 1\n" * 3_000
    assert 'class="n"' in render_markdown(f"```python\n{short}```")
    assert render_markdown(f"```python\n{long}```").count("x = 1") == 3_000


def test_a_list_of_tasks_shows_which_are_done() -> None:
    html = render_markdown("- [ ] sow\n- [x] water\n- [y] reap")
    assert html.count("<input") == 2
    assert html.count("checked") == 1
    assert "[y] reap" in html


def test_right_to_left_text_finds_its_own_direction() -> None:
    assert '<p dir="auto">' in render_markdown("שלום עולם")


def test_headings_of_a_completion_stand_below_those_of_the_page() -> None:
    assert "<h1" not in render_markdown("# Title")


@given(st.text(max_size=300))
def test_no_text_at_all_brings_an_event_handler_a_style_or_a_script(text: str) -> None:
    html = render_markdown(text)
    tags = re.findall(r"<[a-z][^>]*>", html)
    assert not [tag for tag in tags if re.search(r"\s(on\w+|style|hx-[\w-]+)=", tag)]
    assert not re.search(r"<(script|style|iframe|object|form|svg|img)", html)
