"""Stored HTML of an older renderer, written anew from the text it came from.

The page that shows a text does it for that text; `prefloop render` does it for all of them.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from app.markdown import RENDERER, render_markdown
from app.tables.collect import Completion, Pair, Prompt
from app.tables.projects import GuidelineVersion

BATCH = 200


def render_pair_anew(session: Session, pair_id: uuid.UUID) -> None:
    """Bring what one pair shows up to the renderer of today; flushes."""
    pair = session.get_one(Pair, pair_id)
    _prompts(session, [pair.prompt_id])
    # In one order for everyone, so that two pages never wait for each other.
    _completions(session, sorted((pair.completion_a_id, pair.completion_b_id)))


def render_prompt_anew(
    session: Session, prompt_id: uuid.UUID, completion_ids: Sequence[uuid.UUID]
) -> None:
    """The same for what a page of another kind of feedback shows; flushes."""
    _prompts(session, [prompt_id])
    _completions(session, sorted(completion_ids))


def render_some_anew(session: Session) -> int:
    """Up to BATCH prompts and as many completions; returns how many there were. Flushes."""
    prompts = _old(session, Prompt)
    completions = _old(session, Completion)
    _prompts(session, prompts)
    _completions(session, completions)
    return len(prompts) + len(completions)


def render_guidelines_anew(session: Session) -> None:
    """Every version of every project's guidelines: they are few and know no renderer."""
    for version in session.scalars(select(GuidelineVersion).order_by(GuidelineVersion.id)):
        version.html = render_markdown(version.markdown)
    session.flush()


def _old(session: Session, table: type[Prompt] | type[Completion]) -> list[uuid.UUID]:
    old = select(table.id).where(table.renderer < RENDERER).order_by(table.id).limit(BATCH)
    return list(session.scalars(old.with_for_update(skip_locked=True)))


def _prompts(session: Session, ids: list[uuid.UUID]) -> None:
    found = session.execute(select(Prompt.id, Prompt.messages).where(Prompt.id.in_(ids)))
    _write(
        session,
        Prompt,
        {one.id: [render_markdown(turn["content"]) for turn in one.messages] for one in found},
    )


def _completions(session: Session, ids: list[uuid.UUID]) -> None:
    found = session.execute(select(Completion.id, Completion.text).where(Completion.id.in_(ids)))
    _write(session, Completion, {one.id: render_markdown(one.text) for one in found})


def _write(
    session: Session,
    table: type[Prompt] | type[Completion],
    html: dict[uuid.UUID, str] | dict[uuid.UUID, list[str]],
) -> None:
    if not html:
        return
    statement = (
        update(table)
        .where(table.id == bindparam("which"), table.renderer < RENDERER)
        .values(html=bindparam("anew"), renderer=RENDERER)
    )
    rows = [{"which": key, "anew": html[key]} for key in sorted(html)]
    session.connection().execute(statement, rows)
