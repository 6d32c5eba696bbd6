"""drafts, active time by control, and how long an answer may be changed

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CONTROLS = ("prompt", "completion", "rating", "flag", "comment")
NOW = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.add_column("project", sa.Column("undo_hours", sa.Integer(), nullable=True))
    op.create_check_constraint(
        op.f("ck_project_undo_range"), "project", "undo_hours between 0 and 8760"
    )
    op.create_table(
        "draft",
        sa.Column("assignment_id", sa.Uuid(), nullable=False),
        sa.Column("annotator_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_draft_version_range")),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["assignment.id"],
            name=op.f("fk_draft_assignment_id_assignment"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["person.id"], name=op.f("fk_draft_annotator_id_person")
        ),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("pk_draft")),
    )
    op.create_index(op.f("ix_draft_annotator_id"), "draft", ["annotator_id"])
    op.create_table(
        "control_time",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("comparison_id", sa.Uuid(), nullable=False),
        sa.Column(
            "control",
            sa.Enum(*CONTROLS, name="control", native_enum=False, length=40),
            nullable=False,
        ),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("flag_id", sa.Uuid(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "control in ('prompt', 'completion', 'rating', 'flag', 'comment')",
            name=op.f("ck_control_time_control"),
        ),
        sa.CheckConstraint("seconds >= 0", name=op.f("ck_control_time_seconds_not_negative")),
        sa.CheckConstraint("side in ('A', 'B')", name=op.f("ck_control_time_side_is_a_letter")),
        sa.CheckConstraint(
            "(control = 'flag') = (flag_id is not null)",
            name=op.f("ck_control_time_flag_has_an_id"),
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparison.id"],
            name=op.f("fk_control_time_comparison_id_comparison"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["flag_id"],
            ["flag.id"],
            name=op.f("fk_control_time_flag_id_flag"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_control_time")),
        sa.UniqueConstraint(
            "comparison_id",
            "control",
            "side",
            "flag_id",
            name=op.f("uq_control_time_comparison_id_control_side_flag_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(op.f("ix_control_time_flag_id"), "control_time", ["flag_id"])


def downgrade() -> None:
    op.drop_table("control_time")
    op.drop_table("draft")
    op.drop_constraint(op.f("ck_project_undo_range"), "project", type_="check")
    op.drop_column("project", "undo_hours")
