"""Feedback of other kinds than a comparison: rankings, ratings, rewrites, demonstrations, spans.

Each kind has its own columns. What it says about two completions is written as a comparison too,
so that preference sets and training read one table.
"""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum
from app.tables.collect import AssignmentState


class PromptKind(StrEnum):
    """What is asked about a whole prompt, on a page of its own."""

    RANK = "rank"
    RATE = "rate"
    DEMONSTRATE = "demonstrate"


class PromptAssignment(Base):
    """A prompt leased to one annotator for one kind of feedback, with the order shown."""

    __tablename__ = "prompt_assignment"
    __table_args__ = (
        UniqueConstraint("prompt_id", "annotator_id", "kind"),
        CheckConstraint("seconds >= 0", name="seconds_not_negative"),
        Index(
            "uq_prompt_assignment_live",
            "annotator_id",
            "project_id",
            "kind",
            unique=True,
            postgresql_where=text("state = 'leased'"),
        ),
        Index("ix_prompt_assignment_state", "project_id", "kind", "state", "lease_until"),
        Index(
            "ix_prompt_assignment_done",
            "annotator_id",
            "project_id",
            "ended_at",
            postgresql_where=text("state = 'done'"),
        ),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    prompt_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("prompt.id", ondelete="CASCADE"))
    annotator_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    kind: Mapped[PromptKind] = mapped_column(text_enum(PromptKind))
    state: Mapped[AssignmentState] = mapped_column(
        text_enum(AssignmentState), default=AssignmentState.LEASED, server_default="leased"
    )
    # The completions in the order shown, the first on top; empty where none are.
    shown: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Uuid), server_default="{}")
    guideline_version_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("guideline_version.id")
    )
    seconds: Mapped[float | None]
    comment: Mapped[str] = mapped_column(default="", server_default="")
    skip_reason: Mapped[str] = mapped_column(default="", server_default="")
    # Finished after the lease had gone to others and the overlap was full: kept, not counted.
    is_surplus: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    lease_until: Mapped[datetime]
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    changed_at: Mapped[datetime | None]


class PromptRevision(Base):
    """What an answer about a prompt said before its annotator changed it.

    `choices` holds ranks or ratings by completion and is never counted, so it may be JSON;
    `completion_id` is the demonstration that stood.
    """

    __tablename__ = "prompt_revision"
    __table_args__ = (UniqueConstraint("assignment_id", "revision"),)

    id: Mapped[Id]
    assignment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("prompt_assignment.id", ondelete="CASCADE")
    )
    revision: Mapped[int]
    choices: Mapped[dict[str, Any]] = mapped_column(JSONB)
    completion_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("completion.id", ondelete="CASCADE"), index=True
    )
    comment: Mapped[str]
    created_at: Mapped[datetime]


class RankedCompletion(Base):
    """One place of a ranking: 1 is best, equal ranks are ties. The assignment is the ranking."""

    __tablename__ = "ranked_completion"
    __table_args__ = (CheckConstraint("rank >= 1", name="rank_from_one"),)

    ranking_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("prompt_assignment.id", ondelete="CASCADE"), primary_key=True
    )
    completion_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("completion.id", ondelete="CASCADE"), primary_key=True
    )
    rank: Mapped[int]


class RankingComparison(Base):
    """A comparison that follows from a ranking, so that nobody takes it for one that was asked."""

    __tablename__ = "ranking_comparison"

    comparison_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("comparison.id", ondelete="CASCADE"), primary_key=True
    )
    ranking_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("prompt_assignment.id", ondelete="CASCADE"), index=True
    )


class CompletionRating(Base):
    """One annotator's rating of one completion by itself, 1 (terrible) to 7 (almost perfect)."""

    __tablename__ = "completion_rating"
    __table_args__ = (CheckConstraint("rating between 1 and 7", name="rating_range"),)

    assignment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("prompt_assignment.id", ondelete="CASCADE"), primary_key=True
    )
    completion_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("completion.id", ondelete="CASCADE"), primary_key=True
    )
    rating: Mapped[int]


class Demonstration(Base):
    """An answer that an annotator wrote to a prompt; its text is the completion's."""

    __tablename__ = "demonstration"

    assignment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("prompt_assignment.id", ondelete="CASCADE"), primary_key=True
    )
    completion_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("completion.id", ondelete="CASCADE"), index=True
    )


class Rewrite(Base):
    """The better answer of a comparison, made better still: edited above chosen above rejected."""

    __tablename__ = "rewrite"

    comparison_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("comparison.id", ondelete="CASCADE"), primary_key=True
    )
    chosen_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("completion.id", ondelete="CASCADE"))
    rejected_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("completion.id", ondelete="CASCADE"))
    edited_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("completion.id", ondelete="CASCADE"))
    # The comparison that says edited above chosen; none where these two were compared before.
    derived_comparison_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("comparison.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[CreatedAt]


class SpanReason(StrEnum):
    WRONG = "wrong"
    UNSUPPORTED = "unsupported"
    HARMFUL = "harmful"
    OFF_TASK = "off_task"
    UNCLEAR = "unclear"
    GOOD = "good"


class Span(Base):
    """A marked part of a completion's raw text: characters from `start` up to `stop`."""

    __tablename__ = "span"
    __table_args__ = (
        UniqueConstraint("comparison_id", "completion_id", "start"),
        CheckConstraint("start >= 0 and stop > start", name="has_length"),
    )

    id: Mapped[Id]
    comparison_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("comparison.id", ondelete="CASCADE")
    )
    completion_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("completion.id", ondelete="CASCADE"), index=True
    )
    start: Mapped[int]
    stop: Mapped[int]
    reason: Mapped[SpanReason] = mapped_column(text_enum(SpanReason))
    note: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[CreatedAt]
