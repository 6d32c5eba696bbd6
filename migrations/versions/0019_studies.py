"""studies of reward models: others' sets, and what parts of the data are worth

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

KINDS = ("sft", "reward", "policy", "sample", "select", "reply")
NEW_ID, NOW = sa.text("gen_random_uuid()"), sa.text("clock_timestamp()")


def upgrade() -> None:
    _allow(*KINDS, "evaluate", "worth")
    op.create_table(
        "study",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("reward_run_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("is_whole", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("report", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('evaluation', 'worth')", name=op.f("ck_study_studykind")),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_study_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["reward_run_id"],
            ["reward_run.id"],
            name=op.f("fk_study_reward_run_id_reward_run"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("fk_study_job_id_job"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["person.id"], name=op.f("fk_study_created_by_person")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study")),
    )
    op.create_index("ix_study_project_id_created_at", "study", ["project_id", "created_at"])
    op.create_index(op.f("ix_study_reward_run_id"), "study", ["reward_run_id"])
    op.create_table(
        "worth_schedule",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("every", sa.String(40), nullable=False),
        sa.Column("is_whole", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "every in ('never', 'run', 'week', 'month')", name=op.f("ck_worth_schedule_every")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_worth_schedule_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_worth_schedule")),
    )


def _allow(*values: str) -> None:
    op.drop_constraint(op.f("ck_job_jobkind"), "job", type_="check")
    listed = ", ".join(f"'{value}'" for value in values)
    op.create_check_constraint(op.f("ck_job_jobkind"), "job", f"kind in ({listed})")


def downgrade() -> None:
    op.drop_table("worth_schedule")
    op.drop_table("study")
    op.execute("delete from job where kind in ('evaluate', 'worth')")
    _allow(*KINDS)
