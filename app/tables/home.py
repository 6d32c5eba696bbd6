"""What stands between an annotator and the people they work for: messages, and what was read."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint, desc, text
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id


class Message(Base):
    """One person's word to another in a project; one row a recipient, about an answer or none."""

    __tablename__ = "message"
    __table_args__ = (
        Index("ix_message_unread", "recipient_id", postgresql_where=text("read_at is null")),
        Index("ix_message_recipient", "recipient_id", desc("created_at")),
        Index("ix_message_sender", "sender_id", desc("created_at")),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), index=True
    )
    sender_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    recipient_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    comparison_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("comparison.id", ondelete="SET NULL"), index=True
    )
    body: Mapped[str]
    html: Mapped[str]
    created_at: Mapped[CreatedAt]
    read_at: Mapped[datetime | None]


class GuidelineReading(Base):
    """That a person confirmed to have read a version of the guidelines."""

    __tablename__ = "guideline_reading"
    __table_args__ = (UniqueConstraint("guideline_version_id", "person_id"),)

    id: Mapped[Id]
    guideline_version_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("guideline_version.id", ondelete="CASCADE")
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    confirmed_at: Mapped[CreatedAt]
