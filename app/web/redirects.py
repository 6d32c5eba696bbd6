"""After a form: go elsewhere, and say there what happened."""

from urllib.parse import quote

from fastapi.responses import RedirectResponse


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
