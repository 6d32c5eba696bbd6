"""Imports, and preference sets: frozen, hashed snapshots that training reads."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id, text_enum
from app.tables.collect import AnswerRole


class ImportState(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class Split(StrEnum):
    TRAIN = "train"
    EVAL = "eval"


class Import(Base):
    """One file of prompts, all of it or nothing. Progress is written in commits of its own."""

    __tablename__ = "import"
    __table_args__ = (Index("ix_import_project_id_created_at", "project_id", "created_at"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    file_name: Mapped[str]
    state: Mapped[ImportState] = mapped_column(
        text_enum(ImportState), default=ImportState.RUNNING, server_default="running"
    )
    n_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    n_bytes_done: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    n_lines: Mapped[int] = mapped_column(default=0, server_default="0")
    n_prompts: Mapped[int] = mapped_column(default=0, server_default="0")
    n_completions: Mapped[int] = mapped_column(default=0, server_default="0")
    n_pairs: Mapped[int] = mapped_column(default=0, server_default="0")
    error: Mapped[str] = mapped_column(default="", server_default="")
    error_line: Mapped[int | None]
    error_field: Mapped[str | None]
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]


class PreferenceSet(Base):
    """A frozen set of comparisons. `content_hash` is the SHA-256 of its canonical JSON lines."""

    __tablename__ = "preference_set"
    __table_args__ = (UniqueConstraint("project_id", "number"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    number: Mapped[int]
    content_hash: Mapped[str]
    n_comparisons: Mapped[int]
    n_pairs: Mapped[int]
    n_annotators: Mapped[int]
    n_train: Mapped[int]
    n_eval: Mapped[int]
    created_by: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]


class PreferenceRow(Base):
    """One comparison as it was when the set was frozen; later edits do not reach it."""

    __tablename__ = "preference_row"
    __table_args__ = (CheckConstraint("confidence between 1 and 5", name="confidence_range"),)

    preference_set_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("preference_set.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    comparison_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("comparison.id"), index=True)
    pair_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("pair.id"))
    split: Mapped[Split] = mapped_column(text_enum(Split))
    rating: Mapped[int]
    weight: Mapped[float]
    is_about_equal: Mapped[bool]
    is_both_bad: Mapped[bool]
    confidence: Mapped[int | None]
    annotator_hash: Mapped[str]
    draw: Mapped[str]
    draw_probability: Mapped[float]
    flags: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    # The ranking that the comparison follows from; null for one that was asked by itself.
    ranking_id: Mapped[uuid.UUID | None]
    # Of the answer; null in sets that were frozen before it was kept.
    role: Mapped[AnswerRole | None] = mapped_column(text_enum(AnswerRole))
