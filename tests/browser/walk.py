"""One page that walks through the site and remembers what was wrong on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from app.web.login import cookie_name


@dataclass
class Walk:
    """A page at 390 pixels, and everything that its console said."""

    page: Page
    address: str
    said: list[str]

    def go(self, path: str) -> Page:
        response = self.page.goto(f"{self.address}/projects/garden/{path}")
        assert response is not None
        assert response.status == 200
        return self.page

    def problems(self) -> list[str]:
        """What axe-core finds, what the console said, and where the page scrolls sideways."""
        found = [
            f"{one['id']}: {one['nodes'][0]['html']}"
            for one in Axe().run(self.page).response["violations"]
        ]
        wide = [f"scrolls sideways at {width}" for width in (390, 1440) if self._is_wide(width)]
        return found + self.said + wide

    def _is_wide(self, width: int) -> bool:
        self.page.set_viewport_size({"width": width, "height": 900})
        root = "document.documentElement"
        return bool(self.page.evaluate(f"{root}.scrollWidth > {root}.clientWidth"))


@contextmanager
def walking(chromium: Browser, address: str, token: str = "") -> Iterator[Walk]:
    """A browser of one's own, signed in where a session's `token` is given."""
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    if token:
        context.add_cookies([{"name": cookie_name(), "value": token, "url": address}])
    walk = Walk(context.new_page(), address, [])
    walk.page.on("console", lambda message: walk.said.append(message.text))
    walk.page.on("pageerror", lambda error: walk.said.append(str(error)))
    yield walk
    context.close()
