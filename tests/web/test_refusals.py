"""What the application refuses before any page is asked."""

import pytest
from fastapi import Depends
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.main import create_app
from app.settings import get_settings
from app.web.dependencies import SessionDep
from app.web.errors import install_error_handlers
from app.web.headers import GuardedApp
from tests.support import Browsing, make_person, make_project


def test_health_is_ok_while_the_database_answers(client: TestClient) -> None:
    assert client.get("/healthz").text == "ok"


def test_every_response_carries_a_strict_policy_with_its_own_nonce(client: TestClient) -> None:
    first, second = client.get("/healthz"), client.get("/nowhere")
    policies = [r.headers["content-security-policy"] for r in (first, second)]
    assert policies[0] != policies[1]
    for policy in policies:
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
    assert first.headers["x-content-type-options"] == "nosniff"


def test_a_missing_page_is_said_in_words(client: TestClient) -> None:
    response = client.get("/nowhere")
    assert response.status_code == 404
    assert "There is no page at this address." in response.text


def test_the_api_answers_a_missing_page_with_a_json_problem(client: TestClient) -> None:
    response = client.get("/api/v1/nowhere")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == 404


def test_a_post_from_another_site_is_refused(client: TestClient) -> None:
    response = client.post("/sign-out", headers={"sec-fetch-site": "cross-site"})
    assert response.status_code == 403


def test_a_post_with_the_wrong_csrf_token_is_refused(browsing: Browsing, session: Session) -> None:
    browsing.sign_in(make_person(session))
    browsing.csrf_token = "wrong"
    response = browsing.post("/sign-out")
    assert response.status_code == 403
    assert "Reload the page" in response.text


def test_a_failing_commit_is_an_error_and_never_a_200(database: str) -> None:
    app = GuardedApp()
    install_error_handlers(app)

    @app.post("/answers")
    def answer(session: SessionDep) -> str:
        session.execute(
            text(
                "create temp table late (n int unique deferrable initially deferred) on commit drop"
            )
        )
        session.execute(text("insert into late values (1), (1)"))
        return "saved"

    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post("/answers")
    assert response.status_code == 409
    assert '"saved"' not in response.text
    assert "nothing was saved" in response.text


def test_a_mistake_of_ours_is_a_page_with_every_header_and_none_of_its_words(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = GuardedApp()
    install_error_handlers(app)

    @app.get("/broken")
    def broken() -> None:
        raise ValueError("a secret")

    @app.get("/null")
    def null(session: SessionDep) -> None:
        session.execute(text("insert into person (email) values (null)"))

    with TestClient(app, raise_server_exceptions=False) as client:
        for response in (client.get("/broken"), client.get("/null")):
            assert response.status_code == 500
            assert "Something broke" in response.text
            assert "a secret" not in response.text
            assert "default-src 'none'" in response.headers["content-security-policy"]
            assert response.headers["x-content-type-options"] == "nosniff"


def test_a_host_that_is_not_ours_is_refused_with_every_header(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_settings(), "trusted_hosts", "prefloop.example.org")
    with TestClient(create_app()) as client:
        elsewhere = {"host": "elsewhere.example.org"}
        for refused in (
            client.get("/healthz", headers=elsewhere),
            client.post("/projects/garden/collect/answers", headers=elsewhere),
        ):
            assert refused.status_code == 400
            assert refused.text == "Invalid host header"
            assert "content-security-policy" in refused.headers


def test_a_mistyped_address_is_a_missing_page(browsing: Browsing, session: Session) -> None:
    make_project(session)
    browsing.sign_in(make_person(session, is_owner=True))
    for address in ("/projects/garden/datasets/sets/abc", "/projects/garden/flags/abc"):
        missing = browsing.get(address)
        assert missing.status_code == 404
        assert "There is no page at this address." in missing.text


def test_health_answers_those_who_ask_for_the_headers_only(client: TestClient) -> None:
    assert client.head("/healthz").status_code == 200


def test_whoever_has_to_sign_in_first_comes_back_to_the_page_with_its_filters(
    client: TestClient,
) -> None:
    sent = client.get("/audit?action=sign_in&before=9")
    assert sent.headers["location"] == "/sign-in?next=/audit%3Faction%3Dsign_in%26before%3D9"
    assert 'value="/audit?action=sign_in&amp;before=9"' in client.get(sent.headers["location"]).text


def test_scripts_find_every_json_address_described_and_strangers_find_nothing(
    client: TestClient, browsing: Browsing, session: Session
) -> None:
    assert client.get("/api/v1/openapi.json").status_code == 401
    browsing.sign_in(make_person(session))
    paths = browsing.get("/api/v1/openapi.json").json()["paths"]
    assert "/api/v1/projects/{slug}/comparisons" in paths
    assert [path for path in paths if not path.startswith("/api/v1/")] == []


def test_a_refusal_reaches_htmx_as_a_toast_and_swaps_nothing(database: str) -> None:
    app = GuardedApp()
    install_error_handlers(app)

    @app.get("/refused", dependencies=[Depends(lambda: None)])
    def refused() -> None:
        raise Conflict("Someone <b>else</b> was first.")

    with TestClient(app) as client:
        response = client.get("/refused", headers={"HX-Request": "true"})
    assert response.status_code == 409
    assert response.headers["hx-reswap"] == "none"
    assert "Someone &lt;b&gt;else&lt;/b&gt; was first." in response.text
