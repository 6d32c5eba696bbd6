"""What a hostile completion may not do to the page that shows it."""

import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.markdown import render_markdown


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
    assert 'class="table-scroll" role="region"' in html
    assert 'align="right">2<' in html


def test_characters_that_reorder_text_are_shown_and_not_obeyed() -> None:
    html = render_markdown("safe \u202edoog\u202c")
    assert "\u202e" not in html
    assert "U+202E" in html


def test_a_run_of_invisible_characters_is_shown_once_with_its_length() -> None:
    html = render_markdown("a" + "\u200b" * 1000 + "b")
    assert html.count("U+200B") == 1
    assert "×1000" in html


HOSTILE = {
    "words in a Java fence": "```java\n" + "word " * 4_000 + "\n```",
    "words in fences": ("```java\n" + "word " * 300 + "\n```\n") * 13,
    "openings of pictures": "![" * 10_000,
    "openings of links": "[" * 20_000,
    "emphasis": "**a *a " * 2_900,
    "backticks": "".join("`" * (i % 50 + 1) + "a" for i in range(760)),
    "quotations": ("> " * 15 + "a\n") * 600,
    "a long table": "|a|b|\n|-|-|\n" + "|1|2|\n" * 3_300,
    "a wide table": "|" + "a|" * 2000 + "\n|" + "-|" * 2000 + "\n" + "|a|\n" * 3_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_of_twenty_thousand_characters_holds_a_server_up(name: str) -> None:
    began = process_time()
    render_markdown(HOSTILE[name][:20_000])
    assert process_time() - began < 2


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
