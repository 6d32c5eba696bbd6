"""What a project may ask of its annotators beyond a role, and who has shown it."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id


class Qualification(Base):
    """Something that an annotator of a project can show, such as a training that was passed.

    Kept for ever once granted; `is_required` says whether the queue asks for it.
    """

    __tablename__ = "qualification"
    __table_args__ = (UniqueConstraint("project_id", "name"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    name: Mapped[str]
    is_required: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    created_at: Mapped[CreatedAt]


class QualificationGrant(Base):
    """Who holds a qualification, by whose word and since when; revoked, never deleted."""

    __tablename__ = "qualification_grant"
    __table_args__ = (
        Index(
            "uq_qualification_grant_held",
            "qualification_id",
            "person_id",
            unique=True,
            postgresql_where=text("revoked_at is null"),
        ),
        Index("ix_qualification_grant_person_id", "person_id"),
    )

    id: Mapped[Id]
    qualification_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("qualification.id", ondelete="CASCADE")
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    granted_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    # The try that earned it, where a test did and not a person.
    attempt_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("test_attempt.id", ondelete="SET NULL")
    )
    granted_at: Mapped[CreatedAt]
    revoked_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    revoked_at: Mapped[datetime | None]
