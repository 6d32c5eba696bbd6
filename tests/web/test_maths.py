"""TeX survives Markdown, and dollars of money stay prose."""

import re

import pytest

from app.markdown import render_markdown


def maths(text: str) -> list[str]:
    return re.findall(r'<(?:span|div) class="maths">(.*?)</', render_markdown(text), re.DOTALL)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"both $x_1 * y_2$ and $z_1 * z_2$", ["$x_1 * y_2$", "$z_1 * z_2$"]),
        (r"inline \(a_1\) and \[b^2\]", [r"\(a_1\)", r"\[b^2\]"]),
        ("Text:\n\\[\na_1 * b_2\n\\]\nmore", ["\\[\na_1 * b_2\n\\]"]),
        ("- item\n  $$\n  a < b\n  $$\n- b", ["$$\na &lt; b\n$$"]),
        (
            r"$\text{if } x$ and $ABC$, $O(n \log n)$",
            [r"$\text{if } x$", "$ABC$", r"$O(n \log n)$"],
        ),
        ("| a |\n|-|\n| $x$ |", ["$x$"]),
    ],
)
def test_tex_keeps_every_sign(text: str, found: list[str]) -> None:
    assert maths(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $10.",
        "from $5-$10, or 5$ to 10$",
        "$5, or 10$ in total",
        "$1,000 to $2,000; US$5 or A$6",
        "$100 for the first and $200 for the second",
        r"\$5 and 6\$",
        "`$x$` and\n\n    $$ y $$",
        "$$\nwithout an end\n\nprose",
        "$ x $",
    ],
)
def test_dollars_in_prose_and_code_stay_what_they_are(text: str) -> None:
    assert maths(text) == []


def test_nothing_in_a_formula_becomes_an_element() -> None:
    html = render_markdown(r"$\text{<img src=x onerror=alert(1)>}$ \[<script>x</script>\]")
    assert "<img" not in html
    assert "<script" not in html
