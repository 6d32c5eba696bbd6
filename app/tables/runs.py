"""Reward runs and policy runs: data, configuration, checkpoint, metrics."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum
from app.tables.projects import Objective


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Algorithm(StrEnum):
    BASE = "base"  # the base model as it came, registered and not trained
    SFT = "sft"
    PPO = "ppo"


class RewardRun(Base):
    __tablename__ = "reward_run"
    __table_args__ = (
        UniqueConstraint("project_id", "number"),
        Index(
            "uq_reward_run_live",
            "project_id",
            "objective",
            unique=True,
            postgresql_where=text("is_live"),
        ),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    number: Mapped[int]
    objective: Mapped[Objective] = mapped_column(text_enum(Objective))
    preference_set_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("preference_set.id"))
    base_model: Mapped[str]
    configuration: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[RunState] = mapped_column(
        text_enum(RunState), default=RunState.QUEUED, server_default="queued"
    )
    is_live: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    artefact: Mapped[str] = mapped_column(default="", server_default="")
    artefact_hash: Mapped[str] = mapped_column(default="", server_default="")
    code_commit: Mapped[str] = mapped_column(default="", server_default="")
    error: Mapped[str] = mapped_column(default="", server_default="")
    n_train: Mapped[int | None]
    n_eval: Mapped[int | None]
    accuracy: Mapped[float | None]
    log_loss: Mapped[float | None]
    ece: Mapped[float | None]
    report: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Judgement(Base):
    """What a reward run says of one held-out comparison, the row of its set at `position`."""

    __tablename__ = "judgement"

    run_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("reward_run.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    # Of the side that people preferred: its score less the other's, and the chance it was given.
    margin: Mapped[float]
    probability: Mapped[float]


class PolicyRun(Base):
    __tablename__ = "policy_run"
    __table_args__ = (
        UniqueConstraint("project_id", "number"),
        Index("uq_policy_run_live", "project_id", unique=True, postgresql_where=text("is_live")),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    number: Mapped[int]
    algorithm: Mapped[Algorithm] = mapped_column(text_enum(Algorithm))
    base_model: Mapped[str]
    parent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("policy_run.id"))
    reference_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("policy_run.id"))
    reward_run_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("reward_run.id"))
    configuration: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[RunState] = mapped_column(
        text_enum(RunState), default=RunState.QUEUED, server_default="queued"
    )
    is_live: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    artefact: Mapped[str] = mapped_column(default="", server_default="")
    artefact_hash: Mapped[str] = mapped_column(default="", server_default="")
    code_commit: Mapped[str] = mapped_column(default="", server_default="")
    error: Mapped[str] = mapped_column(default="", server_default="")
    score_before: Mapped[float | None]
    score_after: Mapped[float | None]
    kl: Mapped[float | None]
    entropy: Mapped[float | None]
    alarms: Mapped[list[str]] = mapped_column(JSONB, default=list, server_default="[]")
    report: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    # Set when fresh completions of this policy have become pairs.
    sampled_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class RunMetric(Base):
    """One number of one run at one step; `run_id` is a reward run's or a policy run's."""

    __tablename__ = "run_metric"

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    at: Mapped[CreatedAt]
