"""A form's way in without the machinery of dependencies: read, handled and committed in one hop.

FastAPI walks through its dependencies one by one, each in a thread of its own choosing, and that
costs more than the rest of a small request. For the few addresses that people wait for all day.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session
from starlette.types import Receive, Scope, Send

from app.db import session_scope
from app.errors import Invalid

Fields = Mapping[str, Any]
Form = TypeVar("Form", bound=BaseModel)

# More threads would wait for the interpreter and more connections for the processor, not for work.
AT_ONCE = 4
MOST_FIELDS = 1_000
URLENCODED = "application/x-www-form-urlencoded"


class DirectForm:
    """The endpoint of a route: `handle` gets a session that commits before the response goes."""

    def __init__(self, handle: Callable[[Session, Request, Fields], Response]) -> None:
        self._handle = handle
        self._limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, CapacityLimiter] = (
            WeakKeyDictionary()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        loop = asyncio.get_running_loop()
        limiter = self._limiters.setdefault(loop, CapacityLimiter(AT_ONCE))
        try:
            fields = await _read(request)
            response = await to_thread.run_sync(self._run, request, fields, limiter=limiter)
        finally:
            await request.close()
        await response(scope, receive, send)

    def _run(self, request: Request, fields: Fields) -> Response:
        with session_scope() as session:
            return self._handle(session, request, fields)


def filled(form: type[Form], fields: Fields) -> Form:
    """The form with its fields; an empty one is as good as none. Raises RequestValidationError."""
    try:
        return form.model_validate({name: value for name, value in fields.items() if value != ""})
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


async def _read(request: Request) -> Fields:
    """Of a name that comes twice the last value. Raises Invalid."""
    if not request.headers.get("content-type", "").startswith(URLENCODED):
        return dict(await request.form())
    body = (await request.body()).decode("latin-1")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise Invalid("The form holds more fields than any page has.") from error
