"""How much a request may carry, held while it is read: before anyone is asked who sends it."""

import re
from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.settings import get_settings
from app.web.login import cookie_name

MOST_BYTES = 2 * 2**20
# What a form wraps around its file.
WRAPPING_BYTES = 64 * 2**10
UPLOADS = re.compile(r"/projects/[^/]+/datasets/imports|/api/v1/projects/[^/]+/imports")


def too_large(limit: int) -> HTTPException:
    """The refusal, as the kind of error that form parsers let through."""
    return HTTPException(
        413,
        f"That is larger than the {limit / 2**20:,.0f} MB which this server accepts here. A file "
        "can be packed with gzip, split, or imported with `prefloop import` on the server.",
    )


class BodyLimit:
    """Refuses a body by its announced length, or at the piece that goes beyond the limit.

    The two addresses that take files take them from whoever shows a cookie or a token; everyone
    else may send what fits into a form, everywhere.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = _limit(scope)
        announced = _announced(scope["headers"])
        n_bytes = 0

        async def receive_within_limit() -> Message:
            nonlocal n_bytes
            if announced > limit:
                raise too_large(limit)
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > limit:
                raise too_large(limit)
            return message

        await self.app(scope, receive_within_limit, send)


def _limit(scope: Scope) -> int:
    if UPLOADS.fullmatch(scope["path"]) and _shows_a_key(scope["headers"]):
        return max(MOST_BYTES, get_settings().max_upload_bytes + WRAPPING_BYTES)
    return MOST_BYTES


def _shows_a_key(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    cookie = f"{cookie_name()}=".encode()
    return any(
        name == b"authorization" or (name == b"cookie" and cookie in value)
        for name, value in headers
    )


def _announced(headers: Iterable[tuple[bytes, bytes]]) -> int:
    lengths = (value for name, value in headers if name == b"content-length")
    return max((int(value) for value in lengths if value.isdigit()), default=0)
