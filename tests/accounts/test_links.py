"""Links that sign someone in once."""

from datetime import timedelta

from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.accounts.links import make_invitation
from app.accounts.service import create_person, invite, make_owner_link, make_sign_in_link
from app.tables.accounts import AuditEvent, OneTimeLink, Person, Role
from tests.support import Browsing, join, make_person, make_project

PASSWORD = "four calm grey geese"


def owner_link(session: Session) -> str:
    path = make_owner_link(session)
    session.commit()
    assert path is not None
    return path


def test_the_first_owner_comes_in_by_a_link_and_chooses_name_address_and_password(
    client: TestClient, session: Session
) -> None:
    path = owner_link(session)
    assert "Welcome to Prefloop" in client.get(path).text
    form = {"name": "Ada Lovelace", "email": "ada@example.org", "password": PASSWORD}
    assert client.post(path, data=form).status_code == 303
    page = client.get("/").text
    assert "Make your first project" in page
    assert "Ada Lovelace" in page
    assert make_owner_link(session) is None


def test_a_link_works_once(client: TestClient, session: Session) -> None:
    path = owner_link(session)
    assert client.post(path).status_code == 303
    client.cookies.clear()
    second = client.post(path)
    assert second.status_code == 404
    assert "has been used" in second.text


def test_a_preview_of_a_link_does_not_spend_it(client: TestClient, session: Session) -> None:
    path = owner_link(session)
    for _ in range(3):
        assert client.get(path).status_code == 200
    assert client.post(path).status_code == 303


def test_an_expired_link_does_not_work(client: TestClient, session: Session) -> None:
    path = owner_link(session)
    session.execute(
        update(OneTimeLink).values(expires_at=OneTimeLink.expires_at - timedelta(hours=25))
    )
    session.commit()
    assert client.get(path).status_code == 404
    assert client.post(path).status_code == 404


def test_a_new_start_replaces_the_link_that_nobody_used(
    client: TestClient, session: Session
) -> None:
    first, second = owner_link(session), owner_link(session)
    assert client.get(first).status_code == 404
    assert client.get(second).status_code == 200
    assert len(session.scalars(select(Person)).all()) == 1


def test_an_owner_who_came_in_but_chose_no_password_gets_a_link_at_the_next_start(
    client: TestClient, session: Session
) -> None:
    assert client.post(owner_link(session)).status_code == 303
    client.cookies.clear()
    assert client.post(owner_link(session)).status_code == 303


def test_a_refused_password_leaves_the_link_unspent_and_the_name_as_typed(
    client: TestClient, session: Session
) -> None:
    path = owner_link(session)
    response = client.post(path, data={"name": "Ada", "password": "short"})
    assert response.status_code == 422
    assert "Use at least 8 characters." in response.text
    assert 'value="Ada"' in response.text
    assert client.post(path, data={"password": PASSWORD}).status_code == 303


def test_an_invited_person_must_choose_a_password(client: TestClient, session: Session) -> None:
    owner, project = make_person(session, "olga", is_owner=True), make_project(session)
    _, path = invite(
        session,
        email="bob@example.org",
        name="Bob",
        invited_by=owner,
        project_id=project.id,
        roles=[Role.ANNOTATOR],
    )
    session.commit()
    assert path is not None
    assert client.post(path).status_code == 422
    assert client.post(path, data={"password": PASSWORD}).status_code == 303
    assert "Garden" in client.get("/").text


def test_a_lost_password_is_replaced_by_a_link_and_the_old_one_is_dead(
    client: TestClient, session: Session
) -> None:
    create_person(session, email="ada@example.org", name="Ada", password="the old password")
    path = make_sign_in_link(session, "ADA@example.org")
    session.commit()
    made = session.scalars(select(AuditEvent).where(AuditEvent.action == "link.made")).one()
    assert (made.subject, made.address) == ("ada@example.org", "command line")
    assert client.post(path, data={"password": PASSWORD}).status_code == 303
    client.cookies.clear()
    for password, status in (("the old password", 401), (PASSWORD, 303)):
        form = {"email": "ada@example.org", "password": password}
        assert client.post("/sign-in", data=form).status_code == status


def test_an_admin_cannot_make_a_link_into_the_account_of_someone_from_another_project(
    browsing: Browsing, session: Session
) -> None:
    admin, bob = make_person(session, "alice"), make_person(session, "bob")
    garden, kitchen = make_project(session), make_project(session, "kitchen")
    join(session, garden, admin, Role.ADMIN)
    join(session, garden, bob, Role.ANNOTATOR)
    link = f"/projects/garden/people/{bob.id}/link"
    assert "/welcome/" in browsing.sign_in(admin).post(link).text
    join(session, kitchen, bob, Role.ANNOTATOR)
    session.commit()
    assert browsing.post(link).status_code == 403


def test_an_admin_cannot_make_a_link_into_the_account_of_someone_in_a_project_they_do_not_run(
    browsing: Browsing, session: Session
) -> None:
    admin, bob = make_person(session, "alice"), make_person(session, "bob")
    garden, kitchen = make_project(session), make_project(session, "kitchen")
    join(session, garden, admin, Role.ADMIN)
    join(session, kitchen, admin, Role.ANNOTATOR)
    join(session, garden, bob, Role.ANNOTATOR)
    join(session, kitchen, bob, Role.ADMIN)
    session.commit()
    link = f"/projects/garden/people/{bob.id}/link"
    assert browsing.sign_in(admin).post(link).status_code == 403
    join(session, kitchen, admin, Role.ADMIN)
    session.commit()
    assert "/welcome/" in browsing.post(link).text


def test_nobody_signs_in_as_a_simulated_person(browsing: Browsing, session: Session) -> None:
    owner, robot = make_person(session, "olga", is_owner=True), make_person(session, "robot")
    path = make_invitation(session, robot, owner.id)
    robot.is_simulated = True
    session.commit()
    response = browsing.sign_in(owner).post(f"/people/{robot.id}/link")
    assert response.status_code == 403
    assert "is simulated" in response.text
    browsing.client.cookies.clear()
    assert browsing.client.get(path).status_code == 404
    assert browsing.client.post(path, data={"password": PASSWORD}).status_code == 404
