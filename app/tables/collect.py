"""Prompts, completions, pairs, who holds which pair, and what people answered.

`pair` is the narrow, hot table that the claim reads; texts live apart in `prompt` and
`completion`, which never change once written: a frozen preference set points at them.
"""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, desc, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum


class AssignmentState(StrEnum):
    LEASED = "leased"
    DONE = "done"
    EXPIRED = "expired"
    SKIPPED = "skipped"


class Draw(StrEnum):
    """Which part of the queue's mixture chose a pair."""

    PRIORITY = "priority"
    UNIFORM = "uniform"
    OVERLAP = "overlap"
    GOLD = "gold"
    RETEST = "retest"
    AUDIT = "audit"
    ADJUDICATION = "adjudication"  # not drawn: someone decided on this pair
    RESEARCH = "research"  # a researcher's own answer to a pair that annotators answered
    CONVERSATION = "conversation"  # nobody drew it: its annotator wrote the prompt


class AnswerRole(StrEnum):
    """In what role a comparison was given; only the first counts for agreement of annotators."""

    ANNOTATOR = "annotator"
    ADJUDICATOR = "adjudicator"
    RESEARCHER = "researcher"


class Expiry(StrEnum):
    """What a rule of the queue did to a pair; null where none did anything."""

    SUPERSEDED = "superseded"  # closed: a completion comes from a policy that is no longer kept
    REOPENED = "reopened"  # an admin opened it again, and the rule lets it be
    SKIPPED = "skipped"  # closed: as many skipped it as the project asks for; an admin decides


class Prompt(Base):
    """The conversation so far: `messages` is a list of {role, content}, ending with a user turn."""

    __tablename__ = "prompt"
    __table_args__ = (UniqueConstraint("project_id", "content_hash"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    import_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("import.id"))
    messages: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    # One sanitised HTML string a message, rendered once.
    html: Mapped[list[str]] = mapped_column(JSONB)
    renderer: Mapped[int]
    content_hash: Mapped[bytes]
    # Prompts of one group (a topic, say) stay on one side of a held-out split.
    group_key: Mapped[str] = mapped_column(default="", server_default="")
    metadata_: Mapped[dict[str, Any]] = mapped_column(
        "metadata", JSONB, default=dict, server_default="{}"
    )
    created_at: Mapped[CreatedAt]


class Completion(Base):
    """One answer to a prompt; knows who wrote it, and tells no annotator."""

    __tablename__ = "completion"
    __table_args__ = (UniqueConstraint("prompt_id", "content_hash", "policy_run_id", "source"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    prompt_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("prompt.id", ondelete="CASCADE"))
    text: Mapped[str]
    html: Mapped[str]
    renderer: Mapped[int]
    content_hash: Mapped[bytes]
    source: Mapped[str] = mapped_column(default="", server_default="")
    policy_run_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("policy_run.id"), index=True)
    # The annotator who wrote or edited it here; none for what was imported or sampled.
    author_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]


