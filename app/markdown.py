"""Text from models and people as HTML that is safe to show.

Everything from a model is hostile: raw HTML stays text, remote images (which would tell their
server who reads) become links, and what markdown-it writes is sanitised once more by nh3. It is
rendered once, when it comes in, and stored with `RENDERER`, so that a change of rules can find
what it must render again.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.tasklists import tasklists_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES
from pygments.util import ClassNotFound

RENDERER = 1

# Some lexers take time that grows with the square of the text; a longer block stays plain.
MAX_HIGHLIGHTED = 2_000

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
BLOCKS = {"p", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "td", "th"}


@lru_cache
def allowed_classes() -> dict[str, set[str]]:
    """Only the class names that Pygments and this module write."""
    names = set(STANDARD_TYPES.values()) - {""}
    return {"span": names | {"invisible"}, "pre": {"code"}, "div": {"table-scroll"}}


def _highlight(code: str, language: str, _attributes: str) -> str:
    try:
        lexer = get_lexer_by_name(language, stripnl=False) if language else None
    except ClassNotFound:
        lexer = None
    is_short = len(code) <= MAX_HIGHLIGHTED
    body = (
        highlight(code, lexer, HtmlFormatter(nowrap=True)) if lexer and is_short else escape(code)
    )
    return f'<pre class="code" tabindex="0"><code>{body}</code></pre>'


class _Renderer(RendererHTML):
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
        return '<div class="table-scroll" role="region" aria-label="Table" tabindex="0"><table>\n'

    def table_close(
        self, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
    ) -> str:
        del tokens, index, options, env
        return "</table></div>\n"


@lru_cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt(
        "commonmark",
        {"html": False, "linkify": False, "breaks": True, "highlight": _highlight},
        renderer_cls=_Renderer,
    )
    return parser.enable(["table", "strikethrough"]).use(tasklists_plugin)


def _show_invisible(html: str) -> str:
    return INVISIBLE.sub(_code_point, html)


def _code_point(match: re.Match[str]) -> str:
    repeated = f" ×{len(match[0])}" if len(match[0]) > 1 else ""
    return f'<span class="invisible">U+{ord(match[1]):04X}{repeated}</span>'


def render_markdown(text: str) -> str:
    """`text` as sanitised HTML; its headings start at h3, below those of the page.

    Blocks carry `dir="auto"`, so that right-to-left text reads from the right.
    """
    parser = _parser()
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        if token.nesting == 1 and token.tag in BLOCKS:
            token.attrSet("dir", "auto")
            if side := str(token.attrs.pop("style", "")).removeprefix("text-align:"):
                token.attrSet("align", side)
    html = parser.renderer.render(tokens, parser.options, {})
    # The only inputs are those of task lists; what an author writes comes out with &quot;.
    html = html.replace('type="checkbox"', 'type="checkbox" aria-label="Done"')
    return nh3.clean(
        _show_invisible(html),
        tags=TAGS,
        attributes={**ATTRIBUTES, **{tag: ATTRIBUTES.get(tag, set()) | {"dir"} for tag in BLOCKS}},
        allowed_classes=allowed_classes(),
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
