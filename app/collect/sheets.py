"""What an annotator may see: a pair without its authors, and the annotator's own answers."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session, aliased

from app.collect.queries import Lease
from app.collect.rerender import render_pair_anew
from app.collect.slots import AHEAD
from app.db import Statement
from app.markdown import RENDERER
from app.projects.remaining import LEFT, LEFT_FROM, MANY, has_plenty, left_of
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


_SHEET_OF = """
    -- The words themselves are for those who look for them.
    jsonb_path_query_array(q.messages, '$[*].role') as roles, q.html, a.html as a, b.html as b,
    least(q.renderer, a.renderer, b.renderer) as renderer
from pair shown
join prompt q on q.id = shown.prompt_id
join completion a on a.id = shown.completion_a_id
join completion b on b.id = shown.completion_b_id
where shown.id = :pair
"""
_SHEET = Statement(f"select {_SHEET_OF}")
_N_SINCE = """
    select count(*) from comparison c
    where c.annotator_id = :annotator and c.project_id = :project and c.created_at >= :since
"""
_DESK = Statement(f"with {LEFT_FROM} select {LEFT}, ({_N_SINCE}) as recent, {_SHEET_OF}")
_BUSY_DESK = Statement(f"select ({_N_SINCE}) as recent, {_SHEET_OF}")


@dataclass(frozen=True)
class Desk:
    """One pair, how many answers its annotator gave lately, and how many are left to give."""

    sheet: Sheet
    recent: int
    left: int


def sheet_of(session: Session, pair_id: uuid.UUID, *, is_flipped: bool) -> Sheet:
    row = _rendered(session, _SHEET, {"pair": pair_id})
    return _sheet(row, is_flipped)


def desk_of(session: Session, lease: Lease, since: datetime) -> Desk:
    """What the compare page shows with a leased pair, in one statement or, at times, two."""
    who = {"project": lease.project_id, "annotator": lease.annotator_id, "pair": lease.pair_id}
    values = {**who, "since": since, "slot": lease.slot}
    if has_plenty(session, lease.project_id):
        row, left = _rendered(session, _BUSY_DESK, values), MANY + 1
    else:
        row = _rendered(session, _DESK, values)
        left = left_of(session, lease.project_id, lease.annotator_id, row.n_left, row.n_looked)
    # Once a pair that was leased ahead is seen, the one before it has been answered.
    return Desk(_sheet(row, lease.is_flipped), row.recent + int(lease.slot == AHEAD), left)


def _rendered(session: Session, statement: Statement, values: dict[str, Any]) -> Any:
    row = statement.one(session, values)
    if row.renderer >= RENDERER:
        return row
    render_pair_anew(session, values["pair"])
    return statement.one(session, values)


def _sheet(row: Any, is_flipped: bool) -> Sheet:
    left, right = (row.b, row.a) if is_flipped else (row.a, row.b)
    return Sheet(tuple(row.roles), tuple(row.html), Side("A", left), Side("B", right))


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
    return session.scalar(text(_N_SINCE), values) or 0
