"""Work for the worker: few rows, long jobs, each fenced by a token."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum


class JobKind(StrEnum):
    SFT = "sft"
    REWARD = "reward"
    POLICY = "policy"
    SAMPLE = "sample"
    SELECT = "select"
    # Studies of a finished reward model: after whatever the loop needs, and no part of it.
    EVALUATE = "evaluate"
    WORTH = "worth"
    REPLY = "reply"  # a lane of its own: short, many at once, and beside whatever trains


ASIDE = (JobKind.REPLY, JobKind.EVALUATE, JobKind.WORTH)  # no step of the loop


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(Base):
    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("attempt >= 0 and attempt <= max_attempts", name="attempt_range"),
        CheckConstraint("(state = 'running') = (token is not null)", name="token_while_running"),
        # One training run a project, kept by the database and not by good manners.
        Index(
            "uq_job_running",
            "project_id",
            unique=True,
            postgresql_where=text("state = 'running' and kind <> 'reply'"),
        ),
        # A job handed back after a crash has attempt > 0 and must not collide with a fresh one.
        Index(
            "uq_job_queued",
            "project_id",
            "kind",
            unique=True,
            postgresql_where=text("state = 'queued' and attempt = 0 and kind <> 'reply'"),
        ),
        Index("ix_job_claim", "created_at", postgresql_where=text("state = 'queued'")),
        Index("ix_job_project_id_created_at", "project_id", "created_at"),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    kind: Mapped[JobKind] = mapped_column(text_enum(JobKind))
    # The reward run or policy run that this job serves.
    run_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    state: Mapped[JobState] = mapped_column(
        text_enum(JobState), default=JobState.QUEUED, server_default="queued"
    )
    attempt: Mapped[int] = mapped_column(default=0, server_default="0")
    max_attempts: Mapped[int] = mapped_column(default=3, server_default="3")
    token: Mapped[uuid.UUID | None]
    worker: Mapped[str] = mapped_column(default="", server_default="")
    lease_until: Mapped[datetime | None]
    progress_done: Mapped[int] = mapped_column(default=0, server_default="0")
    progress_total: Mapped[int] = mapped_column(default=0, server_default="0")
    progress_message: Mapped[str] = mapped_column(default="", server_default="")
    cancel_requested_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class WorkerProcess(Base):
    """A worker that has been seen: its name, what it computes on, and when it last spoke."""

    __tablename__ = "worker_process"

    name: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str]
    started_at: Mapped[CreatedAt]
    last_seen_at: Mapped[CreatedAt]
