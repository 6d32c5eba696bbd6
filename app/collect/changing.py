"""Whether an answer may still be changed, and what is kept of what it said before."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.flagging import Answers
from app.tables.adjudication import Rework
from app.tables.base import utc_now
from app.tables.collect import Comparison, ComparisonRevision
from app.tables.gold import GoldItem
from app.tables.kinds import RankingComparison, Rewrite
from app.tables.projects import Project

# A gold item is told of when it is retired, or the answer to it is this old.
TOLD_AFTER = timedelta(days=1)


@dataclass(frozen=True)
class Source:
    """What a comparison follows from: one of the two."""

    ranking_id: uuid.UUID | None = None
    comparison_id: uuid.UUID | None = None


def why_unchangeable(session: Session, project: Project, comparison: Comparison) -> str:
    """A sentence where this answer can no longer be changed, or nothing."""
    if project.is_gold_told and _is_told(session, comparison):
        return (
            "You have been told what the researchers answer here, so your answer stands as you "
            "gave it."
        )
    if follows_from(session, comparison.id) is not None:
        return (
            "This follows from another answer of yours. Change that one, and this changes with it."
        )
    refusal = after_window(project, comparison.created_at)
    return "" if refusal and is_sent_back(session, comparison) else refusal


def after_window(project: Project, answered_at: datetime) -> str:
    """A sentence where the project's time for changes to such an answer has passed."""
    hours = project.undo_hours
    if hours is None or utc_now() - answered_at < timedelta(hours=hours):
        return ""
    if hours == 0:
        return "In this project an answer stands as it was given. Tell an admin if one is wrong."
    window = "an hour" if hours == 1 else f"{hours:,} hours"
    return (
        f"In this project an answer can be changed for {window}, and this one is older. "
        "It stands as it is; tell an admin if it is wrong."
    )


def follows_from(session: Session, comparison_id: uuid.UUID) -> Source | None:
    """The ranking that a comparison came from, or the comparison that was rewritten; or None."""
    ranking = session.get(RankingComparison, comparison_id)
    if ranking is not None:
        return Source(ranking_id=ranking.ranking_id)
    rewritten = select(Rewrite.comparison_id).where(Rewrite.derived_comparison_id == comparison_id)
    source_id = session.scalar(rewritten)
    return None if source_id is None else Source(comparison_id=source_id)


def keep_version(
    session: Session, comparison: Comparison, answers: Answers | None = None
) -> ComparisonRevision:
    """Keep what an answer says, with its `answers` to flags, before it says something else."""
    version = ComparisonRevision(
        comparison_id=comparison.id,
        revision=comparison.revision,
        rating=comparison.rating,
        is_about_equal=comparison.is_about_equal,
        is_both_bad=comparison.is_both_bad,
        confidence=comparison.confidence,
        comment=comparison.comment,
        flags=[
            {"flag_id": str(flag_id), "side": side, "value": value}
            for (flag_id, side), value in (answers or {}).items()
        ],
        created_at=comparison.updated_at,
    )
    session.add(version)
    comparison.revision += 1
    comparison.updated_at = utc_now()
    return version


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
