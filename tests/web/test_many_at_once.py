"""More requests at once than there are threads and connections."""

import asyncio
import os
import threading
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import text

from app import db
from app.settings import get_settings
from app.web.dependencies import SessionDep

N = 90


def test_requests_wait_for_their_turn_and_never_for_each_other(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PREFLOOP_POOL_SIZE", "2")
    for cached in (get_settings, db.get_engine, db.get_session_factory):
        cached.cache_clear()

    app = FastAPI()

    def look(session: SessionDep) -> None:
        session.execute(text("select 1"))

    @app.get("/")
    def page(session: SessionDep, _: Annotated[None, Depends(look)]) -> None:
        session.execute(text("select 1"))

    async def ask_all() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            asked = (client.get("/") for _ in range(N))
            return [response.status_code for response in await asyncio.gather(*asked)]

    statuses: list[int] = []
    # In a thread of its own: a browser test before us leaves an event loop in this one.
    thread = threading.Thread(target=lambda: statuses.extend(asyncio.run(ask_all())))
    thread.start()
    thread.join(timeout=20)
    assert not thread.is_alive(), "they wait for each other"
    assert statuses == [200] * N
