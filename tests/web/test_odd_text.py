"""Text that no database keeps, in every place that takes text: a sentence, never a broken page."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.accounts.tokens import create_api_token
from tests.support import Browsing, make_person, make_project

NUL = "a\0b"
PROJECT = {
    "name": NUL, "slug": NUL, "objective": "helpfulness", "question": NUL, "low_end": NUL,
    "high_end": NUL,
}  # fmt: skip
FLAG = {
    "label": NUL, "key": NUL, "help_text": NUL, "options": NUL, "shortcut": NUL,
    "scope": "completion", "kind": "yes_no_na", "polarity": "good",
}  # fmt: skip
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("/sign-in", {"email": NUL, "password": "x"}),
    ("/sign-in", {"email": "a@example.org", "password": NUL}),
    ("/account", {"name": NUL, "email": "a@example.org"}),
    ("/account", {"name": "Ada", "email": f"{NUL}@example.org"}),
    ("/account/password", {"current_password": NUL, "password": "long enough a password"}),
    ("/account/tokens", {"token_name": NUL, "days": "9"}),
    ("/account/tokens", {"token_name": "x", "days": NUL}),
    ("/people", {"name": "Ada", "email": NUL}),
    ("/people", {"name": NUL, "email": "ada@example.org"}),
    ("/people", {"name": "Ada", "email": "ada@example.org", "project": NUL}),
    ("/welcome/a%00b", {"name": NUL}),
    ("/projects/new", PROJECT),
    ("/projects/garden/settings", PROJECT),
    ("/projects/garden/people", {"name": "Ada", "email": NUL, "roles": "annotator"}),
    ("/projects/garden/guidelines", {"markdown": NUL, "change_note": "x"}),
    ("/projects/garden/guidelines", {"markdown": "Be kind.", "change_note": NUL}),
    ("/projects/garden/flags", FLAG),
    ("/projects/garden/flags", {**FLAG, "label": "Kind", "key": "kind", "help_text": NUL}),
    ("/projects/garden/flags/presets/a%00b", {}),
    ("/projects/garden/collect/answers", {"assignment_id": NUL, "comment": NUL}),
]
ADDRESSES = [
    "/projects/%00", "/api/v1/projects/a%00b", "/api/v1/projects/a%00b/assignments",
    "/audit?action=%00", "/projects/garden/audit?action=a%00b", "/sign-in?next=/%00",
    "/projects/garden/datasets/prompts?q=%00", "/projects/garden/collect/history?q=%00",
    "/projects/garden/collect/history?page=99999999999999999999", "/static/%00", "/welcome/%00",
    "/projects/garden/people/%00", "/%00",
]  # fmt: skip


@pytest.fixture
def owner(session: Session, browsing: Browsing) -> Browsing:
    make_project(session)
    return browsing.sign_in(make_person(session, is_owner=True))


@pytest.mark.parametrize(("path", "form"), FORMS)
def test_a_nul_in_a_form_is_refused_in_words_or_left_out(
    owner: Browsing, path: str, form: dict[str, Any]
) -> None:
    assert owner.post(path, form).status_code in (200, 303, 401, 404, 422)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_nul_in_an_address_leads_to_no_page(owner: Browsing, address: str) -> None:
    assert owner.get(address).status_code in (200, 303, 404, 405, 422)


def test_a_name_that_no_project_can_have_is_a_missing_page(owner: Browsing) -> None:
    for address in ("/projects/%00", "/api/v1/projects/a%00b"):
        assert owner.get(address).status_code == 404


def test_a_nul_in_json_is_a_problem_in_words(
    client: TestClient, session: Session, owner: Browsing
) -> None:
    rita = make_person(session, "rita", is_owner=True)
    _, secret = create_api_token(session, rita, name="x", days=1)
    session.commit()
    body = {"assignment_id": NUL, "rating": 2, "idempotency_key": NUL, "comment": NUL}
    refused = client.post(
        "/api/v1/projects/garden/comparisons",
        json=body,
        headers={"authorization": f"Bearer {secret}"},
    )
    assert refused.status_code in (404, 422)
    assert refused.headers["content-type"] == "application/problem+json"


def test_what_cannot_be_kept_is_said_as_such(owner: Browsing) -> None:
    refused = owner.post("/account/tokens", {"token_name": NUL, "days": "9"})
    assert refused.status_code == 422
    assert "character" in refused.text


def test_an_origin_that_is_no_address_is_refused(client: TestClient) -> None:
    del client.headers["sec-fetch-site"]
    refused = client.post("/sign-out", headers={"origin": "http://["})
    assert refused.status_code == 403
