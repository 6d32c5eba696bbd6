"""Conversations with the live policy: an annotator writes, it answers twice, one answer goes on.

A turn stores what it cannot read elsewhere. How its reply stands is its job's state; what was
answered is the comparison's.
"""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum


class ConversationState(StrEnum):
    OPEN = "open"
    ENDED = "ended"


class Conversation(Base):
    """One annotator's talk with a project's policies; one is open at a time."""

    __tablename__ = "conversation"
    __table_args__ = (
        Index(
            "uq_conversation_open",
            "project_id",
            "annotator_id",
            unique=True,
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_conversation_annotator", "annotator_id", "project_id"),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    annotator_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    state: Mapped[ConversationState] = mapped_column(
        text_enum(ConversationState), default=ConversationState.OPEN, server_default="open"
    )
    # A message that was taken back: it stands in the field until it is sent again.
    draft: Mapped[str] = mapped_column(default="", server_default="")
    # When its page was last open; nobody computes for a page that is gone.
    seen_at: Mapped[CreatedAt]
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[datetime | None]


class Turn(Base):
    """A message, the two answers to it (a pair), and the one that goes on."""

    __tablename__ = "turn"
    __table_args__ = (
        UniqueConstraint("conversation_id", "position"),
        CheckConstraint("position >= 1", name="position_from_one"),
        CheckConstraint(
            "(comparison_id is null) = (chosen_id is null)", name="chosen_by_a_comparison"
        ),
        CheckConstraint("(pair_id is null) = (answered_at is null)", name="answered_with_a_pair"),
        CheckConstraint("comparison_id is null or pair_id is not null", name="compared_a_pair"),
    )

    id: Mapped[Id]
    conversation_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("conversation.id", ondelete="CASCADE")
    )
    position: Mapped[int]
    message: Mapped[str]
    # The job that writes the answers, or wrote them, or failed to; the newest of several.
    job_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("job.id", ondelete="SET NULL"), index=True
    )
    pair_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("pair.id", ondelete="CASCADE"), unique=True
    )
    # True where B is shown on the left.
    is_flipped: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    # The conversation had grown longer than the policy reads: it saw the end of it alone.
    is_cut: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    comparison_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("comparison.id", ondelete="CASCADE"), unique=True
    )
    chosen_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("completion.id", ondelete="CASCADE"), index=True
    )
    created_at: Mapped[CreatedAt]
    answered_at: Mapped[datetime | None]


class TurnDraft(Base):
    """A choice between a turn's two answers that is half given; gone once it is given."""

    __tablename__ = "turn_draft"
    __table_args__ = (CheckConstraint("version >= 1", name="version_range"),)

    turn_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("turn.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int]
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    updated_at: Mapped[datetime]
