"""The pair as annotators see it, for pages of this slice that ask for an answer to it."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.collect.flagging import Answers
from app.collect.forms import flag_name
from app.collect.routes.pages import asked_in
from app.collect.sheets import sheet_of
from app.projects.asking import asking_of
from app.projects.queries import current_guidelines
from app.web.access import Access


def sheet_context(
    session: Session,
    access: Access,
    pair_id: uuid.UUID,
    said: Mapping[str, str],
    *,
    is_flipped: bool = False,
) -> dict[str, Any]:
    """`said` is what is answered already, by the names of the page's inputs."""
    return {
        **asked_in(asking_of(session, access.project.id), said),
        "sheet": sheet_of(session, pair_id, is_flipped=is_flipped),
        "guidelines": current_guidelines(session, access.project.id),
    }


def said_of(answers: Answers, *, is_flipped: bool = False) -> dict[str, str]:
    """Flag answers by the names of the page's inputs."""
    return {
        flag_name(flag, side, is_flipped): "na" if value is None else str(value)
        for (flag, side), value in answers.items()
    }
