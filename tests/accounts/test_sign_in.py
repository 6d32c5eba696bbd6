"""Coming in by password, and staying out without one."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.accounts import sign_in
from app.accounts.passwords import check_password
from app.accounts.service import create_person, deactivate
from app.errors import Invalid
from app.tables.accounts import AuditEvent, LoginSession, Person, SignInAttempt, hash_token
from app.web.login import cookie_name
from tests.support import Browsing, log_in, make_person

PASSWORD = "four calm grey geese"


@pytest.fixture
def ada(session: Session) -> Person:
    person = create_person(session, email="Ada@Example.org", name="Ada", password=PASSWORD)
    session.commit()
    return person


def sign_in_as(client: TestClient, email: str, password: str, **more: str) -> int:
    form = {"email": email, "password": password, **more}
    return client.post("/sign-in", data=form).status_code


def test_a_password_signs_in_however_the_address_is_written(
    client: TestClient, ada: Person
) -> None:
    response = client.post("/sign-in", data={"email": " ada@example.ORG", "password": PASSWORD})
    assert response.status_code == 303
    assert response.headers["location"] == "/"
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Ada" in client.get("/account").text


def test_a_stranger_is_sent_to_sign_in_and_back_to_where_they_wanted(
    client: TestClient, ada: Person
) -> None:
    sent = client.get("/account")
    assert sent.headers["location"] == "/sign-in?next=/account"
    assert 'value="/account"' in client.get(sent.headers["location"]).text
    form = {"email": "ada@example.org", "password": PASSWORD, "next": "/account"}
    assert client.post("/sign-in", data=form).headers["location"] == "/account"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example"]
)
def test_signing_in_never_leads_to_another_site(
    client: TestClient, ada: Person, elsewhere: str
) -> None:
    form = {"email": "ada@example.org", "password": PASSWORD, "next": elsewhere}
    assert client.post("/sign-in", data=form).headers["location"] == "/"


def test_an_unknown_address_and_a_wrong_password_get_the_same_answer_and_the_same_work(
    client: TestClient, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[bool] = []
    verify = sign_in.is_password

    def counting(password_hash: str | None, password: str) -> bool:
        looked_at.append(True)
        return verify(password_hash, password)

    monkeypatch.setattr(sign_in, "is_password", counting)
    answers = [
        client.post("/sign-in", data={"email": email, "password": "wrong password"})
        for email in ("ada@example.org", "bob@example.org")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    texts = [answer.text.replace("ada@", "bob@").split("<main")[1] for answer in answers]
    assert texts[0] == texts[1]
    assert len(looked_at) == 2


def test_guessing_is_stopped_for_an_account_even_with_the_right_password(
    client: TestClient, session: Session, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "MOST_PER_ACCOUNT", 2)
    for _ in range(2):
        assert sign_in_as(client, "ada@example.org", "wrong password") == 401
    response = client.post("/sign-in", data={"email": "ADA@example.org", "password": PASSWORD})
    assert response.status_code == 429
    assert "Wait 15 minutes" in response.text
    session.execute(update(SignInAttempt).values(at=SignInAttempt.at - timedelta(minutes=15)))
    session.commit()
    assert sign_in_as(client, "ada@example.org", PASSWORD) == 303


def test_guessing_is_stopped_for_an_address_whatever_accounts_it_tries(
    client: TestClient, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "MOST_PER_ADDRESS", 2)
    tried = [sign_in_as(client, f"{name}@example.org", "a password") for name in "abc"]
    assert tried == [401, 401, 429]


def test_a_success_takes_its_own_attempts_back(
    client: TestClient, session: Session, ada: Person
) -> None:
    assert sign_in_as(client, "ada@example.org", "wrong password") == 401
    assert sign_in_as(client, "ada@example.org", PASSWORD) == 303
    assert session.scalar(select(func.count()).select_from(SignInAttempt)) == 0


def test_the_session_from_before_a_sign_in_is_dead_after_it(
    client: TestClient, session: Session, ada: Person
) -> None:
    old, csrf = log_in(session, make_person(session, "mallory"))
    client.cookies.set(cookie_name(), old, domain="testserver.local")
    assert sign_in_as(client, "ada@example.org", PASSWORD, csrf_token=csrf) == 303
    assert client.cookies[cookie_name()] != old
    found = select(LoginSession).where(LoginSession.token_hash == hash_token(old))
    assert session.scalar(found) is None


def test_signing_out_ends_the_session_on_the_server(browsing: Browsing, session: Session) -> None:
    browsing.sign_in(make_person(session))
    token = browsing.client.cookies[cookie_name()]
    assert browsing.post("/sign-out").status_code == 303
    browsing.client.cookies.set(cookie_name(), token)
    assert browsing.get("/account").status_code == 303


def test_a_deactivated_person_is_out_at_once_and_cannot_come_back(
    client: TestClient, session: Session, ada: Person
) -> None:
    assert sign_in_as(client, "ada@example.org", PASSWORD) == 303
    deactivate(session, ada, by=make_person(session, "owner", is_owner=True))
    session.commit()
    assert client.get("/account").status_code == 303
    client.cookies.clear()
    assert sign_in_as(client, "ada@example.org", PASSWORD) == 401


def test_sign_ins_and_failures_are_in_the_trail_without_what_was_typed(
    client: TestClient, session: Session, ada: Person
) -> None:
    sign_in_as(client, "my secret password", "oops")
    sign_in_as(client, "ada@example.org", PASSWORD)
    events = session.execute(
        select(AuditEvent.action, AuditEvent.subject).where(AuditEvent.action.like("sign_in%"))
    ).all()
    assert [tuple(event) for event in events] == [
        ("sign_in.failed", "unknown account"),
        ("sign_in.succeeded", "Ada@Example.org"),
    ]


@pytest.mark.parametrize(
    "password", ["short 7", "x" * 129, "Password123", "aaaaaaaaaa", "a@b.example"]
)
def test_a_password_that_is_guessed_first_is_refused(password: str) -> None:
    with pytest.raises(Invalid):
        check_password(password, email="a@b.example")


@pytest.mark.parametrize("password", ["8 chars!", "x y" * 42, "пароль из слов", "        ."])
def test_any_composition_from_8_to_128_characters_is_taken(password: str) -> None:
    check_password(password)
