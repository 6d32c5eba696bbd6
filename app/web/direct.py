"""A form's way in without the machinery of dependencies: read, handled and committed in one hop.

FastAPI walks through its dependencies one by one, each in a thread of its own choosing, and that
costs more than the rest of a small request. For the few addresses that people wait for all day.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.db import session_scope
from app.errors import Invalid

Fields = Mapping[str, Any]
Form = TypeVar("Form", bound=BaseModel)

# More threads would wait for the interpreter and more connections for the processor, not for work.
AT_ONCE = 4
MOST_FIELDS = 1_000
URLENCODED = "application/x-www-form-urlencoded"


# In a request's scope: that it came by express, and the error for which it was turned back.
BY_EXPRESS, TURNED_BACK = "prefloop.by_express", "prefloop.turned_back"


class TurnedBack(Exception):
    """An express request met `error` before anything was sent."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class DirectForm:
    """The endpoint of a route: `handle` gets a session that commits before the response goes."""

    def __init__(self, handle: Callable[[Session, Request, Fields], Response]) -> None:
        self._handle = handle
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="direct")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if TURNED_BACK in scope:
            raise scope[TURNED_BACK]
        try:
            response = await self._respond(Request(scope, receive))
        except Exception as error:
            if BY_EXPRESS in scope:
                raise TurnedBack(error) from error
            raise
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        try:
            fields = await _read(request)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._run, request, fields)
        finally:
            await request.close()

    def _run(self, request: Request, fields: Fields) -> Response:
        with session_scope() as session:
            return self._handle(session, request, fields)


class Express:
    """Leads posts to direct forms past the framework's layers, with our own middlewares around.

    Whatever goes wrong before a response is sent goes the ordinary way, where the error is raised
    anew and its handler is found: refusals are worded in one place.
    """

    def __init__(self, app: FastAPI, ordinary: ASGIApp) -> None:
        self._app, self._ordinary = app, ordinary
        self._lines = [
            (route.path_regex, self._within_ours(route.endpoint))
            for route in app.routes
            if isinstance(route, Route) and isinstance(route.endpoint, DirectForm)
        ]

    def _within_ours(self, form: ASGIApp) -> ASGIApp:
        for one in reversed(self._app.user_middleware):
            form = one.cls(form, *one.args, **one.kwargs)
        return form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            found = self._line_of(scope["path"])
        if found is None:
            await self._ordinary(scope, receive, send)
            return
        line, parts = found
        express = {**scope, "app": self._app, "path_params": parts, BY_EXPRESS: True}
        try:
            await line(express, receive, send)
        except TurnedBack as turned:
            await self._ordinary({**scope, TURNED_BACK: turned.error}, receive, send)

    def _line_of(self, path: str) -> tuple[ASGIApp, dict[str, str]] | None:
        for pattern, line in self._lines:
            if match := pattern.match(path):
                return line, match.groupdict()
        return None


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
