"""Two lines against forged requests: fetch metadata for every unsafe request, and a session token.

The first is the browser's own word on where a request came from; the second holds where a browser
is too old to say (OWASP ASVS 5.0, 3.5.1 to 3.5.3).
"""

import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from fastapi import Request

from app.errors import Forbidden
from app.web.login import OptionalLogin

SAFE = {"GET", "HEAD", "OPTIONS"}
REFUSAL = (
    "This request did not come from a page of this site that is still signed in. "
    "Reload the page and try again; what you typed is still in your browser."
)


def check_origin(request: Request) -> None:
    """Refuse an unsafe request that another site caused. Raises Forbidden."""
    if request.method in SAFE:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise Forbidden(REFUSAL)
        return
    origin = request.headers.get("origin")
    if origin is not None and _host_of(origin) != request.headers.get("host"):
        raise Forbidden(REFUSAL)


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        raise Forbidden(REFUSAL) from None


async def check_csrf(request: Request, login: OptionalLogin) -> AsyncIterator[None]:
    """Both lines, as a dependency of every router. A bearer token needs no second line.

    It is the one coroutine among our dependencies: the form can only be awaited. A form that was
    read is closed in the end, whoever refuses the rest.
    """
    check_origin(request)
    try:
        if request.method not in SAFE and login is not None and login.session_id is not None:
            await _check_token(request, login.csrf_token)
        yield
    finally:
        await request.close()


async def _check_token(request: Request, expected: str) -> None:
    given = request.headers.get("x-csrf-token")
    if given is None and "form" in request.headers.get("content-type", ""):
        given = (await request.form()).get("csrf_token")  # type: ignore[assignment]
    check_token(given, expected)


def check_token(given: object, expected: str) -> None:
    """The second line. Raises Forbidden."""
    if not isinstance(given, str) or not secrets.compare_digest(given.encode(), expected.encode()):
        raise Forbidden(REFUSAL)
