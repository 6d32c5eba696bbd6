"""What people agreed to in a project, and what they chose to say about themselves.

Apart from people and answers on purpose: nothing that is trained on or exported reads these.
"""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, desc, text
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum


class Question(StrEnum):
    """What a project may ask people about themselves."""

    AGE = "age"
    GENDER = "gender"
    COUNTRY = "country"
    LANGUAGES = "languages"
    EDUCATION = "education"


class Ending(StrEnum):
    """How a consent ended."""

    RENEWED = "renewed"  # the person agreed to a newer text
    WITHDRAWN = "withdrawn"  # no more work; answers given so far stay in use
    LEFT_OUT = "left_out"  # and those are left out of all that is frozen from then on


class ConsentText(Base):
    """A text that people agree to: never edited, only followed by a next version.

    `is_asked_again` says that consent to earlier versions no longer counts.
    """

    __tablename__ = "consent_text"
    __table_args__ = (UniqueConstraint("project_id", "number"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    number: Mapped[int]
    markdown: Mapped[str]
    html: Mapped[str]
    is_asked_again: Mapped[bool]
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]


class Consent(Base):
    """That a person agreed to version `number`, from when and until when; ended, never deleted."""

    __tablename__ = "consent"
    __table_args__ = (
        Index(
            "uq_consent_standing",
            "project_id",
            "person_id",
            unique=True,
            postgresql_where=text("ended_at is null"),
        ),
        Index("ix_consent_person", "person_id", "project_id", desc("given_at")),
        CheckConstraint("(ended_at is null) = (ending is null)", name="ended_somehow"),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    number: Mapped[int]
    given_at: Mapped[CreatedAt]
    ended_at: Mapped[datetime | None]
    ending: Mapped[Ending | None] = mapped_column(text_enum(Ending))


class DemographicAnswer(Base):
    """One choice of one person about themselves; deleted for good when they take it back."""

    __tablename__ = "demographic_answer"

    project_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    person_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    question: Mapped[Question] = mapped_column(text_enum(Question), primary_key=True)
    choice: Mapped[str] = mapped_column(primary_key=True)
