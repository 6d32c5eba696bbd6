"""Accounts, roles, tokens and the trail."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.accounts.groups import add_group, groups_by_person
from app.accounts.passwords import hash_password
from app.accounts.service import change_person, grant_role, remove_member, revoke_role
from app.db import session_scope
from app.errors import Conflict, DomainError
from app.settings import get_settings
from app.tables.accounts import ApiToken, AuditEvent, LoginSession, Membership, Person, Role
from tests.support import Browsing, join, log_in, make_person, make_project

PASSWORD = "four calm grey geese"
STAFF_PAGES = ["settings", "flags", "flags/new", "guidelines/edit", "people", "audit"]


def roles_of(session: Session, person: Person) -> set[Role]:
    session.expire_all()
    found = select(Membership.role).where(Membership.person_id == person.id)
    return set(session.scalars(found))


def test_an_annotator_is_told_that_the_pages_of_staff_are_not_theirs(
    browsing: Browsing, session: Session
) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ANNOTATOR)
    browsing.sign_in(alice)
    for page in STAFF_PAGES:
        response = browsing.get(f"/projects/garden/{page}")
        assert response.status_code == 403, page
        assert "alice" in response.text


def test_a_project_of_others_does_not_exist_for_a_stranger(
    browsing: Browsing, session: Session
) -> None:
    alice = make_person(session)
    join(session, make_project(session, "kitchen"), alice, *Role)
    make_project(session)
    browsing.sign_in(alice)
    for page in ["", "/guidelines", *(f"/{page}" for page in STAFF_PAGES)]:
        assert browsing.get(f"/projects/garden{page}").status_code == 404, page
    assert browsing.post("/projects/garden/settings", {"name": "Mine"}).status_code == 404


def test_only_an_owner_sees_everyone_and_everything(browsing: Browsing, session: Session) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, *Role)
    browsing.sign_in(alice)
    assert browsing.get("/people").status_code == 403
    assert browsing.get("/audit").status_code == 403
    browsing.sign_in(make_person(session, "olga", is_owner=True))
    assert "alice@example.org" in browsing.get("/people").text
    assert browsing.get("/audit").status_code == 200


def test_an_owner_invites_someone_and_gets_a_link_that_lets_them_in(
    browsing: Browsing, session: Session
) -> None:
    make_project(session)
    browsing.sign_in(make_person(session, "olga", is_owner=True))
    form = {"name": "Bob", "email": "bob@example.org", "project": "garden", "roles": ["annotator"]}
    page = browsing.post("/people", form).text
    path = page.split('value="http://testserver')[1].split('"')[0]
    assert browsing.get(path).status_code == 200
    again = browsing.post("/people", {"name": "Bob", "email": "BOB@example.org"})
    assert again.status_code == 409
    assert "here already" in again.text


def test_a_link_to_pass_on_is_https_where_a_proxy_ends_the_tls(
    browsing: Browsing, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_settings(), "is_https", True)
    browsing.sign_in(make_person(session, "olga", is_owner=True))
    token = browsing.client.cookies["__Host-session"]
    invited = browsing.post(
        "/people",
        {"name": "Ada", "email": "ada@example.org"},
        headers={"cookie": f"__Host-session={token}"},
    )
    assert "https://testserver/welcome/" in invited.text


def test_a_deactivated_person_comes_back_when_reactivated(
    browsing: Browsing, session: Session
) -> None:
    bob = make_person(session, "bob")
    olga = make_person(session, "olga", is_owner=True)
    browsing.sign_in(olga)
    browsing.post(f"/people/{bob.id}/deactivate")
    assert "deactivated" in browsing.get("/people").text
    browsing.post(f"/people/{bob.id}/reactivate")
    session.refresh(bob)
    assert bob.is_active
    assert browsing.post(f"/people/{olga.id}/deactivate").status_code == 409


def test_an_admin_adds_members_and_changes_their_roles(
    browsing: Browsing, session: Session
) -> None:
    admin, bob, project = make_person(session), make_person(session, "bob"), make_project(session)
    join(session, project, admin, Role.ADMIN)
    browsing.sign_in(admin)
    people = "/projects/garden/people"
    assert browsing.post(people, {"email": "bob@example.org"}).status_code == 422
    browsing.post(people, {"email": "bob@example.org", "roles": ["annotator"]})
    assert roles_of(session, bob) == {Role.ANNOTATOR}
    browsing.post(f"{people}/{bob.id}/roles", {"roles": ["annotator", "researcher"]})
    assert roles_of(session, bob) == {Role.ANNOTATOR, Role.RESEARCHER}
    browsing.post(f"{people}/{bob.id}/remove")
    assert roles_of(session, bob) == set()
    trail = browsing.get("/projects/garden/audit").text
    assert "role granted" in trail
    assert "role revoked" in trail
    assert (
        "role granted"
        not in browsing.get("/projects/garden/audit?action=role.revoked").text.split("<ol")[1]
    )


def test_an_admin_invites_into_a_group_and_can_withdraw_the_link_before_it_is_used(
    browsing: Browsing, session: Session
) -> None:
    admin, project = make_person(session), make_project(session)
    join(session, project, admin, Role.ADMIN)
    group = add_group(session, project, "Experts", by=admin.id)
    browsing.sign_in(admin)
    people = "/projects/garden/people"
    new = {"name": "Eve", "email": "eve@example.org", "roles": ["annotator"]}
    page = browsing.post(people, {**new, "groups": [str(group.id)]}).text
    link = re.search(r"/welcome/[\w-]+", page)
    assert link
    eve = session.scalars(select(Person).where(Person.email == "eve@example.org")).one()
    assert groups_by_person(session, project.id) == {eve.id: [group]}
    assert "Withdraw the invitation, open until" in browsing.get(people).text
    assert browsing.post(f"{people}/{eve.id}/link/withdrawal").status_code == 303
    assert "Withdraw the invitation" not in browsing.get(people).text
    assert session.scalar(select(AuditEvent).where(AuditEvent.action == "invitation.withdrawn"))
    assert browsing.post(f"{people}/{eve.id}/link/withdrawal").status_code == 409
    assert browsing.get(link.group()).status_code == 404


def test_the_last_admin_stays_unless_an_owner_says_otherwise(session: Session) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ADMIN)
    with pytest.raises(Conflict, match="needs an admin"):
        revoke_role(session, project_id=project.id, person=alice, role=Role.ADMIN, by=alice)
    bob = make_person(session, "bob")
    grant_role(session, project_id=project.id, person=bob, role=Role.ADMIN, by=alice.id)
    revoke_role(session, project_id=project.id, person=alice, role=Role.ADMIN, by=alice)
    olga = make_person(session, "olga", is_owner=True)
    revoke_role(session, project_id=project.id, person=bob, role=Role.ADMIN, by=olga)
    assert roles_of(session, bob) == set()


def test_a_paused_annotator_is_told_so_and_goes_on_when_resumed(
    browsing: Browsing, session: Session
) -> None:
    admin, bob, project = make_person(session), make_person(session, "bob"), make_project(session)
    join(session, project, admin, Role.ADMIN)
    join(session, project, bob, Role.ANNOTATOR)
    browsing.sign_in(admin).post(f"/projects/garden/people/{bob.id}/pause")
    assert "alice paused you here" in browsing.sign_in(bob).get("/").text
    browsing.sign_in(admin).post(f"/projects/garden/people/{bob.id}/resume")
    assert "paused you here" not in browsing.sign_in(bob).get("/").text


def test_a_session_that_its_owner_ends_is_out_at_once(browsing: Browsing, session: Session) -> None:
    alice = make_person(session)
    other, _ = log_in(session, alice)
    other_id = session.scalars(select(LoginSession.id)).one()
    browsing.sign_in(alice).post(f"/account/sessions/{other_id}/end")
    browsing.client.cookies.set("session", other)
    assert browsing.get("/account").status_code == 303


def test_ending_all_other_sessions_is_noted_with_their_number(
    browsing: Browsing, session: Session
) -> None:
    alice = make_person(session)
    log_in(session, alice)
    log_in(session, alice)
    browsing.sign_in(alice)
    for _ in range(2):
        assert browsing.post("/account/sessions/end-others").status_code == 303
    event = session.scalars(select(AuditEvent)).one()
    assert (event.action, event.actor_id) == ("session.others_ended", alice.id)
    assert event.detail == {"sessions": 2}


def test_nobody_ends_the_session_of_someone_else(browsing: Browsing, session: Session) -> None:
    log_in(session, make_person(session, "bob"))
    bobs = session.scalars(select(LoginSession.id)).one()
    browsing.sign_in(make_person(session))
    assert browsing.post(f"/account/sessions/{bobs}/end").status_code == 404


def test_a_new_password_asks_for_the_current_one_and_ends_other_sessions(
    browsing: Browsing, session: Session
) -> None:
    alice = make_person(session)
    alice.password_hash = hash_password("the old password")
    log_in(session, alice)
    browsing.sign_in(alice)
    form = {"current_password": "a wrong one", "password": PASSWORD}
    refused = browsing.post("/account/password", form)
    assert refused.status_code == 403
    assert "This is not your current password." in refused.text
    form["current_password"] = "the old password"
    assert browsing.post("/account/password", form).status_code == 303
    assert len(session.scalars(select(LoginSession)).all()) == 1


def test_two_people_never_share_an_address(browsing: Browsing, session: Session) -> None:
    make_person(session, "bob")
    browsing.sign_in(make_person(session))
    response = browsing.post("/account", {"name": "Alice", "email": "BOB@example.org"})
    assert response.status_code == 409
    assert "Someone else uses this e-mail address." in response.text
    assert 'value="BOB@example.org"' in response.text


def at_once(*deeds: Callable[[Session], object]) -> list[object]:
    """Do each in a transaction of its own, all begun before any ends; what each gave or raised."""
    together = Barrier(len(deeds))

    def one(deed: Callable[[Session], object]) -> object:
        try:
            with session_scope() as own:
                own.execute(text("select 1"))
                together.wait(timeout=10)
                done = deed(own)
                # Long enough for the other to come to the same place.
                own.execute(text("select pg_sleep(0.2)"))
                return done
        except DomainError as refusal:
            return refusal

    with ThreadPoolExecutor(len(deeds)) as pool:
        return list(pool.map(one, deeds))


def test_two_who_take_one_address_at_once_are_one_change_and_one_refusal(session: Session) -> None:
    people = [make_person(session, "alice"), make_person(session, "bob")]
    session.commit()
    taken = at_once(
        *(
            lambda own, id_=person.id: change_person(
                own, own.get_one(Person, id_), name="Eve", email="eve@example.org"
            )
            for person in people
        )
    )
    assert sorted(type(one).__name__ for one in taken) == ["Conflict", "Person"]


def test_a_member_who_is_added_twice_at_once_is_a_member_once(session: Session) -> None:
    alice, project = make_person(session), make_project(session)
    session.commit()
    grant = partial(
        grant_role, project_id=project.id, person=alice, role=Role.ANNOTATOR, by=alice.id
    )
    first, second = at_once(grant, grant)
    assert isinstance(first, Membership)
    assert isinstance(second, Membership)
    assert first.id == second.id
    events = select(AuditEvent.action).where(AuditEvent.action == "role.granted")
    assert len(session.scalars(events).all()) == 1


def test_a_member_who_is_removed_twice_at_once_is_gone_without_a_word(session: Session) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ANNOTATOR)
    session.commit()
    remove = partial(remove_member, project_id=project.id, person=alice, by=alice)
    assert at_once(remove, remove) == [None, None]
    assert roles_of(session, alice) == set()
    events = select(AuditEvent.action).where(AuditEvent.action == "role.revoked")
    assert len(session.scalars(events).all()) == 1


def test_an_invitation_into_a_project_that_is_gone_is_refused_and_invites_nobody(
    browsing: Browsing, session: Session
) -> None:
    browsing.sign_in(make_person(session, "olga", is_owner=True))
    form = {"name": "Ada", "email": "ada@example.org", "project": "gone", "roles": "annotator"}
    refused = browsing.post("/people", form)
    assert refused.status_code == 422
    assert "There is no such project any more." in refused.text
    assert 'value="ada@example.org"' in refused.text
    assert session.scalars(select(Person.name)).all() == ["olga"]


def test_a_token_is_shown_once_and_works_until_it_is_revoked(
    browsing: Browsing, session: Session
) -> None:
    alice = make_person(session)
    join(session, make_project(session), alice, Role.RESEARCHER)
    browsing.sign_in(alice)
    form = {"token_name": "Nightly", "days": "30", "is_read_only": "true"}
    page = browsing.post("/account/tokens", form).text
    secret = page.split('id="secret" value="')[1].split('"')[0]
    assert secret not in browsing.get("/account").text
    header = {"authorization": f"Bearer {secret}"}
    assert browsing.get("/api/v1/projects", headers=header).json()[0]["slug"] == "garden"
    refused = browsing.client.post("/api/v1/projects", headers=header)
    assert refused.status_code in (403, 405)
    token = session.scalars(select(ApiToken)).one()
    browsing.post(f"/account/tokens/{token.id}/revoke")
    assert browsing.get("/api/v1/projects", headers=header).status_code == 401


def test_an_expired_token_is_refused(browsing: Browsing, session: Session) -> None:
    browsing.sign_in(make_person(session))
    page = browsing.post("/account/tokens", {"token_name": "Old", "days": "1"}).text
    secret = page.split('id="secret" value="')[1].split('"')[0]
    session.execute(update(ApiToken).values(expires_at=ApiToken.expires_at - timedelta(days=2)))
    session.commit()
    header = {"authorization": f"Bearer {secret}"}
    assert browsing.get("/api/v1/projects", headers=header).status_code == 401


@pytest.mark.parametrize("days", ["0", "367", "soon", "-1", ""])
def test_a_token_without_a_sensible_life_is_refused_in_words(
    browsing: Browsing, session: Session, days: str
) -> None:
    browsing.sign_in(make_person(session))
    response = browsing.post("/account/tokens", {"token_name": "Nightly", "days": days})
    assert response.status_code == 422
    assert 'id="days-error"' in response.text
    assert 'value="Nightly"' in response.text


@pytest.mark.parametrize(
    "change",
    ["update audit_event set action = 'x'", "delete from audit_event", "truncate audit_event"],
)
def test_the_database_refuses_to_change_the_trail(session: Session, change: str) -> None:
    record_event(session, "project.created", subject="Garden")
    with pytest.raises(ProgrammingError, match="append-only"):
        session.execute(text(change))


def test_the_trail_is_read_page_by_page_from_the_newest(
    browsing: Browsing, session: Session
) -> None:
    for number in range(60):
        record_event(session, "thing.done", subject=f"number {number:02}")
    browsing.sign_in(make_person(session, "olga", is_owner=True))
    first = browsing.get("/audit?action=thing.done").text
    assert "number 59" in first
    assert "number 05" not in first
    older = first.split("before=")[1].split('"')[0]
    second = browsing.get(f"/audit?action=thing.done&before={older}").text
    assert "number 09" in second
    assert "number 10" not in second
