"""From the press of a key to the next pair painted, in a real Chromium."""

import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.crowd import Badge
from tests.browser.install_browser import find_browser

# Two frames after the pair is in the page, the first of them has been painted.
WATCH = """
() => {
  window.waits = [];
  let pressed = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter") pressed = event.timeStamp;
  }, true);
  document.addEventListener("prefloop:pair", () => {
    const since = pressed;
    requestAnimationFrame(() => requestAnimationFrame((now) => window.waits.push(now - since)));
  });
}
"""
FOLLOWS = (
    "(before) => document.getElementById('pair')?.dataset.assignment !== before.id"
    " && window.waits.length > before.n"
)


def waits_of(port: int, path: str, badge: Badge, n: int) -> list[float] | None:
    """Milliseconds of `n` answers by keyboard, one after the other; None without a Chromium."""
    chromium = find_browser()
    if chromium is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        name, _, token = badge.cookie.partition("=")
        context.add_cookies([{"name": name, "value": token, "domain": "127.0.0.1", "path": "/"}])
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}{path}")
        page.evaluate(WATCH)
        for count in range(n):
            _answer(page, count)
        waits = [float(one) for one in page.evaluate("window.waits")]
        browser.close()
    return waits


def _answer(page: Page, count: int) -> None:
    before = {"id": page.locator("#pair").get_attribute("data-assignment"), "n": count}
    page.keyboard.press(str(1 + count % 8))
    page.keyboard.press("Enter")
    page.wait_for_function(FOLLOWS, arg=before)


def p95(waits: list[float]) -> float:
    """Without the first three, in which the browser compiles its scripts."""
    return float(np.percentile(np.array(waits[3:]), 95))
