"""What an annotator may see: a pair without its authors, and the annotator's own answers."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session, aliased

from app.collect.rerender import render_pair_anew
from app.markdown import RENDERER
from app.tables.collect import Comparison, ComparisonRevision, Completion, Pair, Prompt


@dataclass(frozen=True)
class Side:
    """One completion as an annotator may see it: its text as HTML, and nothing about its author."""

    name: str
    html: str


@dataclass(frozen=True)
class Sheet:
    """What the compare page shows of one pair; `left` and `right` are in the order shown."""

    roles: tuple[str, ...]
    html: tuple[str, ...]
    left: Side
    right: Side


_A, _B = aliased(Completion), aliased(Completion)
# Built once: building them would take longer than the database takes to answer.
_SHEET = (
    select(
        Prompt.messages,
        Prompt.html,
        _A.html.label("a"),
        _B.html.label("b"),
        func.least(Prompt.renderer, _A.renderer, _B.renderer).label("renderer"),
    )
    .select_from(Pair)
    .join(Prompt, Prompt.id == Pair.prompt_id)
    .join(_A, _A.id == Pair.completion_a_id)
    .join(_B, _B.id == Pair.completion_b_id)
    .where(Pair.id == bindparam("pair"))
)
_N_SINCE = select(func.count()).where(
    Comparison.annotator_id == bindparam("annotator"),
    Comparison.created_at >= bindparam("since"),
    Comparison.project_id == bindparam("project"),
)


def sheet_of(session: Session, pair_id: uuid.UUID, *, is_flipped: bool) -> Sheet:
    row = session.execute(_SHEET, {"pair": pair_id}).one()
    if row.renderer < RENDERER:
        render_pair_anew(session, pair_id)
        row = session.execute(_SHEET, {"pair": pair_id}).one()
    left, right = (row.b, row.a) if is_flipped else (row.a, row.b)
    roles = tuple(message["role"] for message in row.messages)
    return Sheet(roles, tuple(row.html), Side("A", left), Side("B", right))


def last_comparison(
    session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID
) -> Comparison | None:
    return session.scalar(
        select(Comparison)
        .where(Comparison.annotator_id == annotator_id, Comparison.project_id == project_id)
        .order_by(Comparison.created_at.desc())
        .limit(1)
    )


def comparison_of(session: Session, assignment_id: uuid.UUID) -> uuid.UUID | None:
    """The id of the answer that ended an assignment, or None."""
    return session.scalar(select(Comparison.id).where(Comparison.assignment_id == assignment_id))


def earlier_versions(session: Session, comparison_id: uuid.UUID) -> Sequence[ComparisonRevision]:
    """What an answer said before each of its changes, newest first."""
    return session.scalars(
        select(ComparisonRevision)
        .where(ComparisonRevision.comparison_id == comparison_id)
        .order_by(ComparisonRevision.revision.desc())
    ).all()


def texts_of(
    session: Session, pair_id: uuid.UUID, *, is_flipped: bool
) -> tuple[list[dict[str, str]], str, str]:
    """The conversation, and the texts of the two completions in the order shown."""
    a, b = aliased(Completion), aliased(Completion)
    row = session.execute(
        select(Prompt.messages, a.text.label("a"), b.text.label("b"))
        .select_from(Pair)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .join(a, a.id == Pair.completion_a_id)
        .join(b, b.id == Pair.completion_b_id)
        .where(Pair.id == pair_id)
    ).one()
    return (row.messages, row.b, row.a) if is_flipped else (row.messages, row.a, row.b)


def n_since(
    session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID, since: datetime
) -> int:
    """How many answers the annotator has given since then."""
    values = {"annotator": annotator_id, "since": since, "project": project_id}
    return session.scalar(_N_SINCE, values) or 0
