"""The data pages and the JSON interface, over HTTP."""

import gzip
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.collect.intake import add_prompts
from app.db import session_scope
from app.settings import get_settings
from app.tables.accounts import ApiToken, AuditEvent, Person, Role, hash_token
from app.tables.base import utc_now
from app.tables.collect import Prompt
from app.tables.datasets import Import, ImportState
from app.tables.projects import Project
from tests.datasets.support import add_pairs, answer, answer_flag, line, make_flag, prompt_in
from tests.support import Browsing, join, make_person, make_project

BASE = "/projects/garden/datasets"
API = "/api/v1/projects/garden"
GOOD = line(prompt="Why?", completions=["one", {"text": "two", "source": "model-x"}])


@pytest.fixture
def project(session: Session) -> Project:
    project = make_project(session)
    session.commit()
    return project


@pytest.fixture
def rita(session: Session, project: Project) -> Person:
    rita = make_person(session, "rita")
    join(session, project, rita, Role.RESEARCHER)
    session.commit()
    return rita


@pytest.fixture
def bearer(session: Session, rita: Person) -> dict[str, str]:
    token = secrets.token_urlsafe(16)
    session.add(
        ApiToken(
            person_id=rita.id,
            name="script",
            prefix=token[:6],
            token_hash=hash_token(token),
            expires_at=utc_now() + timedelta(hours=1),
        )
    )
    session.commit()
    return {"authorization": f"Bearer {token}"}


def test_an_empty_project_says_what_to_do(browsing: Browsing, rita: Person) -> None:
    browsing.sign_in(rita)
    page = browsing.get(BASE).text
    assert "Nothing frozen yet" in page
    assert "Nothing has been imported yet" in page
    assert "How a line looks" in page
    assert "No prompts yet" in browsing.get(f"{BASE}/prompts").text


def test_annotators_do_not_see_the_data(
    browsing: Browsing, session: Session, project: Project
) -> None:
    ann = make_person(session, "ann")
    join(session, project, ann, Role.ANNOTATOR)
    browsing.sign_in(ann)
    assert browsing.get(BASE).status_code == 403
    assert browsing.post(f"{BASE}/sets").status_code == 403
    assert browsing.post(f"{BASE}/imports", files={"file": ("x", GOOD)}).status_code == 403


def test_a_file_comes_in_by_the_page_and_its_page_says_how_it_went(
    browsing: Browsing, session: Session, rita: Person
) -> None:
    browsing.sign_in(rita)
    sent = browsing.post(f"{BASE}/imports", files={"file": ("prompts.jsonl", GOOD)})
    assert sent.status_code == 303
    done = session.scalars(select(Import)).one()
    assert (done.state, done.n_pairs, done.created_by) == (ImportState.FINISHED, 1, rita.id)
    assert "New pairs" in browsing.get(sent.headers["location"]).text
    assert "prompts.jsonl" in browsing.get(BASE).text

    sent = browsing.post(f"{BASE}/imports", files={"file": ("bad.jsonl", GOOD + b"oops")})
    page = browsing.get(sent.headers["location"]).text
    assert "Nothing was imported." in page
    assert "Line 2 is not JSON" in page
    events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    ends = ["import.started", "import.finished", "import.started", "import.failed"]
    assert [event.action for event in events] == ends
    assert {event.actor_id for event in events} == {rita.id}
    assert "Line 2 is not JSON" in events[3].detail["error"]


def test_a_forged_upload_and_one_without_a_file_are_refused(
    browsing: Browsing, session: Session, rita: Person
) -> None:
    browsing.sign_in(rita)
    assert browsing.post(f"{BASE}/imports").status_code == 422
    forged = browsing.client.post(f"{BASE}/imports", files={"file": ("x", GOOD)})
    assert forged.status_code == 403
    assert session.scalar(select(Import)) is None


def test_a_running_import_asks_again_each_second_and_a_finished_one_does_not(
    browsing: Browsing, session: Session, project: Project, rita: Person
) -> None:
    row = Import(project_id=project.id, file_name="f", n_bytes=1000, n_bytes_done=400, n_lines=7)
    session.add(row)
    browsing.sign_in(rita)
    for url in (f"{BASE}/imports/{row.id}", BASE):
        piece = browsing.get(url, headers={"HX-Request": "true"}).text
        assert piece.strip().startswith('<div id="live"')
        assert 'hx-trigger="every 1s"' in piece
        assert "7 lines" in piece
    row.state = ImportState.FINISHED
    row.finished_at = utc_now()
    session.commit()
    for url in (f"{BASE}/imports/{row.id}", BASE):
        assert "hx-trigger" not in browsing.get(url, headers={"HX-Request": "true"}).text


