"""Bodies are cut off at a limit, whoever sends them and however they are announced."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.types import Message

from app.main import create_app
from app.settings import get_settings
from app.tables.accounts import Role
from app.tables.datasets import Import
from app.web.bodies import MOST_BYTES
from tests.support import Browsing, join, make_person, make_project

PIECE = 2**18
MORE = 30 * 2**20
FORM = "multipart/form-data; boundary=x"
PART = b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'


def send_slowly(
    app: FastAPI, path: str, content_type: str, *, announced: int = 0, cookie: str = ""
) -> tuple[int, int]:
    """Send up to 30 MB in pieces, with no browser between. Returns the status and bytes taken."""
    taken, status = 0, 0
    headers = [(b"host", b"localhost"), (b"content-type", content_type.encode())]
    if announced:
        headers.append((b"content-length", str(announced).encode()))
    if cookie:
        headers.append((b"cookie", cookie.encode()))

    async def receive() -> Message:
        nonlocal taken
        piece = PART if not taken else b"a" * PIECE
        taken += len(piece)
        return {"type": "http.request", "body": piece, "more_body": taken < MORE}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
        "method": "POST", "scheme": "http", "path": path, "raw_path": path.encode(),
        "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("localhost", 80),
    }  # fmt: skip
    # In a thread of its own: a browser test before us leaves an event loop in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(app(scope, receive, send))).result()
    return status, taken


PLACES = [
    ("/sign-in", FORM),
    ("/sign-in", "application/x-www-form-urlencoded"),
    ("/projects/nope/collect/answers", FORM),
    ("/projects/nope/collect/answers", "application/x-www-form-urlencoded"),
    ("/projects/nope/datasets/imports", FORM),
    ("/api/v1/projects/nope/imports", FORM),
    ("/api/v1/projects/nope/imports", "application/jsonl"),
    ("/api/v1/projects/nope/comparisons", "application/json"),
]


@pytest.mark.parametrize(("path", "content_type"), PLACES)
def test_a_strangers_endless_body_is_not_read_to_its_end(
    database: str, path: str, content_type: str
) -> None:
    status, taken = send_slowly(create_app(), path, content_type)
    assert status in (303, 400, 401, 413)
    assert taken <= MOST_BYTES + PIECE


@pytest.mark.parametrize(("path", "content_type"), PLACES)
def test_a_body_that_announces_itself_too_large_is_not_read_at_all(
    database: str, path: str, content_type: str
) -> None:
    status, taken = send_slowly(create_app(), path, content_type, announced=2**40)
    assert status in (303, 400, 401, 413)
    assert taken == 0


def test_a_made_up_cookie_opens_no_upload(database: str) -> None:
    status, taken = send_slowly(
        create_app(), "/projects/nope/datasets/imports", FORM, cookie="session=guessed"
    )
    assert (status, taken) == (303, 0)


@pytest.fixture
def garden(session: Session, browsing: Browsing) -> str:
    """The address of a project's imports, with its researcher signed in."""
    project, rita = make_project(session), make_person(session, "rita")
    join(session, project, rita, Role.RESEARCHER)
    browsing.sign_in(rita)
    return "/projects/garden/datasets/imports"


def test_a_member_may_send_a_file_that_is_larger_than_any_form(
    browsing: Browsing, session: Session, garden: str
) -> None:
    lines = b'{"prompt": "Why?", "completions": ["a", "b"]}\n' + b"\n" * (MOST_BYTES + 1)
    sent = browsing.post(garden, files={"file": ("large.jsonl", lines)})
    assert sent.status_code == 303
    assert session.scalars(select(Import.n_pairs)).all() == [1]


def test_a_file_beyond_the_setting_is_refused_in_words_and_leaves_nothing(
    browsing: Browsing, session: Session, garden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_settings(), "max_upload_bytes", 100)
    little_more = browsing.post(garden, files={"file": ("f", b"x" * 200)})
    far_more = browsing.post(garden, files={"file": ("f", b"x" * 2 * MOST_BYTES)})
    assert (little_more.status_code, far_more.status_code) == (413, 413)
    assert "Pack it with gzip" in little_more.text
    assert "packed with gzip" in far_more.text
    assert session.scalar(select(func.count()).select_from(Import)) == 0


def test_too_long_a_form_is_refused_in_words(client: TestClient) -> None:
    refused = client.post("/sign-in", data={"email": "a" * (MOST_BYTES + 1)})
    assert refused.status_code == 413
    assert "this server accepts" in refused.text
    problem = client.post("/api/v1/projects/x/imports", content=b"a" * (MOST_BYTES + 1))
    assert problem.status_code in (401, 413)
    assert problem.headers["content-type"] == "application/problem+json"
