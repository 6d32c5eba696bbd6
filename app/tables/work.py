"""What keeps an annotator's work: answers half given, and where the active time went."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum


class Control(StrEnum):
    """A part of the compare page that takes time."""

    PROMPT = "prompt"
    COMPLETION = "completion"
    RATING = "rating"
    FLAG = "flag"
    COMMENT = "comment"


class PromptControl(StrEnum):
    """A part of a page that asks for a ranking, ratings or a demonstration."""

    PROMPT = "prompt"
    COMPLETION = "completion"
    RATING = "rating"
    TEXT = "text"
    COMMENT = "comment"


class Draft(Base):
    """What an annotator has answered so far, by the names of the page's inputs.

    Never counted, so it may be JSON. The draft of an ended assignment is dead: the annotator's
    next draft sweeps it away, so that an answer costs no statement more.
    """

    __tablename__ = "draft"
    __table_args__ = (CheckConstraint("version >= 1", name="version_range"),)

    assignment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("assignment.id", ondelete="CASCADE"), primary_key=True
    )
    annotator_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"), index=True)
    version: Mapped[int]
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    updated_at: Mapped[datetime]


class PromptDraft(Base):
    """The same of a ranking, of ratings or of a demonstration that is half given."""

    __tablename__ = "prompt_draft"
    __table_args__ = (CheckConstraint("version >= 1", name="version_range"),)

    assignment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("prompt_assignment.id", ondelete="CASCADE"), primary_key=True
    )
    annotator_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"), index=True)
    version: Mapped[int]
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    updated_at: Mapped[datetime]


class ControlTime(Base):
    """Active seconds that one answer spent on one control; they sum to at most its `seconds`.

    `side` is canonical and set for a completion and for a flag about one. Rows come with every
    answer, so they have no key but the one that they need.
    """

    __tablename__ = "control_time"
    __table_args__ = (
        UniqueConstraint(
            "comparison_id", "control", "side", "flag_id", postgresql_nulls_not_distinct=True
        ),
        CheckConstraint("seconds >= 0", name="seconds_not_negative"),
        CheckConstraint("side in ('A', 'B')", name="side_is_a_letter"),
        CheckConstraint("(control = 'flag') = (flag_id is not null)", name="flag_has_an_id"),
        Index("ix_control_time_flag_id", "flag_id", postgresql_where=text("flag_id is not null")),
    )

    comparison_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("comparison.id", ondelete="CASCADE")
    )
    control: Mapped[Control] = mapped_column(text_enum(Control))
    side: Mapped[str | None] = mapped_column()
    flag_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("flag.id", ondelete="CASCADE"))
    seconds: Mapped[float]
    created_at: Mapped[CreatedAt]

    __mapper_args__ = {"primary_key": (comparison_id, control, side, flag_id)}  # noqa: RUF012 (as SQLAlchemy types it)


class PromptControlTime(Base):
    """Active seconds that one answer about a prompt, with its changes, spent on one control.

    They sum to at most the assignment's `seconds`. A completion has the time of its text, and
    under `rating` that of its numbers; `rating` without one is what stands below all of them.
    """

    __tablename__ = "prompt_control_time"
    __table_args__ = (
        UniqueConstraint(
            "assignment_id", "control", "completion_id", postgresql_nulls_not_distinct=True
        ),
        CheckConstraint("seconds >= 0", name="seconds_not_negative"),
        CheckConstraint(
            "case control when 'completion' then completion_id is not null"
            " when 'rating' then true else completion_id is null end",
            name="completion_fits",
        ),
    )

    id: Mapped[Id]
    assignment_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("prompt_assignment.id", ondelete="CASCADE")
    )
    control: Mapped[PromptControl] = mapped_column(text_enum(PromptControl))
    completion_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("completion.id", ondelete="CASCADE"), index=True
    )
    seconds: Mapped[float]
    created_at: Mapped[CreatedAt]
