"""What reward models say of completions, and how a reward model learns between two trainings."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt


class CompletionScore(Base):
    """A completion's score by one reward run. For staff: no annotator's page reads it.

    `standard_error` is that of the score beside the mean completion's of the training; null where
    the model came without a posterior.
    """

    __tablename__ = "completion_score"
    __table_args__ = (CheckConstraint("standard_error >= 0", name="error_not_negative"),)

    reward_run_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("reward_run.id", ondelete="CASCADE"), primary_key=True
    )
    completion_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("completion.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    score: Mapped[float]
    standard_error: Mapped[float | None]


class LiveReward(Base):
    """How a live reward run's last layer stands since its training: a summary that can be made
    anew from the answers at any time. One worker holds it until `lease_until`."""

    __tablename__ = "live_reward"

    reward_run_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("reward_run.id", ondelete="CASCADE"), primary_key=True
    )
    worker: Mapped[str]
    lease_until: Mapped[datetime]
    # Answers since the training that it holds, and answers of the training that it took back.
    n_answers: Mapped[int] = mapped_column(default=0, server_default="0")
    n_unlearnt: Mapped[int] = mapped_column(default=0, server_default="0")
    # Judged on each answer before it was learnt, ties left out: how many, how many right, and the
    # sum of −log p.
    n_judged: Mapped[int] = mapped_column(default=0, server_default="0")
    n_right: Mapped[float] = mapped_column(default=0.0, server_default="0")
    log_loss_sum: Mapped[float] = mapped_column(default=0.0, server_default="0")
    # The last update: milliseconds in the last layer, an answer; open pairs that are ranked.
    update_ms: Mapped[float | None]
    n_ranked: Mapped[int] = mapped_column(default=0, server_default="0")
    updated_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
