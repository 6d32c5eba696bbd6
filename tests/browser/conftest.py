"""A real server on the test's database and a real Chromium in front of it.

`live` is the address of the server; `visit(person, path, …)` opens a page as that person. Each page
remembers what its console said: `console_is_clean`, `is_accessible` and `fits_its_width` judge it.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, sync_playwright
from sqlalchemy.orm import Session

from app.tables.accounts import Person
from app.web.login import cookie_name
from tests.browser.install_browser import find_browser
from tests.support import log_in

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WIDE, NARROW = (1440, 900), (390, 844)

Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium_path() -> str:
    path = find_browser()
    if path is None:
        reason = "No Chromium was found. `make test` installs one where it can."
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="session")
def chromium(chromium_path: str) -> Iterator[Browser]:
    playwright: Playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=list(QUIET))
        yield browser
        browser.close()


class Live:
    """The real application behind a real socket, which a test may stop and start again."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        from app.main import create_app

        config = uvicorn.Config(
            create_app(),
            host="127.0.0.1",
            port=self.port,
            log_level="error",
            ws="none",
            timeout_graceful_shutdown=2,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        patience = time.monotonic() + 20
        while not self.server.started:
            assert time.monotonic() < patience, "the server did not start"
            time.sleep(0.02)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(timeout=10)


@pytest.fixture
def live(database: str) -> Iterator[Live]:
    server = Live()
    yield server
    server.stop()


@pytest.fixture
def visit(chromium: Browser, live: Live, session: Session) -> Iterator[Visit]:
    """`visit(person, path, size=WIDE, scheme="light", has_script=True)` → the page, loaded."""
    contexts = []

    def open_page(
        person: Person | None,
        path: str,
        *,
        size: tuple[int, int] = WIDE,
        scheme: str = "light",
        has_script: bool = True,
    ) -> Page:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=has_script,
        )
        contexts.append(context)
        if person is not None:
            token, _ = log_in(session, person)
            context.add_cookies(
                [{"name": cookie_name(), "value": token, "domain": "127.0.0.1", "path": "/"}]
            )
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.heard = []  # type: ignore[attr-defined]
        page.on("console", lambda message: page.heard.append(f"{message.type}: {message.text}"))  # type: ignore[attr-defined]
        page.on("pageerror", lambda error: page.heard.append(f"error: {error}"))  # type: ignore[attr-defined]
        page.goto(live.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()


def all_is_sent(page: Page) -> bool:
    """Asserts that the server has what was answered: the page goes on before it has."""
    for _ in range(600):
        if page.evaluate("localStorage.getItem('prefloop.outbox') ?? '[]'") == "[]":
            return True
        page.wait_for_timeout(25)
    raise AssertionError("An answer still waits in the browser.")


def console_is_clean(page: Page) -> bool:
    """Asserts that the page's scripts and policies have complained about nothing."""
    assert page.heard == []  # type: ignore[attr-defined]
    return True


def is_accessible(page: Page) -> bool:
    """Asserts that axe-core finds no violation of any weight."""
    found = Axe().run(page).response["violations"]
    if page.locator(".rendered :is(h3, h4, h5, h6)").count():
        # A model's Markdown may begin at any level of heading, and is shown as it was written.
        found = [one for one in found if one["id"] != "heading-order"]
    words = [
        f"{one['id']}: {one['help']} at {[node['target'] for node in one['nodes']][:5]}"
        for one in found
    ]
    assert words == []
    return True


def fits_its_width(page: Page) -> bool:
    """Asserts that the page does not scroll sideways."""
    width, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= room, f"the page is {width} pixels wide in {room}"
    return True
