"""The compare page over plain HTTP, as a browser without scripts speaks it, and bad input to it."""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.collect.pairing import canonical
from app.tables.accounts import Membership, Person, Role
from app.tables.base import utc_now
from app.tables.collect import (
    Assignment,
    AssignmentState,
    Comparison,
    Completion,
    FlagAnswer,
    Pair,
)
from tests.collect.worlds import make_flag, make_pairs, make_world
from tests.support import Browsing, join, make_project

URL = "/projects/garden/collect"


def fields(page: httpx.Response) -> dict[str, Any]:
    """What the page's answer form holds before anybody has touched it."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
    return dict(found)


@pytest.fixture
def alice(session: Session, browsing: Browsing) -> Person:
    _, (alice,) = make_world(session, "alice")
    browsing.sign_in(alice)
    return alice


def comparisons(session: Session) -> list[Comparison]:
    session.rollback()
    return list(session.scalars(select(Comparison)))


def test_without_a_script_an_answer_leads_by_303_to_the_next_pair(
    alice: Person, browsing: Browsing, session: Session
) -> None:
    form = fields(browsing.get(URL))
    response = browsing.post(f"{URL}/answers", {**form, "rating": "6", "comment": "so"})
    assert (response.status_code, response.headers["location"]) == (303, URL)
    (said,) = comparisons(session)
    assert said.rating == canonical(6, said.is_flipped)
    following = fields(browsing.get(URL))
    assert following["assignment_id"] != form["assignment_id"]


def test_with_htmx_the_next_pair_comes_in_the_same_response(
    alice: Person, browsing: Browsing
) -> None:
    form = fields(browsing.get(URL))
    response = browsing.post(
        f"{URL}/answers", {**form, "rating": "6"}, headers={"HX-Request": "true"}
    )
    assert response.status_code == 200
    assert response.text.lstrip().startswith('<div id="pair"')
    assert "<html" not in response.text
    assert fields(response)["assignment_id"] != form["assignment_id"]


def test_a_form_sent_twice_leaves_one_answer(
    alice: Person, browsing: Browsing, session: Session
) -> None:
    form = {**fields(browsing.get(URL)), "rating": "6"}
    for _ in range(2):
        assert browsing.post(f"{URL}/answers", form).status_code == 303
    assert len(comparisons(session)) == 1


@pytest.mark.parametrize("rating", ["0", "9", "", "six", "4.5", "-1"])
def test_a_rating_that_is_none_is_refused_in_words(
    alice: Person, browsing: Browsing, session: Session, rating: str
) -> None:
    form = fields(browsing.get(URL))
    response = browsing.post(f"{URL}/answers", {**form, "rating": rating})
    assert response.status_code == 422
    assert "ating" in response.text
    assert comparisons(session) == []


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"assignment_id": str(uuid.uuid4())}, 404),
        ({"assignment_id": "17"}, 422),
        ({"csrf_token": "wrong"}, 403),
        ({"idempotency_key": ""}, 422),
        ({"seconds": "inf"}, 422),
        ({"comment": "a\x00b"}, 422),
        ({"flag.nonsense.left": "1"}, 422),
        ({f"flag.{uuid.uuid4()}.left": "1"}, 422),
    ],
)
def test_a_bent_form_is_refused_and_costs_nothing(
    alice: Person, browsing: Browsing, session: Session, wrong: dict[str, str], status: int
) -> None:
    form = {**fields(browsing.get(URL)), "rating": "3"}
    assert browsing.post(f"{URL}/answers", {**form, **wrong}).status_code == status
    assert comparisons(session) == []
    assert browsing.post(f"{URL}/answers", form).status_code == 303
    assert len(comparisons(session)) == 1


def test_someone_elses_and_an_ended_assignment_are_refused(
    browsing: Browsing, session: Session
) -> None:
    _, (alice, bob) = make_world(session, "alice", "bob")
    form = {**fields(browsing.sign_in(alice).get(URL)), "rating": "3"}
    del form["csrf_token"]
    assert browsing.sign_in(bob).post(f"{URL}/answers", form).status_code == 403
    browsing.sign_in(alice)
    skipped = {"assignment_id": form["assignment_id"], "reason": "", "other": "Not for me"}
    assert browsing.post(f"{URL}/skips", skipped).status_code == 303
    response = browsing.post(f"{URL}/answers", form)
    assert response.status_code == 409
    assert "You skipped this pair" in response.text
    assert comparisons(session) == []


def test_seconds_are_never_more_than_the_page_was_open(
    alice: Person, browsing: Browsing, session: Session
) -> None:
    form = fields(browsing.get(URL))
    browsing.post(f"{URL}/answers", {**form, "rating": "3", "seconds": "80000"})
    assert comparisons(session)[0].seconds < 60


def test_the_pace_is_of_the_last_24_hours_whatever_the_clock_says(
    alice: Person, browsing: Browsing, session: Session
) -> None:
    for _ in range(2):
        browsing.post(f"{URL}/answers", {**fields(browsing.get(URL)), "rating": "3"})
    for one, hours in zip(comparisons(session), (23, 25), strict=True):
        one.created_at = utc_now() - timedelta(hours=hours)
    session.commit()
    assert "<b>1</b> in 24 hours" in browsing.get(URL).text


def test_a_renewal_keeps_the_lease_and_a_release_gives_it_back(
    alice: Person, browsing: Browsing, session: Session
) -> None:
    lease = {"assignment_id": fields(browsing.get(URL))["assignment_id"]}
    assert browsing.post(f"{URL}/renewals", lease).status_code == 204
    assert browsing.post(f"{URL}/releases", lease).status_code == 303
    session.rollback()
    assert session.scalars(select(Assignment)).one().state is AssignmentState.EXPIRED


def test_an_answer_is_found_in_the_history_and_changed_there(
    alice: Person, browsing: Browsing, session: Session
) -> None:
    assert "not answered anything yet" in browsing.get(f"{URL}/history").text
    form = fields(browsing.get(URL))
    browsing.post(f"{URL}/answers", {**form, "rating": "3", "comment": "Unmistakable 100%"})
    (said,) = comparisons(session)
    edit = f"{URL}/answers/{said.id}"
    assert edit in browsing.get(f"{URL}/history?q=unmistakable").text
    assert edit in browsing.get(f"{URL}/history?q=100%25").text
    assert edit not in browsing.get(f"{URL}/history?q=nowhere").text
    assert browsing.get(f"{URL}/last").headers["location"] == edit
    response = browsing.post(edit, {"revision": "1", "rating": "8", "back": "history"})
    assert response.headers["location"] == f"{URL}/history"
    (changed,) = comparisons(session)
    assert changed.rating == canonical(8, changed.is_flipped)


def test_each_empty_state_says_something_else(browsing: Browsing, session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=0)
    browsing.sign_in(alice)
    assert "Nothing to compare yet" in browsing.get(URL).text
    make_pairs(session, project, 1)
    form = {**fields(browsing.get(URL)), "rating": "3"}
    assert "Others have the last pairs open" in browsing.sign_in(bob).get(URL).text
    browsing.sign_in(alice)
    browsing.post(f"{URL}/answers", {**form, "csrf_token": browsing.csrf_token})
    assert "You have answered everything" in browsing.get(URL).text
    project.is_archived = True
    session.commit()
    assert "This work is paused" in browsing.get(URL).text


def test_a_stranger_learns_nothing_and_a_project_has_its_own_pairs(
    alice: Person, browsing: Browsing, session: Session
) -> None:
    make_project(session, "other")
    session.commit()
    assert browsing.get("/projects/other/collect").status_code == 404


@pytest.fixture
def removed(session: Session, browsing: Browsing) -> tuple[Assignment, Comparison]:
    """What alice holds and has said in garden, after she was removed; she compares elsewhere."""
    garden, (alice,) = make_world(session, "alice")
    browsing.sign_in(alice)
    browsing.post(f"{URL}/answers", {**fields(browsing.get(URL)), "rating": "3"})
    browsing.get(URL)
    session.execute(delete(Membership).where(Membership.project_id == garden.id))
    join(session, make_project(session, "other"), alice, Role.ANNOTATOR)
    session.commit()
    held = session.scalars(select(Assignment).where(Assignment.state == "leased")).one()
    return held, session.scalars(select(Comparison)).one()


def test_the_address_of_another_project_opens_no_answer(
    removed: tuple[Assignment, Comparison], browsing: Browsing, session: Session
) -> None:
    edit = f"/projects/other/collect/answers/{removed[1].id}"
    assert browsing.get(edit).status_code == 404
    before = removed[1].rating
    assert browsing.post(edit, {"revision": "1", "rating": "8"}).status_code == 404
    assert browsing.post(edit, {"revision": "1", "rating": "1"}).status_code == 404
    assert [one.rating for one in comparisons(session)] == [before]


@pytest.mark.parametrize("verb", ["answers", "skips", "renewals", "releases"])
def test_the_address_of_another_project_reaches_no_assignment(
    removed: tuple[Assignment, Comparison], browsing: Browsing, session: Session, verb: str
) -> None:
    until = removed[0].lease_until
    form = {
        "assignment_id": str(removed[0].id),
        "idempotency_key": "elsewhere",
        "rating": "3",
        "other": "Not for me",
    }
    assert browsing.post(f"/projects/other/collect/{verb}", form).status_code == 404
    session.rollback()
    held = session.get_one(Assignment, removed[0].id)
    assert (held.state, held.lease_until) == (AssignmentState.LEASED, until)


def test_the_api_of_another_project_records_no_answer(
    removed: tuple[Assignment, Comparison], browsing: Browsing, session: Session
) -> None:
    said = {"assignment_id": str(removed[0].id), "rating": 2, "idempotency_key": "elsewhere"}
    response = browsing.client.post(
        "/api/v1/projects/other/comparisons",
        json=said,
        headers={"X-CSRF-Token": browsing.csrf_token},
    )
    assert response.status_code == 404
    assert len(comparisons(session)) == 1


Api = Callable[[str, dict[str, Any]], httpx.Response]


@pytest.fixture
def post(browsing: Browsing) -> Api:
    """The API of garden, for whoever is signed in."""

    def send(path: str, body: dict[str, Any]) -> httpx.Response:
        token = {"X-CSRF-Token": browsing.csrf_token}
        return browsing.client.post(f"/api/v1/projects/garden/{path}", json=body, headers=token)

    return send


def test_a_script_answers_through_the_api_by_the_same_rules(
    browsing: Browsing, session: Session, post: Api
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=1)
    browsing.sign_in(alice)
    given = post("assignments", {}).json()["assignment"]
    assert set(given) == {"id", "lease_until", "prompt", "completion_a", "completion_b"}
    said = {"assignment_id": given["id"], "rating": 2, "idempotency_key": "once"}
    assert post("comparisons", {**said, "rating": 9}).status_code == 422
    first, again = post("comparisons", said), post("comparisons", said)
    assert (first.status_code, first.json()) == (201, again.json())
    assert post("assignments", {}).json() == {"assignment": None, "why": "done"}


def test_a_script_reads_the_order_that_is_stored_and_answers_in_it(
    browsing: Browsing, session: Session, post: Api
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=8)
    rude = make_flag(session, project, "Rude")
    browsing.sign_in(alice)
    shown_as_a = {}
    for _ in range(8):
        given = post("assignments", {}).json()["assignment"]
        # Prefers the left words, and finds them rude, wherever they stand.
        mine, rating = ("A", 2) if "left words" in given["completion_a"] else ("B", 7)
        said = {
            "assignment_id": given["id"],
            "rating": rating,
            "flags": [{"flag_id": str(rude.id), "side": mine, "value": 1}],
            "idempotency_key": given["id"],
        }
        assert post("comparisons", said).status_code == 201
        shown_as_a[given["id"]] = given["completion_a"]
    for one in comparisons(session):
        pair = session.get_one(Pair, one.pair_id)
        preferred = pair.completion_a_id if one.rating == 2 else pair.completion_b_id
        flag = session.scalars(select(FlagAnswer).filter_by(comparison_id=one.id)).one()
        assert "left words" in session.get_one(Completion, preferred).text
        assert flag.completion_id == preferred
        first = pair.completion_b_id if one.is_flipped else pair.completion_a_id
        assert shown_as_a[str(one.assignment_id)] == session.get_one(Completion, first).text


def test_a_script_cannot_have_taken_longer_than_it_had_the_pair(
    browsing: Browsing, session: Session, post: Api
) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=1)
    browsing.sign_in(alice)
    given = post("assignments", {}).json()["assignment"]
    said = {"assignment_id": given["id"], "rating": 2, "idempotency_key": "once"}
    assert post("comparisons", {**said, "seconds": 80_000}).status_code == 201
    assert comparisons(session)[0].seconds < 60
