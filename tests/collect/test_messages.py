"""Messages: who may write to whom, about what, and that nobody else reads or counts them."""

import uuid

import pytest
from sqlalchemy import delete, event, select
from sqlalchemy.orm import Session

from app.collect.messages.queries import n_unread, threads_of
from app.collect.messages.service import send
from app.db import get_engine
from app.errors import Forbidden, Invalid, NotFound
from app.tables.accounts import Membership, Person, Role
from app.tables.home import Message
from app.tables.projects import Project
from tests.collect.worlds import answer, make_world
from tests.support import Browsing, join, make_person, make_project

Team = tuple[Project, Person, Person, Person]


@pytest.fixture
def team(session: Session) -> Team:
    """A project, alice and bob who answer, ruth who runs it."""
    project, (alice, bob) = make_world(session, "alice", "bob")
    ruth = make_person(session, "ruth")
    join(session, project, ruth, Role.ADMIN)
    session.commit()
    return project, alice, bob, ruth


def write(session: Session, team: Team, body: str = "Look again, please.") -> Message:
    project, alice, _, ruth = team
    (sent,) = send(session, project, sender=ruth, is_staff=True, to=[alice.id], body=body)
    session.commit()
    return sent


def test_staff_write_to_many_and_each_answers_alone(
    session: Session, browsing: Browsing, team: Team
) -> None:
    _, alice, bob, ruth = team
    url = "/projects/garden/messages"
    browsing.sign_in(ruth)
    chosen = f"{url}/new?to={alice.id}&to={bob.id}&to={ruth.id}"
    page = browsing.get(chosen).text
    assert (page.count('name="to"'), str(ruth.id) in page) == (2, False)
    to = [str(alice.id), str(bob.id)]
    assert browsing.post(url, {"to": to, "body": ""}).status_code == 422
    assert browsing.post(url, {"to": to, "body": "**Hello** <b>all</b>"}).status_code == 303
    browsing.sign_in(alice)
    assert 'title="Unread">1<' in browsing.get("/").text
    assert "1 new" in browsing.get("/messages").text
    thread = browsing.get(f"{url}/{ruth.id}").text
    assert "<strong>Hello</strong> &lt;b&gt;all&lt;/b&gt;" in thread
    assert 'title="Unread"' not in browsing.get("/").text
    assert browsing.post(f"{url}/{ruth.id}", {"body": "Thanks"}).status_code == 303
    rows = threads_of(session, ruth.id)
    assert [(row.other, row.n_unread) for row in rows] == [("alice", 1), ("bob", 0)]


def test_who_does_not_run_the_project_answers_but_does_not_begin(
    session: Session, team: Team
) -> None:
    project, alice, bob, ruth = team
    for other in (ruth, bob):
        with pytest.raises(Forbidden, match="once they have written"):
            send(session, project, sender=alice, is_staff=False, to=[other.id], body="Hello")
    write(session, team)
    send(session, project, sender=alice, is_staff=False, to=[ruth.id], body="Hello")
    assert n_unread(session, ruth.id) == 1


def test_a_message_is_about_an_answer_of_its_reader_or_none(session: Session, team: Team) -> None:
    project, alice, bob, ruth = team
    hers = answer(session, project, alice).id

    def about(to: list[uuid.UUID], comparison_id: uuid.UUID) -> list[Message]:
        return send(
            session,
            project,
            sender=ruth,
            is_staff=True,
            to=to,
            body="Why?",
            comparison_id=comparison_id,
        )

    with pytest.raises(NotFound, match="no such answer"):
        about([bob.id], hers)
    with pytest.raises(NotFound, match="no such answer"):
        about([alice.id], uuid.uuid4())
    with pytest.raises(Invalid, match="goes to one person"):
        about([alice.id, bob.id], hers)
    (sent,) = about([alice.id], hers)
    assert sent.comparison_id == hers


