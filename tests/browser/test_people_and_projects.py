"""From the one-time link to a project with people, in a real browser, page by page."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy.orm import Session

from app.accounts.service import make_owner_link
from app.tables.accounts import Role
from app.web.login import cookie_name
from tests.browser.conftest import Live
from tests.browser.walk import Walk, walking
from tests.projects.test_projects import add_pairs
from tests.support import join, log_in, make_person, make_project

pytestmark = pytest.mark.browser


@pytest.fixture
def visit(chromium: Browser, live: Live) -> Iterator[Walk]:
    with walking(chromium, live.url) as walk:
        yield walk


def test_the_first_owner_sets_everything_up_and_every_page_on_the_way_is_sound(
    visit: Walk, session: Session
) -> None:
    page, link = visit.page, make_owner_link(session)
    session.commit()
    page.goto(f"{visit.address}/sign-in")
    assert visit.problems() == []
    page.goto(f"{visit.address}{link}")
    assert visit.problems() == []
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_label("Password").fill("four calm grey geese")
    page.get_by_role("button", name="Begin").click()

    expect(page.get_by_role("heading", name="Make your first project")).to_be_visible()
    assert visit.problems() == []
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    assert visit.problems() == []
    page.get_by_label("Name").fill("Garden")
    page.keyboard.press("Enter")

    expect(page.get_by_text("Garden is made.")).to_be_visible()
    assert visit.problems() == []
    page.get_by_role("link", name="write the guidelines").click()
    page.get_by_label("Text").fill("# What matters\n\nPrefer the **better** answer.")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="What matters")).to_be_visible()
    assert visit.problems() == []
    page.get_by_role("button", name="Save as version 1").click()
    expect(page.get_by_text("Version 1 holds from now on.")).to_be_visible()
    assert visit.problems() == []

    visit.go("flags")
    assert visit.problems() == []
    page.get_by_role("button", name="of Llama 2 safety").click()
    expect(page.get_by_role("link", name="Unqualified advice")).to_be_visible()
    assert visit.problems() == []
    page.get_by_role("link", name="New flag").click()
    expect(page.get_by_label("Label")).to_be_focused()
    assert visit.problems() == []

    visit.go("people")
    page.get_by_label("E-mail").fill("bob@example.org")
    page.get_by_label("Name, if they are new").fill("Bob")
    page.get_by_role("button", name="Add", exact=True).click()
    assert "/welcome/" in page.get_by_label("The link").input_value()
    assert visit.problems() == []
    page.get_by_role("link", name="Done").click()
    page.get_by_text("Manage Bob").click()
    assert visit.problems() == []

    for path in ("/people", "/audit", "/account", "/projects/garden/audit", "/"):
        page.goto(f"{visit.address}{path}")
        assert visit.problems() == [], path


def test_an_annotator_goes_on_by_pressing_enter(visit: Walk, session: Session) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ANNOTATOR)
    add_pairs(session, project, 2)
    token, _ = log_in(session, alice)
    visit.page.context.add_cookies([{"name": cookie_name(), "value": token, "url": visit.address}])
    visit.page.goto(visit.address)
    assert visit.problems() == []
    expect(visit.page.get_by_role("link", name="Begin with Garden")).to_be_focused()
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url("**/projects/garden/collect")
