"""Agreement as it stands, kept up to date pair by pair, and whose answers were set aside.

`agreement_pattern` is what a page reads: a few hundred rows, however many answers there are.
`agreement_unit` remembers where each pair is counted, so that a change can be taken back exactly.
"""

import uuid
from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, CreatedAt, Id

# In place of a guideline version: all answers to a pair, and those under no guidelines.
EVERY_VERSION = uuid.UUID(int=0)
NO_VERSION = uuid.UUID(int=1)
# In place of a flag: the rating of the pair.
NO_FLAG = uuid.UUID(int=0)


class AgreementProgress(Base):
    """How far a project's state has come; the wide interval was drawn at `wide_n` ratings.

    Answers to flags are kept up with once they were asked for: `has_flags`. Deleting the row
    deletes the state, and has it counted anew.
    """

    __tablename__ = "agreement_progress"

    project_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    caught_up_to: Mapped[datetime]
    has_flags: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    wide_low: Mapped[float | None]
    wide_high: Mapped[float | None]
    wide_n: Mapped[int] = mapped_column(default=0, server_default="0")


class AgreementUnit(Base):
    """The patterns that a pair's ratings, or the answers to its flags, are counted in.

    Half a million rows are written at once, so they have no key to what they name: they go with
    the project's progress, by a trigger, and a deleted pair is taken out of the patterns when the
    project next catches up.
    """

    __tablename__ = "agreement_unit"

    project_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    pair_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    is_of_flags: Mapped[bool] = mapped_column(primary_key=True)
    patterns: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class AgreementPattern(Base):
    """How many units of a project, guideline version (`scope`) and week have the same nine counts.

    `is_whole`: these are all answers of the units, so they count for all versions as well; then
    the scope is `EVERY_VERSION` where they were given under several. `week` is the Monday of the
    first of a unit's answers. `flag_id` is `NO_FLAG` for ratings.
    """

    __tablename__ = "agreement_pattern"
    __table_args__ = (
        UniqueConstraint(
            *("project_id", "flag_id", "scope", "is_whole", "week", "counts"),
            name="uq_agreement_pattern_counts",
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    flag_id: Mapped[uuid.UUID]
    scope: Mapped[uuid.UUID]
    is_whole: Mapped[bool]
    week: Mapped[date]
    counts: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    n: Mapped[int]


class AgreementStale(Base):
    """A pair whose old answers changed or went: written by triggers, emptied by catching up.

    New answers write nothing here; they are found by their time.
    """

    __tablename__ = "agreement_stale"
    __table_args__ = (Index("ix_agreement_stale_project_id", "project_id"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    project_id: Mapped[uuid.UUID]
    pair_id: Mapped[uuid.UUID]


class Exclusion(Base):
    """A decision to leave someone's answers out of what is frozen; lifted, never deleted.

    An admin's, or with `is_own` the person's who withdrew their consent. The answers stay.
    """

    __tablename__ = "exclusion"
    __table_args__ = (
        Index(
            "uq_exclusion_standing",
            "project_id",
            "person_id",
            "is_own",
            unique=True,
            postgresql_where=text("lifted_at is null"),
        ),
    )

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    is_own: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    reason: Mapped[str]
    by_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]
    lifted_at: Mapped[datetime | None]
    lifted_by_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    lift_reason: Mapped[str] = mapped_column(default="", server_default="")


class StaffNote(Base):
    """What an admin wrote about someone's work in a project; the person can read it."""

    __tablename__ = "staff_note"
    __table_args__ = (Index("ix_staff_note_project_id_person_id", "project_id", "person_id"),)

    id: Mapped[Id]
    project_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    person_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("person.id"))
    body: Mapped[str]
    by_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("person.id"))
    created_at: Mapped[CreatedAt]
