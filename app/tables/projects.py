"""A project: what is asked, how it may be answered, and how its loop turns."""

import uuid
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum


class Objective(StrEnum):
    HELPFULNESS = "helpfulness"
    SAFETY = "safety"


class FlagScope(StrEnum):
    PROMPT = "prompt"
    COMPLETION = "completion"
    COMPARISON = "comparison"


class FlagKind(StrEnum):
    YES_NO = "yes_no"
    YES_NO_NA = "yes_no_na"
    RATING_7 = "rating_7"


class Polarity(StrEnum):
    GOOD = "good"
    BAD = "bad"
    NEUTRAL = "neutral"


class Project(Base):
    __tablename__ = "project"
    __table_args__ = (
        CheckConstraint("overlap between 1 and 20", name="overlap_range"),
        CheckConstraint("lease_minutes between 1 and 240", name="lease_range"),
        CheckConstraint("skips_to_admin between 1 and 1000", name="skips_to_admin_range"),
        CheckConstraint("break_after_minutes between 5 and 480", name="break_range"),
        CheckConstraint("undo_hours between 0 and 8760", name="undo_range"),
        CheckConstraint("comparisons_per_round >= 2", name="comparisons_per_round_range"),
        CheckConstraint("kl_coef >= 0", name="kl_coef_range"),
        CheckConstraint("uniform_share >= 0.25", name="uniform_share_range"),
        CheckConstraint(
            "least(overlap_share, gold_share, retest_share, audit_share) >= 0",
            name="shares_not_negative",
        ),
        CheckConstraint(
            "uniform_share + overlap_share + gold_share + retest_share + audit_share <= 1.000001",
            name="shares_within_whole",
        ),
        CheckConstraint("overlap_answers between 2 and 20", name="overlap_answers_range"),
        CheckConstraint("retest_days between 0 and 365", name="retest_days_range"),
        CheckConstraint("kept_policies between 1 and 1000", name="kept_policies_range"),
        CheckConstraint("most_a_day >= 1", name="most_a_day_range"),
        CheckConstraint("most_in_total >= 1", name="most_in_total_range"),
        CheckConstraint("most_share > 0 and most_share <= 1", name="most_share_range"),
        CheckConstraint(
            "gold_seen_share > 0 and gold_seen_share <= 1", name="gold_seen_share_range"
        ),
    )

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    objective: Mapped[Objective] = mapped_column(text_enum(Objective))
    question: Mapped[str]
    low_end: Mapped[str]
    high_end: Mapped[str]
    # How sure they are, from 1 to 5, is asked beside each answer.
    is_confidence_asked: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_archived: Mapped[bool] = mapped_column(default=False, server_default=text("false"))

    # Who sees what.
    overlap: Mapped[int] = mapped_column(default=1, server_default="1")
    lease_minutes: Mapped[int] = mapped_column(default=20, server_default="20")

    # The queue's mixture: chances that add up to 1 with what is left, which goes by priority.
    uniform_share: Mapped[float] = mapped_column(default=0.25, server_default="0.25")
    overlap_share: Mapped[float] = mapped_column(default=0.0, server_default="0")
    gold_share: Mapped[float] = mapped_column(default=0.0, server_default="0")
    retest_share: Mapped[float] = mapped_column(default=0.0, server_default="0")
    audit_share: Mapped[float] = mapped_column(default=0.0, server_default="0")
    # How many people answer a pair that was drawn for overlap.
    overlap_answers: Mapped[int] = mapped_column(default=3, server_default="3")
    retest_days: Mapped[int] = mapped_column(default=7, server_default="7")
    # A gold item is worn out when this share of the annotators has seen it; null is never.
    gold_seen_share: Mapped[float | None] = mapped_column(default=0.5, server_default="0.5")
    # Whether annotators are told about gold items, once those are retired or a day has passed.
    is_gold_told: Mapped[bool] = mapped_column(default=False, server_default=text("false"))

    # Who may answer, and how much: ISO 639 codes, none for any; null for no limit.
    languages: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    most_a_day: Mapped[int | None]
    most_in_total: Mapped[int | None]
    most_share: Mapped[float | None]

    # Open pairs of older policies than these many are closed when a policy goes live.
    kept_policies: Mapped[int] = mapped_column(default=2, server_default="2")

    # Which feedback is asked for beside the rating of a pair.
    is_ranking_on: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_rating_on: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_demonstration_on: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_rewrite_on: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_span_on: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_talk_on: Mapped[bool] = mapped_column(default=False, server_default=text("false"))

    # How many people skip a pair before it goes to the admins; null is everyone who might answer.
    skips_to_admin: Mapped[int | None]
    # After how many minutes of active time a break is suggested; null is never.
    break_after_minutes: Mapped[int | None] = mapped_column(default=50, server_default="50")
    # Nobody gets a pair before confirming that they have read the current guidelines.
    is_reading_required: Mapped[bool] = mapped_column(default=False, server_default=text("false"))

    # Consent to this version of the text, or to a later one, counts; null while there is no text.
    consent_from: Mapped[int | None]
    # Nobody gets a pair before agreeing to the text.
    is_consent_required: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    # Whoever withdraws may have their answers left out of what is frozen from then on.
    is_leaving_out_allowed: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    # What people may say about themselves: values of `consent.Question`.
    demographic_questions: Mapped[list[str]] = mapped_column(
        ARRAY(Text), default=list, server_default="{}"
    )

    # For how many hours an answer may be changed: 0 is never, null is always.
    undo_hours: Mapped[int | None]

    # How the loop turns.
    is_loop_automatic: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    base_model: Mapped[str] = mapped_column(default="tiny", server_default="tiny")
    comparisons_per_round: Mapped[int] = mapped_column(default=60, server_default="60")
    pairs_per_round: Mapped[int] = mapped_column(default=60, server_default="60")
    policy_steps: Mapped[int] = mapped_column(default=40, server_default="40")
    kl_coef: Mapped[float] = mapped_column(default=0.15, server_default="0.15")
    max_new_tokens: Mapped[int] = mapped_column(default=48, server_default="48")
    seed: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[CreatedAt]