def test_freezing_shows_the_set_and_hands_out_its_lines(
    browsing: Browsing, session: Session, project: Project, rita: Person
) -> None:
    flag = make_flag(session, project)
    for number, pair in enumerate(add_pairs(session, project, 12)):
        comparison = answer(session, pair, rita, rating=1 + number % 8, comment="<b>so</b>")
        answer_flag(session, comparison, flag, 0, pair.completion_a_id)
    browsing.sign_in(rita)
    assert "Freeze 12 new answers" in browsing.get(BASE).text

    frozen = browsing.post(f"{BASE}/sets")
    again = browsing.post(f"{BASE}/sets")

    assert frozen.status_code == 303
    assert again.status_code == 409
    assert "since preference set 1" in again.text
    page = browsing.get(frozen.headers["location"]).text
    assert "load_dataset" in page
    assert "accurate" in page
    assert "rita" not in page.replace("/account", "").split("<main")[1]
    sent = browsing.get(frozen.headers["location"] + "/export.jsonl")
    assert sent.headers["content-disposition"] == (
        'attachment; filename="garden-preferences-1.jsonl"'
    )
    assert sha256(sent.content).hexdigest() in page
    assert len(sent.content.splitlines()) == 12
    odd = browsing.get(frozen.headers["location"] + "/export.jsonl?split=odd")
    assert odd.status_code == 422
    assert browsing.get(BASE).text.count("Set 1") >= 1


def test_prompts_can_be_searched_and_paged_and_show_their_answers(
    browsing: Browsing, session: Session, project: Project, rita: Person
) -> None:
    pairs = add_pairs(session, project, 30, metadata={"note": "<script>"})
    answer(session, pairs[0], rita, comment="<b>bold</b>")
    browsing.sign_in(rita)

    first = browsing.get(f"{BASE}/prompts").text
    assert "Page 1 of 2" in first
    assert "There is no such page" in browsing.get(f"{BASE}/prompts?page=9").text
    assert "Question 17?" in browsing.get(f"{BASE}/prompts?q=good 17").text
    for words in ("100%", "_", "\\", "'", "\0", "Nothing like it"):
        found = browsing.get(f"{BASE}/prompts", params={"q": words})
        assert found.status_code == 200
        assert words == "\0" or "Nothing found" in found.text
    page = browsing.get(f"{BASE}/prompts/{pairs[0].prompt_id}").text
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<script>" not in page.split("<main")[1]


def test_the_search_reads_what_was_said_and_not_how_it_is_stored(
    browsing: Browsing, session: Session, project: Project, rita: Person
) -> None:
    add_prompts(session, project, [prompt_in('Say "hi" to\nZoë \\o/', "a", "b")])
    browsing.sign_in(rita)
    for words, is_found in {
        '"hi"': True, "Zoë": True, "\\o/": True, "say": True,
        "role": False, "user": False, "content": False, "[{": False, '",': False, "\\n": False,
    }.items():  # fmt: skip
        page = browsing.get(f"{BASE}/prompts", params={"q": words}).text
        assert ("Nothing found" not in page) is is_found, words


def test_what_belongs_to_another_project_does_not_exist_here(
    browsing: Browsing, session: Session, project: Project, rita: Person
) -> None:
    other = make_project(session, "meadow")
    (pair,) = add_pairs(session, other, 1)
    row = Import(project_id=other.id, file_name="f")
    session.add(row)
    session.flush()
    browsing.sign_in(rita)
    for path in (f"prompts/{pair.prompt_id}", f"imports/{row.id}", f"sets/{row.id}"):
        assert browsing.get(f"{BASE}/{path}").status_code == 404
    assert browsing.get("/projects/meadow/datasets").status_code == 404


def test_a_script_imports_freezes_and_exports_with_a_token(
    client: TestClient, session: Session, project: Project, rita: Person, bearer: dict[str, str]
) -> None:
    body = client.post(f"{API}/imports", content=gzip.compress(GOOD), headers=bearer)
    assert body.status_code == 201
    assert body.json()["n_pairs"] == 1
    form = client.post(f"{API}/imports", files={"file": ("more.jsonl", GOOD)}, headers=bearer)
    assert (form.status_code, form.json()["file_name"]) == (201, "more.jsonl")
    assert form.json()["n_completions"] == 0
    single = line(prompt="Alone?")
    assert client.post(f"{API}/imports", content=single, headers=bearer).status_code == 422
    allowed = client.post(f"{API}/imports?allow_single=true", content=single, headers=bearer)
    assert allowed.status_code == 201

    for pair in add_pairs(session, project, 4):
        answer(session, pair, rita)
    session.commit()
    frozen = client.post(f"{API}/preference-sets", headers=bearer)
    assert frozen.status_code == 201
    assert client.post(f"{API}/preference-sets", headers=bearer).status_code == 409
    (listed,) = client.get(f"{API}/preference-sets", headers=bearer).json()
    assert listed == frozen.json()
    url = f"{API}/preference-sets/{listed['id']}/export.jsonl"
    lines = client.get(url, headers=bearer).content
    assert sha256(lines).hexdigest() == listed["content_hash"]
    held_out = client.get(f"{url}?split=eval", headers=bearer).content.splitlines()
    assert [json.loads(one)["split"] for one in held_out] == ["eval"] * listed["n_eval"]
    assert {one["state"] for one in client.get(f"{API}/imports", headers=bearer).json()} == {
        "finished",
        "failed",
    }


