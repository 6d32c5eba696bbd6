"""active time by control of answers about prompts

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

CONTROLS = ("prompt", "completion", "rating", "text", "comment")
NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "prompt_control_time",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("assignment_id", sa.Uuid(), nullable=False),
        sa.Column(
            "control",
            sa.Enum(*CONTROLS, name="promptcontrol", native_enum=False, length=40),
            nullable=False,
        ),
        sa.Column("completion_id", sa.Uuid(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "control in ('prompt', 'completion', 'rating', 'text', 'comment')",
            name=op.f("ck_prompt_control_time_promptcontrol"),
        ),
        sa.CheckConstraint(
            "seconds >= 0", name=op.f("ck_prompt_control_time_seconds_not_negative")
        ),
        sa.CheckConstraint(
            "case control when 'completion' then completion_id is not null"
            " when 'rating' then true else completion_id is null end",
            name=op.f("ck_prompt_control_time_completion_fits"),
        ),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["prompt_assignment.id"],
            name=op.f("fk_prompt_control_time_assignment_id_prompt_assignment"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completion.id"],
            name=op.f("fk_prompt_control_time_completion_id_completion"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt_control_time")),
        sa.UniqueConstraint(
            "assignment_id",
            "control",
            "completion_id",
            name=op.f("uq_prompt_control_time_assignment_id_control_completion_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index(
        op.f("ix_prompt_control_time_completion_id"), "prompt_control_time", ["completion_id"]
    )


def downgrade() -> None:
    op.drop_table("prompt_control_time")