class GuidelineVersion(Base):
    """Guidelines are never edited, only followed by a next version; a comparison knows its own."""

    __tablename__ = "guideline_version"
    __table_args__ = (UniqueConstraint("project_id", "number"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    number: Mapped[int]
    markdown: Mapped[str]
    html: Mapped[str]
    change_note: Mapped[str] = mapped_column(default="", server_default="")
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]


class Flag(Base):
    """A metadata flag: what it is about, how it is answered, and whether yes is good news.

    Kept for ever once answered; `is_archived` takes it off the compare page.
    """

    __tablename__ = "flag"
    __table_args__ = (
        UniqueConstraint("project_id", "key"),
        CheckConstraint("shortcut ~ '^[a-z]?$'", name="shortcut_is_one_letter"),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    key: Mapped[str]
    label: Mapped[str]
    help_text: Mapped[str] = mapped_column(default="", server_default="")
    shortcut: Mapped[str] = mapped_column(default="", server_default="")
    scope: Mapped[FlagScope] = mapped_column(text_enum(FlagScope))
    kind: Mapped[FlagKind] = mapped_column(text_enum(FlagKind))
    polarity: Mapped[Polarity] = mapped_column(text_enum(Polarity))
    # Ask only where this other flag of the project was answered yes.
    condition_flag_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("flag.id"))
    is_required: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_archived: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[CreatedAt]


class SkipReason(Base):
    """A reason that annotators may give for a skip; archived ones stay with what was skipped."""

    __tablename__ = "skip_reason"
    __table_args__ = (UniqueConstraint("project_id", "label"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    label: Mapped[str]
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    # Says nothing without a sentence beside it ("other", say).
    is_words_needed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_archived: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    created_at: Mapped[CreatedAt]
