"""What the application refuses before any page is asked."""

from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.web.dependencies import SessionDep
from app.web.errors import install_error_handlers
from app.web.headers import SecurityHeaders
from tests.support import Browsing, make_person


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
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(SecurityHeaders)

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
    assert response.status_code == 500
    assert "saved" not in response.text


def test_a_refusal_reaches_htmx_as_a_toast_and_swaps_nothing(database: str) -> None:
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(SecurityHeaders)

    @app.get("/refused", dependencies=[Depends(lambda: None)])
    def refused() -> None:
        raise Conflict("Someone <b>else</b> was first.")

    with TestClient(app) as client:
        response = client.get("/refused", headers={"HX-Request": "true"})
    assert response.status_code == 409
    assert response.headers["hx-reswap"] == "none"
    assert "Someone &lt;b&gt;else&lt;/b&gt; was first." in response.text
