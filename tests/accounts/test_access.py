"""Who is let in where."""

import pytest
from sqlalchemy.orm import Session

from app.tables.accounts import Membership, Role
from tests.support import Browsing, join, make_person, make_project

STAFF_PAGES = ["settings", "flags", "flags/new", "guidelines/edit"]
ADMIN_PAGES = ["people", "audit"]


@pytest.mark.parametrize("page", [*STAFF_PAGES, *ADMIN_PAGES])
def test_an_annotator_is_told_that_a_staff_page_is_not_theirs(
    browsing: Browsing, session: Session, page: str
) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ANNOTATOR)
    response = browsing.sign_in(alice).get(f"/projects/garden/{page}")
    assert response.status_code == 403
    assert "Ask an admin for it." in response.text
    assert "Alice" in response.text or "alice" in response.text
