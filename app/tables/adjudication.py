"""Decisions on pairs that people answered differently, and answers sent back to be changed."""

import uuid

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id


class Adjudication(Base):
    """Someone's decision on a pair: an answer of their own, or that there is none to give.

    The answer is one more comparison, with its own role; what others answered stays. A pair comes
    back to the queue when an answer to it is newer than the last decision.
    """

    __tablename__ = "adjudication"
    __table_args__ = (Index("ix_adjudication_project_id_pair_id", "project_id", "pair_id"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    pair_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pair.id", ondelete="CASCADE"))
    by_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    comparison_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("comparison.id", ondelete="SET NULL")
    )
    is_guideline_at_fault: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    note: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[CreatedAt]


class Rework(Base):
    """An answer sent back to its annotator, who may change it whatever the project's hours."""

    __tablename__ = "rework"
    __table_args__ = (Index("ix_rework_comparison_id", "comparison_id"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), index=True
    )
    comparison_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("comparison.id", ondelete="CASCADE")
    )
    message_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("message.id", ondelete="SET NULL")
    )
    asked_by: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]
