"""Gold items, whose answer the researchers fixed, and the qualification tests made of them."""

import uuid
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum


class Round(StrEnum):
    TRAINING = "training"
    TEST = "test"


class GoldItem(Base):
    """The accepted ratings of a pair, canonical, from `low` to `high`; its pair has `is_gold`.

    Given among other work while it is neither retired nor part of a test. Retired by the rule
    where `retired_by` is null.
    """

    __tablename__ = "gold_item"
    __table_args__ = (
        CheckConstraint("low between 1 and 8 and high between 1 and 8", name="ratings_range"),
        CheckConstraint("low <= high", name="low_first"),
        Index("ix_gold_item_project_id", "project_id"),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    pair_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("pair.id", ondelete="CASCADE"), unique=True
    )
    low: Mapped[int]
    high: Mapped[int]
    explanation: Mapped[str]
    explanation_html: Mapped[str]
    guideline_version_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("guideline_version.id")
    )
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    retired_at: Mapped[datetime | None]
    retired_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))


class GoldFlag(Base):
    """A flag whose answer is fixed too; as in `FlagAnswer`, a null value is "not applicable"."""

    __tablename__ = "gold_flag"
    __table_args__ = (
        UniqueConstraint(
            "gold_item_id", "flag_id", "completion_id", postgresql_nulls_not_distinct=True
        ),
        CheckConstraint("value between 0 and 7", name="value_range"),
    )

    id: Mapped[Id]
    gold_item_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("gold_item.id", ondelete="CASCADE"))
    flag_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("flag.id"))
    completion_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("completion.id"))
    value: Mapped[int | None]


class QualificationTest(Base):
    """How a qualification is earned: so many test items right, in so many tries, so far apart.

    `most_tries` null is no limit. `n_asked` of the test items are drawn for each try.
    """

    __tablename__ = "qualification_test"
    __table_args__ = (
        CheckConstraint("pass_share > 0 and pass_share <= 1", name="pass_share_range"),
        CheckConstraint("most_tries between 1 and 100", name="most_tries_range"),
        CheckConstraint("wait_hours between 0 and 8760", name="wait_hours_range"),
        CheckConstraint("n_asked >= 1", name="n_asked_range"),
    )

    id: Mapped[Id]
    qualification_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("qualification.id", ondelete="CASCADE"), unique=True
    )
    pass_share: Mapped[float] = mapped_column(default=0.8, server_default="0.8")
    most_tries: Mapped[int | None] = mapped_column(default=3, server_default="3")
    wait_hours: Mapped[int] = mapped_column(default=24, server_default="24")
    n_asked: Mapped[int] = mapped_column(default=10, server_default="10")
    is_open: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]


class TestItem(Base):
    """A gold item in a round of a test; such an item is not given among other work."""

    __test__ = False  # no test of ours, whatever its name looks like
    __tablename__ = "test_item"

    gold_item_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("gold_item.id", ondelete="CASCADE"), primary_key=True
    )
    test_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("qualification_test.id", ondelete="CASCADE"), index=True
    )
    round: Mapped[Round] = mapped_column(text_enum(Round))
    created_at: Mapped[CreatedAt]


class TestAttempt(Base):
    """One person's try. The pass mark is kept as it was; `is_passed` is null until it ends."""

    __test__ = False
    __tablename__ = "test_attempt"
    __table_args__ = (
        UniqueConstraint("test_id", "person_id", "number"),
        Index(
            "uq_test_attempt_under_way",
            "test_id",
            "person_id",
            unique=True,
            postgresql_where=text("ended_at is null"),
        ),
    )

    id: Mapped[Id]
    test_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("qualification_test.id", ondelete="CASCADE")
    )
    person_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("person.id", ondelete="CASCADE"), index=True
    )
    number: Mapped[int]
    pass_share: Mapped[float]
    n_asked: Mapped[int] = mapped_column(default=0, server_default="0")
    n_right: Mapped[int] = mapped_column(default=0, server_default="0")
    is_passed: Mapped[bool | None]
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[datetime | None]


class TestAnswer(Base):
    """What was answered to an item, and whether it was right by the answer fixed at that time.

    Asked and not answered yet while `rating`, canonical, is null. No comparison: it trains nothing.
    """

    __test__ = False
    __tablename__ = "test_answer"
    __table_args__ = (
        UniqueConstraint("attempt_id", "gold_item_id"),
        CheckConstraint("rating between 1 and 8", name="rating_range"),
        CheckConstraint("(rating is null) = (is_right is null)", name="right_if_rated"),
    )

    id: Mapped[Id]
    attempt_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("test_attempt.id", ondelete="CASCADE"))
    gold_item_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("gold_item.id", ondelete="CASCADE"), index=True
    )
    round: Mapped[Round] = mapped_column(text_enum(Round))
    position: Mapped[int]
    is_flipped: Mapped[bool]
    rating: Mapped[int | None]
    is_right: Mapped[bool | None]
    n_flags: Mapped[int] = mapped_column(default=0, server_default="0")
    n_flags_right: Mapped[int] = mapped_column(default=0, server_default="0")
    answered_at: Mapped[datetime | None]
