"""Whether an answer may still be changed: the hours, what was sent back, what was told."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.tables.adjudication import Rework
from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.gold import GoldItem
from app.tables.projects import Project

# A gold item is told of when it is retired, or the answer to it is this old.
TOLD_AFTER = timedelta(days=1)


def why_unchangeable(session: Session, project: Project, comparison: Comparison) -> str:
    """A sentence where this answer can no longer be changed, or nothing."""
    if project.is_gold_told and _is_told(session, comparison):
        return (
            "You have been told what the researchers answer here, so your answer stands as you "
            "gave it."
        )
    hours = project.undo_hours
    if hours is None or utc_now() - comparison.created_at < timedelta(hours=hours):
        return ""
    if is_sent_back(session, comparison):
        return ""
    if hours == 0:
        return "In this project an answer stands as it was given. Tell an admin if one is wrong."
    window = "an hour" if hours == 1 else f"{hours:,} hours"
    return (
        f"In this project an answer can be changed for {window}, and this one is older. "
        "It stands as it is; tell an admin if it is wrong."
    )


def is_sent_back(session: Session, comparison: Comparison) -> bool:
    """Whether somebody asked for another answer, and the annotator has not changed it since."""
    asked = select(Rework.id).where(
        Rework.comparison_id == comparison.id, Rework.created_at > comparison.updated_at
    )
    return session.scalar(asked.limit(1)) is not None


def _is_told(session: Session, comparison: Comparison) -> bool:
    item = session.scalar(select(GoldItem).where(GoldItem.pair_id == comparison.pair_id))
    return item is not None and (
        item.retired_at is not None or utc_now() - comparison.created_at > TOLD_AFTER
    )
