"""Text from models and people as HTML that is safe to show.

Everything from a model is hostile: raw HTML stays text, remote images (which would tell their
server who reads) become links, and what markdown-it writes is sanitised once more by nh3. It is
rendered once, when it comes in, and stored with `RENDERER`, so that a change of rules can find
what it must render again.

A text may also be written to keep the server busy. So the parser counts its steps, and a text
that costs too many is shown as plain paragraphs; code is coloured only as far as the lexer of its
language was measured to be quick. Both are counts and not clocks: a text looks the same everywhere.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.parser_inline import ParserInline
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

from app.maths import add_maths

RENDERER = 4

# Pages of prose and code take up to 16,000 steps for each 100,000 characters; a step takes
# about 10 microseconds, to try all rules on a line as long as LINE_COST of them, and to look for
# the label and the place of a link as long as BRACKET_COST.
MOST_STEPS = 25_000
LINE_COST, BRACKET_COST = 3, 3

# How many characters of a text's code are coloured if all of it is in one language. Measured with
# a hundred repeated scraps a lexer: these numbers take at most 0.1 s. Lexers that are quadratic
# get few, and those of languages not named here were not measured and colour nothing.
COLOURED = {
    **dict.fromkeys(("bash", "css", "dart", "diff", "docker", "go", "graphql", "haskell"), 8000),
    **dict.fromkeys(
        ("json", "julia", "lua", "nginx", "php", "powershell", "pycon", "python"), 8000
    ),
    **dict.fromkeys(("ruby", "rust", "scala", "splus", "scss", "sql", "swift", "toml"), 6000),
    **dict.fromkeys(("html", "javascript", "kotlin", "perl", "react", "xml"), 2500),
    **dict.fromkeys(("c", "cpp", "csharp", "java", "markdown", "typescript", "yaml"), 1000),
}
# Making a lexer costs about as much as this many characters.
LEXER_COST = 100

# Past this many places with hidden characters each is one sign: their code points fill pages.
MOST_INVISIBLE = 2_000

# Characters that reorder or hide what follows them: shown as their code point, never obeyed.
INVISIBLE = re.compile(
    "([\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\u200b\u2060\ufeff\u00ad])\\1*"
)

TAGS = {
    *("a", "b", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5"),
    *("h6", "hr", "i", "input", "li", "ol", "p", "pre", "s", "span", "strong", "sub", "sup"),
    *("table", "tbody", "td", "th", "thead", "tr", "ul"),
}
ATTRIBUTES = {
    "a": {"href", "title"},
    "td": {"align"},
    "th": {"align"},
    "ol": {"start"},
    "p": {"dir"},
    "li": {"dir"},
    "input": {"type", "checked", "disabled", "aria-label"},
    "pre": {"tabindex"},
    "div": {"tabindex", "role", "aria-label"},
}
BOX = re.compile(r"\[([ xX])\][ \t]+")
BLOCKS = {"p", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "td", "th"}


@lru_cache
def allowed_classes() -> dict[str, set[str]]:
    """Only the class names that Pygments and this module write."""
    names = set(STANDARD_TYPES.values()) - {""}
    return {
        "span": names | {"invisible", "maths"},
        "pre": {"code"},
        "div": {"table-scroll", "maths"},
    }


class _TooCostly(Exception):
    """The text asks for more steps than any honest one of its length."""


class _Budget:
    """What one text has used up of its steps, and of its share of colour (0 to 1)."""

    def __init__(self) -> None:
        self.n_steps = 0
        self.n_tokens = 0
        self.colour = 0.0

    def step(self, n: int = 1) -> None:
        self.n_steps += n
        if self.n_steps > MOST_STEPS:
            raise _TooCostly

    def affords(self, share: float) -> bool:
        if self.colour + share > 1:
            return False
        self.colour += share
        return True


def _budget(env: EnvType) -> _Budget:
    found: _Budget = env["budget"]
    return found


def _colour(code: str, language: str, budget: _Budget) -> str:
    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return escape(code)
    most = COLOURED.get(lexer.aliases[0])
    if most is None or not budget.affords((len(code) + LEXER_COST) / most):
        return escape(code)
    return highlight(code, lexer, HtmlFormatter(nowrap=True))


class _Inline(ParserInline):
    def skipToken(self, state: StateInline) -> None:  # noqa: N802 (the library's name)
        _budget(state.env).step()
        super().skipToken(state)


def _count_inline(state: StateInline, silent: bool) -> bool:  # noqa: ARG001
    _budget(state.env).step(BRACKET_COST if state.src[state.pos] == "[" else 1)
    return False


def _count_block(state: StateBlock, line: int, end: int, silent: bool) -> bool:  # noqa: ARG001
    """Count a look at a line, the cells that it may hold, and the tokens that came of the last."""
    budget = _budget(state.env)
    n_cells = state.src.count("|", state.bMarks[line], state.eMarks[line])
    n_new = max(0, len(state.tokens) - budget.n_tokens)
    budget.n_tokens = len(state.tokens)
    budget.step(LINE_COST + n_cells + n_new)
    return False


def _tick_off(state: StateCore) -> None:
    """List items that begin with [ ] or [x] begin with a box instead."""
    tokens = state.tokens
    for opening, token in zip(tokens, tokens[2:], strict=False):
        box = BOX.match(token.content)
        if opening.type != "list_item_open" or token.type != "inline" or not box:
            continue
        children = token.children or []
        if children and children[0].type == "text" and children[0].content.startswith(box[0]):
            children[0].content = children[0].content[len(box[0]) :]
            checkbox = Token("html_inline", "", 0)
            checked = "" if box[1] == " " else 'checked="" '
            checkbox.content = f'<input {checked}disabled="" type="checkbox"> '
            children.insert(0, checkbox)


class _Renderer(RendererHTML):
    def fence(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        del options
        token = tokens[index]
        language = (token.info.split(maxsplit=1) or [""])[0]
        body = _colour(token.content, language, _budget(env))
        return f'<pre class="code" tabindex="0"><code>{body}</code></pre>\n'

    def image(self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
        # A picture would be fetched from elsewhere; a link stands in its place.
        token = tokens[index]
        name = self.renderInlineAsText(token.children or [], options, env) or "picture"
        address = escape(str(token.attrGet("src") or ""), quote=True)
        return f'<a href="{address}">{escape(name)}</a>'

    def table_open(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
    ) -> str:
        del tokens, index, options, env
        return '<div class="table-scroll" role="group" aria-label="Table" tabindex="0"><table>\n'

    def table_close(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
    ) -> str:
        del tokens, index, options, env
        return "</table></div>\n"


@lru_cache
def _parser() -> MarkdownIt:
    options = {"html": False, "linkify": False, "breaks": True}
    parser = MarkdownIt("commonmark", options, renderer_cls=_Renderer)
    parser.inline = _Inline()
    parser.configure("commonmark", options).enable(["table", "strikethrough"])
    parser.inline.ruler.before("text", "count", _count_inline)
    everywhere = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("table", "count", _count_block, {"alt": everywhere})
    add_maths(parser)
    parser.core.ruler.after("inline", "tick_off", _tick_off)
    return parser


def _show_invisible(html: str) -> str:
    html = INVISIBLE.sub(_code_point, html, count=MOST_INVISIBLE)
    return INVISIBLE.sub("\ufffd", html)


def _code_point(match: re.Match[str]) -> str:
    repeated = f" ×{len(match[0])}" if len(match[0]) > 1 else ""
    return f'<span class="invisible">U+{ord(match[1]):04X}{repeated}</span>'


def _render(text: str) -> str:
    """HTML that is not sanitised yet. Raises _TooCostly."""
    parser = _parser()
    env = {"budget": _Budget()}
    tokens = parser.parse(text, env)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        if token.nesting == 1 and token.tag in BLOCKS:
            token.attrSet("dir", "auto")
            if side := str(token.attrs.pop("style", "")).removeprefix("text-align:"):
                token.attrSet("align", side)
    html = str(parser.renderer.render(tokens, parser.options, env))
    # The only inputs are those of task lists; what an author writes comes out with &quot;.
    return html.replace('type="checkbox"', 'type="checkbox" aria-label="Done"')


def _render_plain(text: str) -> str:
    paragraphs = re.split(r"\n{2,}", escape(text.strip("\n")))
    return "".join(f'<p dir="auto">{"<br>".join(one.split(chr(10)))}</p>\n' for one in paragraphs)


def render_markdown(text: str) -> str:
    """`text` as sanitised HTML; its headings start at h3, below those of the page.

    Blocks carry `dir="auto"`, so that right-to-left text reads from the right. A text that costs
    more than MOST_STEPS to parse comes out as its letters, in paragraphs.
    """
    try:
        html = _render(text)
    except _TooCostly:
        html = _render_plain(text)
    return nh3.clean(
        _show_invisible(html),
        tags=TAGS,
        attributes={**ATTRIBUTES, **{tag: ATTRIBUTES.get(tag, set()) | {"dir"} for tag in BLOCKS}},
        allowed_classes=allowed_classes(),
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
