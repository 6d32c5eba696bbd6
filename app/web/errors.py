"""One handler turns a refusal into a page, an htmx toast or a JSON problem (RFC 9457)."""

import logging
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException

from app.errors import Conflict, DomainError, Invalid, NotFound, Unauthenticated
from app.web.templating import is_htmx, render

log = logging.getLogger("prefloop.web")

PROBLEM = "application/problem+json"
WORDS = {
    404: "There is no page at this address.",
    405: "This address does not take that kind of request.",
}


def problem(request: Request, error: DomainError) -> Response:
    """The response to a refusal, in the form that the client asked for."""
    if request.url.path.startswith("/api/") or PROBLEM in request.headers.get("accept", ""):
        body = {"title": error.title, "status": error.status, "detail": error.message}
        if error.field is not None:
            body["field"] = error.field
        if error.line is not None:
            body["line"] = error.line
        return JSONResponse(body, status_code=error.status, media_type=PROBLEM)
    if is_htmx(request):
        response = render(
            request, "errors/toast.html", {"message": error.message}, status=error.status
        )
        response.headers["HX-Reswap"] = "none"
        return response
    if isinstance(error, Unauthenticated):
        return RedirectResponse(f"/sign-in?next={_way_back(request)}", status_code=303)
    context = {"title": error.title, "message": error.message, "status": error.status}
    return render(request, "errors/page.html", context, status=error.status)


def _way_back(request: Request) -> str:
    if request.method != "GET":
        return "/"
    query = f"?{request.url.query}" if request.url.query else ""
    return quote(request.url.path + query, safe="/")


def said_by(error: HTTPException) -> str:
    """Our own words where the framework has only the status's name."""
    if error.detail == HTTPStatus(error.status_code).phrase:
        return WORDS.get(error.status_code, error.detail)
    return error.detail


def in_words(error: RequestValidationError) -> DomainError:
    """The first thing that a request got wrong, as a sentence with the field's name."""
    first = error.errors()[0]
    if first["loc"] and first["loc"][0] == "path":
        return NotFound(WORDS[404])
    field = str(first["loc"][-1]) if first["loc"] else "request"
    reason = str(first["msg"]).removeprefix("Value error, ")
    return Invalid(
        f"{field.replace('_', ' ').capitalize()}: {reason}.".replace("..", "."), field=field
    )


class Unavailable(DomainError):
    status = 503
    title = "The database does not answer"


UNAVAILABLE = (
    "The database does not answer at the moment. Nothing that was saved is lost; "
    "this page keeps what you typed. Try again in a few seconds."
)


CONFLICT = (
    "Someone or something else changed the same thing at this moment, so nothing was saved. "
    "Reload the page, look, and try again."
)
UNKEEPABLE = (
    "Something that was sent cannot be kept: a character that is no text, or a number that is too "
    "large. Take it out and try again."
)
# Unique, foreign key and exclusion: others were first. The rest would be a mistake of ours.
OTHERS_WERE_FIRST = {"23505", "23503", "23P01"}


def install_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(DomainError)
    def refused(request: Request, error: DomainError) -> Response:
        return problem(request, error)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return problem(request, in_words(error))

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> Response:
        refusal = DomainError(said_by(error))
        refusal.status = error.status_code
        return problem(request, refusal)

    @app.exception_handler(OperationalError)
    @app.exception_handler(InterfaceError)
    @app.exception_handler(PoolTimeoutError)
    def unavailable(request: Request, error: Exception) -> Response:
        log.error("database: %s", error)
        return problem(request, Unavailable(UNAVAILABLE))

    @app.exception_handler(DataError)
    def unkeepable(request: Request, error: DataError) -> Response:
        log.warning("refused by the database: %s", error.orig)
        is_address = "\0" in request.url.path or "%00" in request.url.path
        return problem(request, NotFound(WORDS[404]) if is_address else Invalid(UNKEEPABLE))

    @app.exception_handler(IntegrityError)
    @app.exception_handler(StaleDataError)
    def overtaken(request: Request, error: Exception) -> Response:
        state = getattr(getattr(error, "orig", None), "sqlstate", None)
        if state is not None and state not in OTHERS_WERE_FIRST:
            raise error
        log.warning("overtaken: %s", error)
        return problem(request, Conflict(CONFLICT))

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> Response:
        log.exception("unexpected error", exc_info=error)
        refusal = DomainError("Something broke on our side. It was written to the server's log.")
        refusal.status, refusal.title = 500, "Something broke"
        return problem(request, refusal)
