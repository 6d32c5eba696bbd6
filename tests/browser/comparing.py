"""What somebody does on the compare page, and what has been answered."""

from playwright.sync_api import Page, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.tables.accounts import Person
from app.tables.collect import Assignment, Comparison
from tests.browser.conftest import (
    all_is_sent,
)

COLLECT = "/projects/garden/collect"


def on_page(session: Session, person: Person) -> Assignment:
    session.rollback()
    return session.scalars(
        select(Assignment).where(
            Assignment.annotator_id == person.id,
            Assignment.state == "leased",
            Assignment.slot == 0,
        )
    ).one()


def answers(session: Session) -> list[Comparison]:
    session.rollback()
    return list(session.scalars(select(Comparison).order_by(Comparison.created_at)))


def wait_for_next(page: Page, before: str) -> None:
    expect(page.locator("#pair")).not_to_have_attribute("data-assignment", before)
    all_is_sent(page)


def current(page: Page) -> str:
    return page.locator("#pair").get_attribute("data-assignment") or ""