class Pair(Base):
    """Two completions of one prompt in canonical order A, B.

    `n_taken` counts live leases plus finished answers that count; it never passes `overlap`.
    """

    __tablename__ = "pair"
    __table_args__ = (
        UniqueConstraint("completion_a_id", "completion_b_id"),
        CheckConstraint("completion_a_id <> completion_b_id", name="two_completions"),
        CheckConstraint("n_taken >= 0", name="taken_not_negative"),
        CheckConstraint("is_gold or n_taken <= overlap", name="taken_within_overlap"),
        CheckConstraint("not (is_gold and is_audit)", name="gold_or_audit"),
        CheckConstraint("expiry <> 'superseded' or not is_open", name="superseded_is_closed"),
        CheckConstraint("reward_chance between 0 and 1", name="reward_chance_range"),
        CheckConstraint("reward_standard_error >= 0", name="reward_error_not_negative"),
        Index(
            "ix_pair_fresh",
            "project_id",
            desc("priority"),
            "id",
            postgresql_where=text("n_taken = 0 and is_open and not is_gold and not is_audit"),
        ),
        # Ids are random, so the first one after a random point is a uniform draw.
        Index(
            "ix_pair_uniform",
            "project_id",
            "id",
            postgresql_where=text("n_taken = 0 and is_open and not is_gold and not is_audit"),
        ),
        Index(
            "ix_pair_front",
            "project_id",
            desc("n_taken"),
            desc("priority"),
            "id",
            postgresql_where=text(
                "n_taken > 0 and n_taken < overlap and is_open and not is_gold and not is_audit"
            ),
        ),
        Index("ix_pair_gold", "project_id", "id", postgresql_where=text("is_gold and is_open")),
        Index(
            "ix_pair_audit",
            "project_id",
            "id",
            postgresql_where=text("is_audit and is_open and n_taken < overlap"),
        ),
        Index("ix_pair_prompt_id", "prompt_id"),
        {
            "postgresql_with": {
                "fillfactor": "80",
                "autovacuum_vacuum_scale_factor": "0.01",
                "autovacuum_vacuum_threshold": "2000",
            }
        },
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    prompt_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("prompt.id", ondelete="CASCADE"))
    completion_a_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("completion.id", ondelete="CASCADE")
    )
    completion_b_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("completion.id", ondelete="CASCADE"), index=True
    )
    overlap: Mapped[int] = mapped_column(default=1, server_default="1")
    n_taken: Mapped[int] = mapped_column(default=0, server_default="0")
    priority: Mapped[float] = mapped_column(default=0.0, server_default="0")
    # The chance that B is better, by the reward model that ranked the pair last; for staff only.
    reward_chance: Mapped[float | None]
    # The standard error of that chance's log-odds, by the posterior of the model's last layer.
    reward_standard_error: Mapped[float | None]
    is_gold: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    # A policy's completion against the reference policy's: drawn by its own share, shown unmarked.
    is_audit: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    # Closed pairs (superseded policy, settled early) leave the queue and keep their answers.
    is_open: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    expiry: Mapped[Expiry | None] = mapped_column(text_enum(Expiry))
    # All pairs of one ranking share it, so that training keeps them together.
    ranking_id: Mapped[uuid.UUID | None]
    # The live conversation that it is a turn of.
    conversation_id: Mapped[uuid.UUID | None]
    external_id: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[CreatedAt]


class Assignment(Base):
    """A pair leased to one annotator until a time, with the order shown and its draw."""

    __tablename__ = "assignment"
    __table_args__ = (
        UniqueConstraint("pair_id", "annotator_id", "is_retest"),
        Index(
            "uq_assignment_live_slot",
            "annotator_id",
            "project_id",
            "slot",
            unique=True,
            postgresql_where=text("state = 'leased'"),
        ),
        Index(
            "ix_assignment_lease_until",
            "lease_until",
            postgresql_where=text("state = 'leased'"),
        ),
        Index("ix_assignment_annotator_pair", "annotator_id", "pair_id"),
        Index(
            "ix_assignment_expired",
            "annotator_id",
            "project_id",
            postgresql_where=text("state = 'expired'"),
        ),
        Index(
            "ix_assignment_skipped",
            "project_id",
            "pair_id",
            postgresql_where=text("state = 'skipped'"),
        ),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    pair_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pair.id", ondelete="CASCADE"))
    annotator_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    state: Mapped[AssignmentState] = mapped_column(
        text_enum(AssignmentState), default=AssignmentState.LEASED, server_default="leased"
    )
    # Slot 0 is the pair on the page; slot 1 is room for a prefetched next pair.
    slot: Mapped[int] = mapped_column(default=0, server_default="0")
    draw: Mapped[Draw] = mapped_column(text_enum(Draw))
    draw_probability: Mapped[float]
    # True where B was shown on the left.
    is_flipped: Mapped[bool]
    # The annotator's own pair again, sides swapped: no fresh answer, and never in `n_taken`.
    is_retest: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    # The words as they were given, the reason's own among them; the id says which of the list.
    skip_reason: Mapped[str] = mapped_column(default="", server_default="")
    skip_reason_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("skip_reason.id"))
    lease_until: Mapped[datetime]
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[datetime | None]


