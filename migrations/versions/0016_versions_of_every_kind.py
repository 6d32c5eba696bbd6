"""drafts and versions of answers about prompts, and of what comes along with a comparison

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "prompt_draft",
        sa.Column("assignment_id", sa.Uuid(), nullable=False),
        sa.Column("annotator_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_prompt_draft_version_range")),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["prompt_assignment.id"],
            name=op.f("fk_prompt_draft_assignment_id_prompt_assignment"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["person.id"], name=op.f("fk_prompt_draft_annotator_id_person")
        ),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("pk_prompt_draft")),
    )
    op.create_index(op.f("ix_prompt_draft_annotator_id"), "prompt_draft", ["annotator_id"])
    op.create_table(
        "prompt_revision",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("assignment_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("choices", postgresql.JSONB(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["prompt_assignment.id"],
            name=op.f("fk_prompt_revision_assignment_id_prompt_assignment"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completion.id"],
            name=op.f("fk_prompt_revision_completion_id_completion"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt_revision")),
        sa.UniqueConstraint(
            "assignment_id",
            "revision",
            name=op.f("uq_prompt_revision_assignment_id_revision"),
        ),
    )
    op.create_index(op.f("ix_prompt_revision_completion_id"), "prompt_revision", ["completion_id"])
    one = sa.text("1")
    op.add_column(
        "prompt_assignment",
        sa.Column("revision", sa.Integer(), server_default=one, nullable=False),
    )
    changed = sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True)
    op.add_column("prompt_assignment", changed)
    op.create_index(
        "ix_prompt_assignment_done",
        "prompt_assignment",
        ["annotator_id", "project_id", "ended_at"],
        postgresql_where=sa.text("state = 'done'"),
    )
    op.add_column("comparison_revision", sa.Column("edited_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_comparison_revision_edited_id_completion"),
        "comparison_revision",
        "completion",
        ["edited_id"],
        ["id"],
        ondelete="SET NULL",
    )
    op.create_index(op.f("ix_comparison_revision_edited_id"), "comparison_revision", ["edited_id"])
    none = sa.text("'[]'::jsonb")
    op.add_column(
        "comparison_revision",
        sa.Column("spans", postgresql.JSONB(), server_default=none, nullable=False),
    )


def downgrade() -> None:
    op.drop_column("comparison_revision", "spans")
    op.drop_column("comparison_revision", "edited_id")
    op.drop_index("ix_prompt_assignment_done", "prompt_assignment")
    op.drop_column("prompt_assignment", "changed_at")
    op.drop_column("prompt_assignment", "revision")
    op.drop_table("prompt_revision")
    op.drop_table("prompt_draft")
