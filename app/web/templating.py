"""Jinja2 with a nonce on everything that may act, and fragments that are blocks of full pages."""

import json
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from jinja2_fragments import render_block

from app.settings import REPOSITORY
from app.tables.base import utc_now

STATIC = REPOSITORY / "static"


def when(value: datetime | None) -> str:
    """A time as people read it; the exact one stands in the element's title."""
    if value is None:
        return "never"
    seconds = (utc_now() - value).total_seconds()
    if seconds < 45:
        return "just now"
    for limit, size, unit in ((3600, 60, "min"), (86400, 3600, "h"), (86400 * 14, 86400, "d")):
        if seconds < limit:
            return f"{max(1, round(seconds / size))} {unit} ago"
    return value.strftime("%-d %b %Y")


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals and a true minus sign; nothing known is undefined."""
    if value is None:
        return "undefined"
    return f"{value:,.{digits}f}".replace("-", "−")


def count(value: int | None) -> str:
    return "undefined" if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "undefined"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


_static_hashes: dict[str, tuple[float, str]] = {}


def static_url(path: str) -> str:
    """A static file's URL with its content in it, so that browsers may keep it for ever."""
    file = STATIC / path
    changed = file.stat().st_mtime
    known = _static_hashes.get(path)
    if known is None or known[0] != changed:
        known = (changed, sha256(file.read_bytes()).hexdigest()[:12])
        _static_hashes[path] = known
    return f"/static/{path}?v={known[1]}"


def make_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(REPOSITORY / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(when=when, number=number, count=count, duration=duration)
    environment.globals["static_url"] = static_url
    environment.policies["json.dumps_function"] = json.dumps
    return environment


ENVIRONMENT = make_environment()


def is_htmx(request: Request) -> bool:
    """True where htmx asked for a piece of the page, and not for the page."""
    return request.headers.get("HX-Request") == "true" and "HX-Boosted" not in request.headers


def render(
    request: Request,
    template: str,
    context: dict[str, Any] | None = None,
    *,
    block: str | None = None,
    status: int = 200,
) -> Response:
    """Render a page, or one named block of it.

    The context always holds `request`, `nonce`, `person` (or None), `csrf_token`, `path` and
    `notice` (a sentence about what just happened, or an empty string).
    """
    state = request.state
    login = getattr(state, "login", None)
    notice = "" if block else unquote(request.cookies.get("notice", ""))[:300]
    values = {
        "request": request,
        "nonce": state.nonce,
        "path": request.url.path,
        "person": state.visitor if login else None,
        "csrf_token": login.csrf_token if login else "",
        "notice": notice,
        **(context or {}),
    }
    if block:
        html = render_block(ENVIRONMENT, template, block, values)
    else:
        html = ENVIRONMENT.get_template(template).render(values)
    response = HTMLResponse(html, status_code=status)
    if notice:
        response.delete_cookie("notice", path="/", httponly=True, samesite="lax")
    return response