class Comparison(Base):
    """One annotator's answer to a pair. `rating` is canonical: 1 is A far better, 8 is B."""

    __tablename__ = "comparison"
    __table_args__ = (
        UniqueConstraint("pair_id", "annotator_id", "is_retest"),
        CheckConstraint("rating between 1 and 8", name="rating_range"),
        CheckConstraint("confidence between 1 and 5", name="confidence_range"),
        CheckConstraint("seconds >= 0", name="seconds_not_negative"),
        Index("ix_comparison_project_id_created_at", "project_id", "created_at"),
        Index("ix_comparison_annotator", "annotator_id", "project_id", "created_at"),
        # Few answers are changed, so this one costs a new answer nothing.
        Index(
            "ix_comparison_changed",
            "project_id",
            "updated_at",
            postgresql_where=text("revision > 1"),
        ),
        Index("ix_comparison_expert", "project_id", postgresql_where=text("role <> 'annotator'")),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    assignment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("assignment.id"), unique=True)
    pair_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pair.id", ondelete="CASCADE"))
    annotator_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    guideline_version_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("guideline_version.id")
    )
    role: Mapped[AnswerRole] = mapped_column(
        text_enum(AnswerRole), default=AnswerRole.ANNOTATOR, server_default="annotator"
    )
    rating: Mapped[int]
    # Kept beside a forced side, so that ties survive an even scale.
    is_about_equal: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_both_bad: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    # How sure the annotator is: 1 (a guess) to 5 (certain); null where not asked or not said.
    confidence: Mapped[int | None]
    comment: Mapped[str] = mapped_column(default="", server_default="")
    seconds: Mapped[float]
    # The order that was shown; repeated from the assignment so that an answer stands alone.
    is_flipped: Mapped[bool]
    # Answered after the lease had gone to others and the overlap was full: kept, not counted.
    is_surplus: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    # Says how steady its annotator is, and nothing new about the pair.
    is_retest: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    idempotency_key: Mapped[str]
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class ComparisonRevision(Base):
    """What an answer said before its annotator changed it; every version is kept."""

    __tablename__ = "comparison_revision"
    __table_args__ = (
        UniqueConstraint("comparison_id", "revision"),
        CheckConstraint("confidence between 1 and 5", name="confidence_range"),
    )

    id: Mapped[Id]
    comparison_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("comparison.id", ondelete="CASCADE")
    )
    revision: Mapped[int]
    rating: Mapped[int]
    is_about_equal: Mapped[bool]
    is_both_bad: Mapped[bool]
    confidence: Mapped[int | None]
    comment: Mapped[str]
    flags: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    # What came along: the rewrite that stood, and the marks.
    edited_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("completion.id", ondelete="SET NULL"), index=True
    )
    spans: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, default=list, server_default=text("'[]'::jsonb")
    )
    created_at: Mapped[datetime]


class FlagAnswer(Base):
    """One answered flag. No row means unanswered; `value` is null only for "not applicable".

    yes is 1, no is 0, a rating is 1 to 7. `completion_id` is set for flags about a completion.
    Rows come with every answer, so they have no key but the one that they need.
    """

    __tablename__ = "flag_answer"
    __table_args__ = (
        UniqueConstraint(
            "comparison_id", "flag_id", "completion_id", postgresql_nulls_not_distinct=True
        ),
        CheckConstraint("value between 0 and 7", name="value_range"),
    )

    comparison_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("comparison.id", ondelete="CASCADE")
    )
    flag_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("flag.id"), index=True)
    completion_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("completion.id"))
    value: Mapped[int | None]

    __mapper_args__ = {"primary_key": (comparison_id, flag_id, completion_id)}  # noqa: RUF012 (as SQLAlchemy types it)
