"""What work costs: wages, and the active time that answers took, kept up to date day by day."""

import uuid
from datetime import date, datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, text_enum
from app.tables.work import Control

# In place of a flag: time on the prompt, a completion, the rating or the comment.
NO_FLAG = uuid.UUID(int=0)


class Wage(Base):
    """What an hour of active time costs in a project, for everyone without a wage of their own.

    `currency` is an ISO 4217 code.
    """

    __tablename__ = "wage"
    __table_args__ = (
        CheckConstraint("per_hour between 0 and 1000000", name="per_hour_range"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_is_a_code"),
    )

    project_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    currency: Mapped[str]
    # Null: only those with a wage of their own have one.
    per_hour: Mapped[float | None]


class PersonalWage(Base):
    """One person's own wage in a project, in the project's currency."""

    __tablename__ = "personal_wage"
    __table_args__ = (CheckConstraint("per_hour between 0 and 1000000", name="per_hour_range"),)

    project_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"), primary_key=True)
    per_hour: Mapped[float]


class WorkProgress(Base):
    """How far a project's days of work have come."""

    __tablename__ = "work_progress"

    project_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    caught_up_to: Mapped[datetime]


class WorkDay(Base):
    """One annotator's answers of one day (UTC): `n`, and `n_fresh` that count towards an overlap.

    `n_timed` took `seconds` of active time in sum; `squares` is the sum of their squares.
    """

    __tablename__ = "work_day"

    project_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(primary_key=True)
    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n: Mapped[int]
    n_fresh: Mapped[int]
    n_timed: Mapped[int]
    seconds: Mapped[float]
    squares: Mapped[float]


class WorkControl(Base):
    """Active time of one person and day on one control, in answers whose controls were measured.

    `n_given` is how often it was used: flags answered, comments written, answers given for the
    rest. `n_timed` answers spent time on it; `squares` is the sum of the squares of their seconds.
    """

    __tablename__ = "work_control"

    project_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    day: Mapped[date] = mapped_column(primary_key=True)
    person_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    control: Mapped[Control] = mapped_column(text_enum(Control), primary_key=True)
    flag_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n_given: Mapped[int]
    n_timed: Mapped[int]
    seconds: Mapped[float]
    squares: Mapped[float]


class WorkStale(Base):
    """A day of someone's work whose old answers changed or went; written by triggers."""

    __tablename__ = "work_stale"
    __table_args__ = (Index("ix_work_stale_project_id", "project_id"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    project_id: Mapped[uuid.UUID]
    person_id: Mapped[uuid.UUID]
    day: Mapped[date]
