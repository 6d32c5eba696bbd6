"""A case on which the guidelines failed, as the start of a section of theirs."""

import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.tables.adjudication import Adjudication
from app.tables.collect import Pair, Prompt
from app.tables.projects import Project

LONGEST_QUOTE = 600
LONGEST_TITLE = 60


def with_case(
    session: Session, project: Project, markdown: str, case: uuid.UUID
) -> tuple[str, str]:
    """The guidelines with the case at their end, and what changed. Raises NotFound."""
    found = session.execute(
        select(Adjudication.note, Prompt.messages)
        .join(Pair, Pair.id == Adjudication.pair_id)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .where(Adjudication.id == case, Adjudication.project_id == project.id)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such decision in this project.")
    asked = found.messages[-1]["content"] if found.messages else ""
    title = " ".join(asked.split())[:LONGEST_TITLE]
    quote = "\n".join(f"> {line}" for line in asked[:LONGEST_QUOTE].splitlines())
    section = f"## Example: {title}\n\n{quote}\n\n{found.note}\n"
    return f"{markdown.rstrip()}\n\n{section}".lstrip(), f"After a decision: {found.note}"[:300]
