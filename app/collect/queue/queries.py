"""What the page about the queue counts: what was answered of late, and what there is to draw."""

import uuid

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.tables.collect import Assignment, Comparison, Pair

# The page says what people were shown of late, and reads no more than this to know it.
LATELY = 5_000


def drawn(session: Session, project_id: uuid.UUID) -> dict[str, int]:
    """How many of the project's last `LATELY` answers came from each part of the mixture."""
    last = (
        select(Comparison.assignment_id)
        .where(Comparison.project_id == project_id)
        .order_by(Comparison.created_at.desc())
        .limit(LATELY)
        .subquery()
    )
    rows = session.execute(
        select(Assignment.draw, func.count())
        .join(last, last.c.assignment_id == Assignment.id)
        .group_by(Assignment.draw)
    )
    return {draw.value: n for draw, n in rows}


def stock(session: Session, project_id: uuid.UUID) -> dict[str, int]:
    """How many gold items and open audit pairs there are to draw."""
    gold = select(func.count()).where(
        Pair.project_id == project_id, Pair.is_gold.is_(True), Pair.is_open.is_(True)
    )
    audit = select(func.count()).where(
        Pair.project_id == project_id,
        Pair.is_audit.is_(True),
        Pair.is_open.is_(True),
        Pair.n_taken < Pair.overlap,
    )
    return {"gold": session.scalar(gold) or 0, "audit": session.scalar(audit) or 0}
