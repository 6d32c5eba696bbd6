"""What a route may ask for: the request's session, who is signed in, and what they may do."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated
from weakref import WeakKeyDictionary

from fastapi import Depends
from sqlalchemy.orm import Session

from app.db import session_scope

# How many requests hold a session at once. Each needs a thread again and again and keeps its
# connection between; were all threads (40) with those who wait for a connection, nobody would ever
# give one back.
SEATS = 20

_seats: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def take_seat() -> AsyncIterator[None]:
    """A coroutine, unlike all but one of our dependencies: whoever waits here holds no thread."""
    async with _seats.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(SEATS)):
        yield


def get_session(
    _: Annotated[None, Depends(take_seat, scope="function")],
) -> Iterator[Session]:
    with session_scope() as session:
        yield session


# scope="function": with FastAPI's default the dependency would exit after the response has gone,
# so the client would be told 200 while a failing commit loses the comparison.
SessionDep = Annotated[Session, Depends(get_session, scope="function")]
