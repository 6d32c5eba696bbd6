"""scores with their standard errors, and the state of the live last layer

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pair", sa.Column("reward_standard_error", sa.Double(), nullable=True))
    op.create_check_constraint(
        op.f("ck_pair_reward_error_not_negative"), "pair", "reward_standard_error >= 0"
    )
    op.create_index(
        "ix_comparison_changed",
        "comparison",
        ["project_id", "updated_at"],
        postgresql_where=sa.text("revision > 1"),
    )
    op.create_table(
        "completion_score",
        sa.Column("reward_run_id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("standard_error", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "standard_error >= 0", name=op.f("ck_completion_score_error_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["reward_run_id"],
            ["reward_run.id"],
            name=op.f("fk_completion_score_reward_run_id_reward_run"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completion.id"],
            name=op.f("fk_completion_score_completion_id_completion"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("reward_run_id", "completion_id", name=op.f("pk_completion_score")),
    )
    op.create_index(
        op.f("ix_completion_score_completion_id"), "completion_score", ["completion_id"]
    )
    op.create_table("live_reward", *live_columns())


def live_columns() -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("reward_run_id", sa.Uuid(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("n_answers", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_unlearnt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_judged", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_right", sa.Double(), server_default="0", nullable=False),
        sa.Column("log_loss_sum", sa.Double(), server_default="0", nullable=False),
        sa.Column("update_ms", sa.Double(), nullable=True),
        sa.Column("n_ranked", sa.Integer(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["reward_run_id"],
            ["reward_run.id"],
            name=op.f("fk_live_reward_reward_run_id_reward_run"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("reward_run_id", name=op.f("pk_live_reward")),
    )


def downgrade() -> None:
    op.drop_table("live_reward")
    op.drop_table("completion_score")
    op.drop_index("ix_comparison_changed", table_name="comparison")
    op.drop_constraint(op.f("ck_pair_reward_error_not_negative"), "pair")
    op.drop_column("pair", "reward_standard_error")
