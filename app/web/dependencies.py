"""What a route may ask for: the request's session, who is signed in, and what they may do."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.orm import Session

from app.db import session_scope


def get_session() -> Iterator[Session]:
    with session_scope() as session:
        yield session


# scope="function": with FastAPI's default the dependency would exit after the response has gone,
# so the client would be told 200 while a failing commit loses the comparison.
SessionDep = Annotated[Session, Depends(get_session, scope="function")]
