"""After a form: go elsewhere, and say there what happened."""

from urllib.parse import quote

from fastapi import Request
from fastapi.responses import RedirectResponse

from app.settings import get_settings


def redirect(url: str, notice: str = "") -> RedirectResponse:
    """303 See Other to `url`; `notice` is shown once on the next page."""
    response = RedirectResponse(url, status_code=303)
    if notice:
        response.set_cookie(
            "notice", quote(notice), max_age=60, httponly=True, samesite="lax", path="/"
        )
    return response


def is_local(url: str) -> bool:
    """True for a path on this site, and for nothing that a browser could read as another host."""
    return url.startswith("/") and not url.startswith(("//", "/\\"))


def whole_address(request: Request, path: str) -> str:
    """`path` with this site before it, to be sent to someone; a proxy may have ended the TLS."""
    scheme = "https" if get_settings().is_https else request.url.scheme
    return f"{scheme}://{request.url.netloc}{path}"
