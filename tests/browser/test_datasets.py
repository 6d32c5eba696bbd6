"""The data pages in a real browser: an upload with progress, a clean console, nothing sideways."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.datasets.service import freeze
from app.tables.accounts import Person, Role
from app.tables.collect import Pair
from app.tables.projects import Project
from app.web.login import cookie_name
from tests.browser.conftest import Live
from tests.datasets.support import answer, answer_flag, line, make_flag
from tests.support import join, log_in, make_person, make_project

pytestmark = pytest.mark.browser


def test_an_upload_shows_its_progress_and_every_page_is_clean(
    session: Session, live: Live, chromium: Browser, tmp_path: Path
) -> None:
    project, rita = make_project(session), make_person(session, "rita")
    join(session, project, rita, Role.RESEARCHER)
    token, _ = log_in(session, rita)
    base = f"{live.url}/projects/{project.slug}/datasets"
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    context.add_cookies([{"name": cookie_name(), "value": token, "url": live.url}])
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))

    look(page, base)
    upload(page, base, tmp_path / "prompts.jsonl", b"".join(lines(300)))
    page.get_by_text("New pairs").wait_for()
    look(page, page.url)
    upload(page, base, tmp_path / "bad.jsonl", b"".join(lines(3)) + b"oops\n")
    page.get_by_text("Nothing was imported.").wait_for()
    assert "Line 4 is not JSON" in page.inner_text("#live")
    look(page, page.url)
    prompt_id = answer_some(session, project, rita)
    for path in ("", "/prompts", "/prompts?q=none+such", f"/prompts/{prompt_id}"):
        look(page, base + path)
    page.goto(base)
    page.get_by_role("link", name="Set 1", exact=True).click()
    look(page, page.url)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all").click()
    assert len(download.value.path().read_bytes().splitlines()) == 12
    assert said == []
    context.close()


def lines(n: int) -> Iterator[bytes]:
    return (line(prompt=f"**{k}**?", completions=[f"yes {k}", "no"]) for k in range(n))


def upload(page: Page, base: str, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    page.goto(base)
    page.set_input_files("#file", file)
    page.get_by_role("button", name="Import", exact=True).click()
    page.wait_for_url("**/imports/*")


def look(page: Page, url: str) -> None:
    """No serious fault for axe-core, and nothing sideways, light and dark."""
    page.goto(url)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def answer_some(session: Session, project: Project, annotator: Person) -> str:
    flag = make_flag(session, project)
    pairs = session.scalars(select(Pair).limit(12)).all()
    for pair, rating in zip(pairs, itertools.cycle(range(1, 9)), strict=False):
        comparison = answer(session, pair, annotator, rating, comment="Clearer.")
        answer_flag(session, comparison, flag, 1, pair.completion_a_id)
    freeze(session, project)
    session.commit()
    return str(pairs[0].prompt_id)