def test_the_answer_is_a_link_for_its_author_and_the_pair_one_for_staff(
    session: Session, browsing: Browsing, team: Team
) -> None:
    project, alice, _, ruth = team
    hers = answer(session, project, alice)
    url = "/projects/garden/messages"
    browsing.sign_in(ruth)
    assert "rating 3" in browsing.get(f"{url}/new?to={alice.id}").text
    form = {"to": str(alice.id), "body": "Why?", "about": str(hers.id)}
    assert browsing.post(url, form).headers["location"] == f"{url}/{alice.id}"
    assert f"/agree/verdicts/{hers.pair_id}" in browsing.get(f"{url}/{alice.id}").text
    page = browsing.sign_in(alice).get(f"{url}/{ruth.id}").text
    assert f"/collect/answers/{hers.id}" in page
    reply = {"body": "Because", "about": str(hers.id)}
    assert browsing.post(f"{url}/{ruth.id}", reply).status_code == 303
    session.rollback()
    said = session.scalars(select(Message).where(Message.sender_id == alice.id)).one()
    assert said.comparison_id == hers.id


@pytest.mark.parametrize("body", ["", " \n ", "a\x00b", "x" * 10_001, "\ud800"])
def test_what_cannot_be_kept_is_refused(session: Session, team: Team, body: str) -> None:
    project, alice, _, ruth = team
    with pytest.raises(Invalid):
        send(session, project, sender=ruth, is_staff=True, to=[alice.id], body=body)


def test_strangers_and_people_who_left_are_not_reached_and_reach_nobody(
    session: Session, browsing: Browsing, team: Team
) -> None:
    project, alice, bob, ruth = team
    stranger = make_person(session, "sam")
    write(session, team)
    for to in ([stranger.id], [], [ruth.id]):
        with pytest.raises((NotFound, Invalid)):
            send(session, project, sender=ruth, is_staff=True, to=to, body="Hello")
    url = f"/projects/garden/messages/{ruth.id}"
    assert browsing.sign_in(bob).get(url).status_code == 404
    assert browsing.sign_in(stranger).get(url).status_code == 404
    assert browsing.sign_in(bob).get("/projects/garden/messages/new").status_code == 403
    session.execute(delete(Membership).where(Membership.person_id == alice.id))
    session.commit()
    assert n_unread(session, alice.id) == 0
    browsing.sign_in(alice)
    assert browsing.get(url).status_code == 404
    assert "No messages" in browsing.get("/messages").text
    browsing.sign_in(ruth)
    mine = f"/projects/garden/messages/{alice.id}"
    assert "not in the project any more" in browsing.get(mine).text
    assert browsing.post(mine, {"body": "Still there?"}).status_code == 404


def test_a_thread_belongs_to_one_project(session: Session, browsing: Browsing, team: Team) -> None:
    _, alice, _, ruth = team
    meadow = make_project(session, "meadow")
    join(session, meadow, alice, Role.ANNOTATOR)
    join(session, meadow, ruth, Role.ADMIN)
    write(session, team, "Only in garden.")
    browsing.sign_in(alice)
    assert browsing.get(f"/projects/meadow/messages/{ruth.id}").status_code == 404
    assert "Only in garden." in browsing.get("/messages").text


def test_a_piece_of_a_page_counts_no_messages(browsing: Browsing, team: Team) -> None:
    _, alice, _, _ = team
    browsing.sign_in(alice)
    asked: list[str] = []

    def note(*given: object) -> None:
        asked.append(str(given[2]))

    event.listen(get_engine(), "before_cursor_execute", note)
    page = browsing.get("/projects/garden/collect").text
    assert any("from message m" in one for one in asked)
    asked.clear()
    found = page.split('name="assignment_id" value="')[1][:36]
    form = {"assignment_id": found, "idempotency_key": "one", "rating": "3"}
    url = "/projects/garden/collect/answers"
    assert browsing.post(url, form, headers={"HX-Request": "true"}).status_code == 200
    assert not any("from message m" in one for one in asked)
