"""Guidelines that people confirm to have read, and what waits until they have."""

import pytest
from sqlalchemy.orm import Session

from app.collect.kinds.leases import PromptKind, next_prompt
from app.collect.service import Nothing, Why, next_assignment
from app.errors import Conflict, NotFound
from app.projects.reading import confirm_reading, reading_of
from app.projects.service import add_guideline_version
from app.tables.accounts import Person, Role
from app.tables.collect import Assignment, AssignmentState
from app.tables.projects import Project
from tests.collect.worlds import lease, make_world
from tests.support import Browsing, join, make_person

COLLECT = "/projects/garden/collect"
GUIDELINES = "/projects/garden/guidelines"


def write(session: Session, project: Project, markdown: str, by: Person | None = None) -> None:
    add_guideline_version(
        session, project, markdown=markdown, created_by=by.id if by else None, change_note=""
    )
    session.commit()


def test_where_reading_is_required_nothing_comes_before_it(session: Session) -> None:
    project, (alice,) = make_world(
        session, "alice", is_reading_required=True, is_demonstration_on=True
    )
    assert lease(session, project, alice.id)
    write(session, project, "Be kind.")
    # What is open may be finished.
    held = lease(session, project, alice.id)
    drop(session, held.id)
    assert next_assignment(session, project, alice.id) == Nothing(Why.UNREAD)
    kind = PromptKind.DEMONSTRATE
    assert next_prompt(session, project, alice.id, kind) == Nothing(Why.UNREAD)
    confirm_reading(session, project, alice.id, 1)
    confirm_reading(session, project, alice.id, 1)
    session.commit()
    assert lease(session, project, alice.id)


def drop(session: Session, assignment_id: object) -> None:
    session.get_one(Assignment, assignment_id).state = AssignmentState.EXPIRED
    session.commit()


def test_only_the_current_version_can_be_confirmed(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0)
    with pytest.raises(NotFound, match="no guidelines yet"):
        confirm_reading(session, project, alice.id, 1)
    write(session, project, "Be kind.")
    write(session, project, "Be kind and brief.")
    with pytest.raises(Conflict, match="Version 2 of the guidelines has come"):
        confirm_reading(session, project, alice.id, 1)
    assert reading_of(session, project.id, alice.id).is_due


def test_whoever_wrote_a_version_has_read_it(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0)
    write(session, project, "Be kind.", alice)
    assert not reading_of(session, project.id, alice.id).is_due


def test_the_compare_page_says_quietly_what_is_new_until_it_is_confirmed(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice")
    write(session, project, "Be kind.")
    browsing.sign_in(alice)
    page = browsing.get(COLLECT).text
    assert "Version 1 of the guidelines is new to you" in page
    assert "You have not confirmed yet that you read them" in page
    assert 'name="rating"' in page
    response = browsing.post(f"{GUIDELINES}/readings", {"number": "1"})
    assert (response.status_code, response.headers["location"]) == (303, COLLECT)
    assert "is new to you" not in browsing.get(COLLECT).text
    write(session, project, "Be kind and brief.")
    assert "You have read version 1" in browsing.get(COLLECT).text
    changes = browsing.get(f"{GUIDELINES}/since").text
    assert "<ins> and brief</ins>" in changes
    assert "I have read version 2" in changes
    assert browsing.post(f"{GUIDELINES}/readings", {"number": "1"}).status_code == 409


def test_the_next_pair_by_htmx_brings_the_news_as_well(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice", is_reading_required=True)
    held = lease(session, project, alice.id)
    browsing.sign_in(alice)
    write(session, project, "Be kind.")
    form = {"assignment_id": str(held.id), "idempotency_key": "one", "rating": "3"}
    answer = browsing.post(f"{COLLECT}/answers", form, headers={"HX-Request": "true"})
    assert "Read the guidelines first" in answer.text


def test_staff_see_who_has_confirmed_and_others_do_not(
    session: Session, browsing: Browsing
) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=0)
    ruth = make_person(session, "ruth")
    join(session, project, ruth, Role.RESEARCHER)
    write(session, project, "Be kind.", ruth)
    confirm_reading(session, project, bob.id, 1)
    session.commit()
    words = "1 of 2 annotators have confirmed this version. Not yet: alice."
    assert words in browsing.sign_in(ruth).get(GUIDELINES).text
    assert "I have read version" not in browsing.get(GUIDELINES).text
    assert "Not yet: alice" not in browsing.sign_in(alice).get(GUIDELINES).text
    assert "Nothing is new to you" in browsing.sign_in(bob).get(f"{GUIDELINES}/since").text


def test_a_script_confirms_through_the_api(session: Session, browsing: Browsing) -> None:
    project, (alice,) = make_world(session, "alice", is_reading_required=True)
    write(session, project, "Be kind.")
    browsing.sign_in(alice)
    api = "/api/v1/projects/garden"

    def post(path: str, body: dict[str, int]) -> object:
        token = {"X-CSRF-Token": browsing.csrf_token}
        return browsing.client.post(f"{api}/{path}", json=body, headers=token)

    assert post("assignments", {}).json() == {"assignment": None, "why": "unread"}
    assert post("guidelines/readings", {"version": 1}).status_code == 204
    assert post("assignments", {}).json()["assignment"]
