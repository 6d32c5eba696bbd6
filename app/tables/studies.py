"""Studies of a finished reward model: others' evaluation sets, and what parts of its data are
worth."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum


class StudyKind(StrEnum):
    EVALUATION = "evaluation"  # on a file that somebody brought
    WORTH = "worth"  # without each flag's and each group's answers


class Study(Base):
    __tablename__ = "study"
    __table_args__ = (Index("ix_study_project_id_created_at", "project_id", "created_at"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    kind: Mapped[StudyKind] = mapped_column(text_enum(StudyKind))
    reward_run_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("reward_run.id", ondelete="CASCADE"), index=True
    )
    # The newest of the jobs that serve it: whole trainings are a job each.
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"))
    # The file's name for an evaluation; "" else.
    title: Mapped[str] = mapped_column(default="", server_default="")
    # Whole trainings, and not heads on frozen features.
    is_whole: Mapped[bool] = mapped_column(default=False, server_default="false")
    # Of an evaluation of two objectives as one score: rule, threshold, weight, and safety_run, the
    # id of the reward run of safety, null for the safety head of the model itself.
    combination: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    report: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]


class Every(StrEnum):
    NEVER = "never"
    RUN = "run"  # once for each reward model that goes live
    WEEK = "week"
    MONTH = "month"


class WorthSchedule(Base):
    """How often a project asks what its data is worth; a project without a row never does."""

    __tablename__ = "worth_schedule"

    project_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    every: Mapped[Every] = mapped_column(text_enum(Every))
    is_whole: Mapped[bool] = mapped_column(default=False, server_default="false")
