r"""TeX in Markdown: \( … \), $ … $, \[ … \] and $$ … $$ stay as they were written.

Markdown would take their backslashes, stars and underscores for its own. The text keeps its signs,
in an element of class `maths`, and the page's script sets it; without a script it reads as TeX.
A dollar of money is no sign of maths: see `_is_money`.
"""

import re
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

MARK = 'class="maths"'
LONGEST_INLINE = 2_000
LONGEST_BLOCK = 200  # lines

CLOSERS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
COMMAND = re.compile(r"\\[A-Za-z]+(\{[^{}]*\})*")
# Two words side by side are prose, and so is one beside a number that stands first: $5 or 10$.
PROSE = re.compile(r"(?<![A-Za-z])[A-Za-z]{3,}[,;:]?\s+[A-Za-z]{2,}(?![A-Za-z])")
PRICE = re.compile(r"\s*\d[\d.,]*[^^_=+*/\\<>]*\s[A-Za-z]{2,}")


def _is_money(content: str, after: str) -> bool:
    """Pandoc's rule for single dollars, and one of our own for prose between two prices."""
    if not content or content[0].isspace() or content[-1].isspace() or after.isdigit():
        return True
    plain = COMMAND.sub(" ", content)
    return bool(PROSE.search(plain) or PRICE.match(plain))


def _unescaped(text: str, sign: str, start: int, end: int) -> int:
    """Where `sign` stands next without a backslash of its own before it, or -1."""
    at = text.find(sign, start, end)
    while at > 0 and text[at - 1] == "\\" and (at < 2 or text[at - 2] != "\\"):
        at = text.find(sign, at + 1, end)
    return at


def _inline(state: StateInline, silent: bool) -> bool:
    text, begin = state.src, state.pos
    opening = text[begin : begin + 2]
    if opening in CLOSERS:
        closing = CLOSERS[opening]
    elif opening[:1] == "$" and not (begin and text[begin - 1].isalnum()):
        opening = closing = "$"
    else:
        return False
    start = begin + len(opening)
    most = min(state.posMax, start + LONGEST_INLINE)
    at = _unescaped(text, "$", start, most) if opening == "$" else text.find(closing, start, most)
    if at < 0 or not text[start:at].strip():
        return False
    end = at + len(closing)
    if opening == "$" and _is_money(text[start:at], text[end : end + 1]):
        return False
    if not silent:
        state.push("maths_inline", "span", 0).content = text[begin:end]
    state.pos = end
    return True


def _block(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """From a line that begins with $$ or \\[ to the one that ends with its counterpart."""
    if state.is_code_block(line):
        return False
    begin = state.bMarks[line] + state.tShift[line]
    opening = state.src[begin : begin + 2]
    if opening not in ("$$", "\\["):
        return False
    last = _closing_line(state, line, end, CLOSERS[opening])
    if last is None:
        return False
    if not silent:
        content = state.getLines(line, last + 1, state.blkIndent, False).strip()
        token = state.push("maths_block", "div", 0)
        token.content, token.map, token.block = content, [line, last + 1], True
    state.line = last + 1
    return True


def _closing_line(state: StateBlock, line: int, end: int, closing: str) -> int | None:
    for now in range(line, min(end, line + LONGEST_BLOCK)):
        state.env["budget"].step()
        start = state.bMarks[now] + state.tShift[now]
        if now > line and (state.sCount[now] < state.blkIndent or start >= state.eMarks[now]):
            return None
        text = state.src[start + (2 if now == line else 0) : state.eMarks[now]].rstrip()
        if closing in text:
            # Words after it on the same line make it a part of a paragraph.
            return now if text.endswith(closing) and text.count(closing) == 1 else None
    return None


def _shown(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    del self, options, env
    token = tokens[index]
    return f"<{token.tag} {MARK}>{escape(token.content)}</{token.tag}>"


def add_maths(parser: MarkdownIt) -> None:
    """Teach a parser, whose `env` holds a budget of steps, to leave maths alone."""
    parser.inline.ruler.before("escape", "maths", _inline)
    everywhere = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "maths", _block, {"alt": everywhere})
    parser.add_render_rule("maths_inline", _shown)
    parser.add_render_rule("maths_block", _shown)