def test_a_refused_body_is_a_problem_with_line_and_field(
    client: TestClient, session: Session, project: Project, bearer: dict[str, str]
) -> None:
    bad = GOOD + line(prompt="How?", completions=["one", " "])
    refused = client.post(f"{API}/imports", content=bad, headers=bearer)
    assert refused.status_code == 422
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert (problem["line"], problem["field"]) == (2, "completions[1].text")
    assert "is empty" in problem["detail"]
    assert session.scalar(select(Prompt)) is None


def test_a_token_that_imports_can_ask_how_far_it_is_and_be_revoked_meanwhile(
    client: TestClient, session: Session, project: Project, rita: Person, bearer: dict[str, str]
) -> None:
    # Nobody may write prompts as long as this holds, so the import stands still.
    session.execute(text("lock table prompt in exclusive mode"))
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(client.post, f"{API}/imports", content=GOOD, headers=bearer)
        try:
            while not (found := _poll(pool, client, bearer)):
                assert not slow.done()
            assert found[0]["state"] == "running"
            with session_scope() as other:
                other.execute(text("set local lock_timeout = '2s'"))
                other.execute(update(ApiToken).values(revoked_at=utc_now()))
                sleeping = "select count(*) from pg_stat_activity where state like 'idle in t%'"
                here = " and datname = current_database() and pid <> pg_backend_pid()"
                # This test's own lock, and the import that shows its progress.
                assert other.scalar(text(sleeping + here)) <= 2
        finally:
            session.rollback()
        assert slow.result(timeout=10).status_code == 201


def _poll(
    pool: ThreadPoolExecutor, client: TestClient, bearer: dict[str, str]
) -> list[dict[str, str]]:
    asked = pool.submit(client.get, f"{API}/imports", headers=bearer)
    try:
        return asked.result(timeout=5).json()
    except TimeoutError:
        pytest.fail("The import keeps its own token from asking.")


def test_a_use_is_noted_once_in_a_while(
    client: TestClient, session: Session, bearer: dict[str, str]
) -> None:
    used = select(ApiToken.last_used_at)
    assert session.scalar(used) is None
    client.get(f"{API}/imports", headers=bearer)
    session.rollback()
    first = session.scalar(used)
    assert first is not None
    client.get(f"{API}/imports", headers=bearer)
    session.rollback()
    assert session.scalar(used) == first


def test_nobody_elses_body_is_taken_and_none_that_is_too_large(
    client: TestClient, project: Project, bearer: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.post(f"{API}/imports", content=GOOD).status_code == 401
    wrong = {"authorization": "Bearer wrong"}
    assert client.post(f"{API}/imports", content=GOOD, headers=wrong).status_code == 401
    assert client.post("/api/v1/projects/x/imports", content=GOOD, headers=bearer).is_client_error
    monkeypatch.setattr(get_settings(), "max_upload_bytes", 10)
    assert client.post(f"{API}/imports", content=GOOD, headers=bearer).status_code == 413
    form = client.post(f"{API}/imports", files={"file": ("f", GOOD)}, headers=bearer)
    assert form.status_code == 413


def test_the_browsers_script_uses_nothing_that_the_policy_forbids() -> None:
    script = Path("static/js/upload.js").read_text(encoding="utf-8")
    assert not [word for word in ("innerHTML", "eval(", "DOMParser") if word in script]


def test_freezing_importing_and_exporting_by_a_script_are_each_noted_once(
    browsing: Browsing, session: Session, project: Project, rita: Person, bearer: dict[str, str]
) -> None:
    answer(session, add_pairs(session, project, 1)[0], rita)
    session.commit()
    client = browsing.client
    assert client.post(f"{API}/imports", content=GOOD, headers=bearer).status_code == 201
    frozen = client.post(f"{API}/preference-sets", headers=bearer).json()
    url = f"{API}/preference-sets/{frozen['id']}/export.jsonl"
    assert client.get(url, headers=bearer).status_code == 200
    events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert [event.action for event in events] == [
        *("import.started", "import.finished"),
        *("preference_set.frozen", "preference_set.exported"),
    ]
    assert {event.actor_id for event in events} == {rita.id}
    assert all(event.address for event in events)
