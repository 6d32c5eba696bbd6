"""The web application: routers, static files, error handlers."""

import gc

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy import text
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app.accounts import routes as accounts_pages
from app.agree import api as agree_api
from app.agree import routes as agree_pages
from app.agree.changes import effects_of_changes
from app.collect import api as collect_api
from app.collect import routes as collect_pages
from app.collect.history import routes as history_pages
from app.collect.home import routes as home_pages
from app.collect.kinds import routes as kinds_pages
from app.collect.messages import routes as messages_pages
from app.collect.queue import routes as queue_pages
from app.collect.routes import answering
from app.collect.skipped import routes as skipped_pages
from app.collect.talk import routes as talk_pages
from app.datasets import api as datasets_api
from app.datasets import routes as datasets_pages
from app.loop import api as loop_api
from app.loop import routes as loop_pages
from app.policy import api as policy_api
from app.policy import routes as policy_pages
from app.projects import api as projects_api
from app.projects import routes as projects_pages
from app.reward import api as reward_api
from app.reward import routes as reward_pages
from app.settings import get_settings
from app.web.bodies import BodyLimit
from app.web.csrf import check_csrf
from app.web.dependencies import SessionDep
from app.web.errors import install_error_handlers
from app.web.headers import GuardedApp
from app.web.login import LoginDep
from app.web.templating import STATIC

# New objects, in place of 700; a page makes a few thousand.
SEARCH_AFTER = 20_000


def serve_app() -> FastAPI:
    """`create_app()` for a web server in a process of its own.

    What is loaded by now stays for good. Python would walk through all of it in the midst of a
    request that makes many objects, such as the rendering of a long text.
    """
    app = create_app()
    gc.collect()
    gc.freeze()
    # What a request makes is gone when it ends, nearly all of it without this search for cycles.
    gc.set_threshold(SEARCH_AFTER)
    return app


def create_app() -> FastAPI:
    """The ASGI application; `DATABASE_URL` must name a migrated database."""
    app = GuardedApp(
        title="Prefloop",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(check_csrf)],
    )
    install_error_handlers(app)
    app.state.effects_of_changes = effects_of_changes
    app.add_middleware(BodyLimit)
    if hosts := get_settings().trusted_hosts:
        names = [name.strip() for name in hosts.split(",")]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names)
    # First, for it is asked for most; it looks after login, CSRF and permission itself.
    app.router.routes.append(answering.route)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.api_route("/healthz", methods=["GET", "HEAD"], include_in_schema=False)
    def healthz(session: SessionDep) -> PlainTextResponse:
        session.execute(text("select 1"))
        return PlainTextResponse("ok")

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    def describe(_: LoginDep) -> JSONResponse:
        return JSONResponse(app.openapi())

    include_routers(app)
    return app


def include_routers(app: FastAPI) -> None:
    """Every slice's pages and JSON; only the JSON is described for scripts."""
    for pages in (
        accounts_pages, home_pages, history_pages, projects_pages, collect_pages, kinds_pages,
        messages_pages, queue_pages, skipped_pages, talk_pages, datasets_pages, loop_pages,
        reward_pages, policy_pages, agree_pages,
    ):  # fmt: skip
        app.include_router(pages.router, include_in_schema=False)
    for api in (
        projects_api,
        collect_api,
        datasets_api,
        loop_api,
        reward_api,
        policy_api,
        agree_api,
    ):
        app.include_router(api.router)
