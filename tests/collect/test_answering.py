"""The request that takes an answer looks after login, CSRF and permission by itself."""

import threading
from datetime import timedelta

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.db import get_engine
from app.main import create_app
from app.tables.accounts import LoginSession, Membership, Person, Role
from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.projects import Flag, Project
from app.tables.work import ControlTime
from tests.collect.test_pages import URL, fields
from tests.collect.worlds import broken_rules, make_flag, make_world
from tests.support import Browsing, join, make_person

HTMX = {"HX-Request": "true"}


@pytest.fixture
def form(session: Session, browsing: Browsing) -> dict[str, str]:
    """What alice would send."""
    _, (alice,) = make_world(session, "alice")
    return {**fields(browsing.sign_in(alice).get(URL)), "rating": "3"}


def send(browsing: Browsing, form: dict[str, str]) -> httpx.Response:
    return browsing.post(f"{URL}/answers", form, headers=HTMX)


def n_answers(session: Session) -> int:
    session.rollback()
    return len(session.scalars(select(Comparison.id)).all())


def test_whoever_is_signed_out_is_told_so(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    session.execute(update(LoginSession).values(expires_at=utc_now() - timedelta(seconds=1)))
    session.commit()
    assert send(browsing, form).status_code == 401
    session.execute(
        update(LoginSession).values(
            expires_at=utc_now() + timedelta(days=1), last_seen_at=utc_now() - timedelta(days=15)
        )
    )
    session.commit()
    assert send(browsing, form).status_code == 401
    browsing.client.cookies.clear()
    assert send(browsing, form).status_code == 401
    assert browsing.post(f"{URL}/answers", form).headers["location"] == "/sign-in?next=/"
    assert n_answers(session) == 0


def test_a_person_who_was_switched_off_is_signed_out(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    session.execute(update(Person).values(is_active=False))
    session.commit()
    assert send(browsing, form).status_code == 401


def test_who_left_the_project_is_a_stranger_and_who_may_not_answer_is_told_the_role(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    session.execute(update(Membership).values(role=Role.RESEARCHER))
    session.commit()
    refused = send(browsing, form)
    assert (refused.status_code, "needs the role annotator" in refused.text) == (403, True)
    session.execute(text("delete from membership"))
    session.commit()
    assert send(browsing, form).status_code == 404
    assert n_answers(session) == 0


def test_an_owner_may_answer_without_a_membership(session: Session, browsing: Browsing) -> None:
    make_world(session)
    browsing.sign_in(make_person(session, "olga", is_owner=True))
    form = {**fields(browsing.get(URL)), "rating": "3"}
    assert send(browsing, form).status_code == 200
    assert n_answers(session) == 1


def test_an_assignment_of_another_project_is_not_there(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    other, _ = make_world(session, slug="other")
    join(session, other, session.scalars(select(Person)).one(), Role.ANNOTATOR)
    session.commit()
    address = "/projects/other/collect/answers"
    assert browsing.post(address, form, headers=HTMX).status_code == 404
    assert n_answers(session) == 0


@pytest.mark.parametrize(
    "headers", [{"x-csrf-token": "wrong"}, {"sec-fetch-site": "cross-site"}, {"x-csrf-token": ""}]
)
def test_a_forged_answer_is_refused(
    session: Session, browsing: Browsing, form: dict[str, str], headers: dict[str, str]
) -> None:
    assert browsing.post(f"{URL}/answers", form, headers=headers).status_code == 403
    assert n_answers(session) == 0


def test_an_answer_may_come_as_a_multipart_form_too(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    parts = {name: (None, value) for name, value in form.items()}
    response = browsing.client.post(f"{URL}/answers", files=parts, headers=HTMX)
    assert response.status_code == 200
    assert n_answers(session) == 1


def test_a_form_with_a_thousand_fields_is_refused_in_words(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    refused = send(browsing, {**form, **{f"field-{n}": "x" for n in range(1001)}})
    assert (refused.status_code, "more fields" in refused.text) == (422, True)


def test_the_use_of_the_login_is_noted(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    long_ago = utc_now() - timedelta(hours=1)
    session.execute(update(LoginSession).values(last_seen_at=long_ago))
    session.commit()
    assert send(browsing, form).status_code == 200
    session.rollback()
    assert session.scalars(select(LoginSession.last_seen_at)).one() > long_ago + timedelta(hours=1)


def test_what_is_asked_changes_with_the_next_pair_whoever_changed_it(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    project = session.scalars(select(Project)).one()
    flag = make_flag(session, project, "Mentions a number")
    shown = send(browsing, form)
    assert "Mentions a number" in shown.text
    # By hand, in the database: nothing of ours is told.
    with get_engine().begin() as other:
        other.execute(update(Flag).values(label="Names a number"))
        other.execute(update(Project).values(question="Which is calmer?"))
    shown = send(browsing, {**fields(shown), "rating": "3", f"flag.{flag.id}.left": "1"})
    assert "Names a number" in shown.text
    assert "Mentions a number" not in shown.text
    assert "Which is calmer?" in shown.text


def test_flags_and_times_are_kept_with_the_answer_in_the_frame_of_a_and_b(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    form |= {"seconds": "0.03", "times": "left:0.02,comment:0.01", "confidence": "4"}
    assert send(browsing, form).status_code == 200
    said = session.scalars(select(Comparison)).one()
    times = {(one.control, one.side): one.seconds for one in session.scalars(select(ControlTime))}
    left = "B" if said.is_flipped else "A"
    assert {(str(control), side) for control, side in times} == {
        ("completion", left), ("comment", None),
    }  # fmt: skip
    assert sum(times.values()) <= said.seconds + 1e-9
    assert (said.confidence, said.guideline_version_id) == (4, None)


def test_a_double_click_is_one_answer_and_both_requests_get_the_next_pair(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    barrier, got = threading.Barrier(2), []

    def click() -> None:
        barrier.wait()
        got.append(send(browsing, form))

    clicks = [threading.Thread(target=click) for _ in range(2)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    assert [response.status_code for response in got] == [200, 200]
    assert len({fields(response)["assignment_id"] for response in got}) == 1
    assert n_answers(session) == 1
    assert broken_rules(session) == []


def test_what_breaks_while_an_answer_is_taken_is_said_as_everywhere(
    session: Session, browsing: Browsing, form: dict[str, str]
) -> None:
    session.execute(text("alter table comparison rename column comment to said"))
    session.commit()
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        client.cookies = browsing.client.cookies
        broken = client.post(f"{URL}/answers", data=form, headers=HTMX)
    assert broken.status_code == 500
    assert "Something broke" in broken.text
    assert broken.headers["hx-reswap"] == "none"
    assert len(broken.headers.get_list("content-security-policy")) == 1
