"""Feedback of other kinds: rankings, ratings, rewrites, demonstrations, spans.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "prompt_assignment",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("prompt_id", sa.Uuid(), nullable=False),
        sa.Column("annotator_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "rank",
                "rate",
                "demonstrate",
                name="promptkind",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "leased",
                "done",
                "expired",
                "skipped",
                name="assignmentstate",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            server_default="leased",
            nullable=False,
        ),
        sa.Column("shown", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("guideline_version_id", sa.Uuid(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("comment", sa.Text(), server_default="", nullable=False),
        sa.Column("skip_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("is_surplus", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("seconds >= 0", name=op.f("ck_prompt_assignment_seconds_not_negative")),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["person.id"], name=op.f("fk_prompt_assignment_annotator_id_person")
        ),
        sa.ForeignKeyConstraint(
            ["guideline_version_id"],
            ["guideline_version.id"],
            name=op.f("fk_prompt_assignment_guideline_version_id_guideline_version"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_prompt_assignment_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["prompt_id"],
            ["prompt.id"],
            name=op.f("fk_prompt_assignment_prompt_id_prompt"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt_assignment")),
        sa.UniqueConstraint(
            "prompt_id",
            "annotator_id",
            "kind",
            name=op.f("uq_prompt_assignment_prompt_id_annotator_id_kind"),
        ),
    )
    op.create_index(
        "ix_prompt_assignment_state",
        "prompt_assignment",
        ["project_id", "kind", "state", "lease_until"],
        unique=False,
    )
    op.create_index(
        "uq_prompt_assignment_live",
        "prompt_assignment",
        ["annotator_id", "project_id", "kind"],
        unique=True,
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.create_table(
        "completion_rating",
        sa.Column("assignment_id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "rating between 1 and 7", name=op.f("ck_completion_rating_rating_range")
        ),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["prompt_assignment.id"],
            name=op.f("fk_completion_rating_assignment_id_prompt_assignment"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completion.id"],
            name=op.f("fk_completion_rating_completion_id_completion"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "assignment_id", "completion_id", name=op.f("pk_completion_rating")
        ),
    )
    op.create_table(
        "demonstration",
        sa.Column("assignment_id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["prompt_assignment.id"],
            name=op.f("fk_demonstration_assignment_id_prompt_assignment"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completion.id"],
            name=op.f("fk_demonstration_completion_id_completion"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("assignment_id", name=op.f("pk_demonstration")),
    )
    op.create_index(
        op.f("ix_demonstration_completion_id"), "demonstration", ["completion_id"], unique=False
    )
    op.create_table(
        "ranked_completion",
        sa.Column("ranking_id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.CheckConstraint("rank >= 1", name=op.f("ck_ranked_completion_rank_from_one")),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completion.id"],
            name=op.f("fk_ranked_completion_completion_id_completion"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["ranking_id"],
            ["prompt_assignment.id"],
            name=op.f("fk_ranked_completion_ranking_id_prompt_assignment"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("ranking_id", "completion_id", name=op.f("pk_ranked_completion")),
    )
    op.create_table(
        "ranking_comparison",
        sa.Column("comparison_id", sa.Uuid(), nullable=False),
        sa.Column("ranking_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparison.id"],
            name=op.f("fk_ranking_comparison_comparison_id_comparison"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["ranking_id"],
            ["prompt_assignment.id"],
            name=op.f("fk_ranking_comparison_ranking_id_prompt_assignment"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comparison_id", name=op.f("pk_ranking_comparison")),
    )
    op.create_index(
        op.f("ix_ranking_comparison_ranking_id"), "ranking_comparison", ["ranking_id"], unique=False
    )
    op.create_table(
        "rewrite",
        sa.Column("comparison_id", sa.Uuid(), nullable=False),
        sa.Column("chosen_id", sa.Uuid(), nullable=False),
        sa.Column("rejected_id", sa.Uuid(), nullable=False),
        sa.Column("edited_id", sa.Uuid(), nullable=False),
        sa.Column("derived_comparison_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["chosen_id"],
            ["completion.id"],
            name=op.f("fk_rewrite_chosen_id_completion"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparison.id"],
            name=op.f("fk_rewrite_comparison_id_comparison"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["derived_comparison_id"],
            ["comparison.id"],
            name=op.f("fk_rewrite_derived_comparison_id_comparison"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["edited_id"],
            ["completion.id"],
            name=op.f("fk_rewrite_edited_id_completion"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["rejected_id"],
            ["completion.id"],
            name=op.f("fk_rewrite_rejected_id_completion"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comparison_id", name=op.f("pk_rewrite")),
    )
    op.create_table(
        "span",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("comparison_id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("stop", sa.Integer(), nullable=False),
        sa.Column(
            "reason",
            sa.Enum(
                "wrong",
                "unsupported",
                "harmful",
                "off_task",
                "unclear",
                "good",
                name="spanreason",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("start >= 0 and stop > start", name=op.f("ck_span_has_length")),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparison.id"],
            name=op.f("fk_span_comparison_id_comparison"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["completion_id"],
            ["completion.id"],
            name=op.f("fk_span_completion_id_completion"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_span")),
        sa.UniqueConstraint(
            "comparison_id",
            "completion_id",
            "start",
            name=op.f("uq_span_comparison_id_completion_id_start"),
        ),
    )
    op.create_index(op.f("ix_span_completion_id"), "span", ["completion_id"], unique=False)
    op.add_column("completion", sa.Column("author_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_completion_author_id_person"), "completion", "person", ["author_id"], ["id"]
    )
    op.add_column(
        "project",
        sa.Column("is_ranking_on", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "project",
        sa.Column("is_rating_on", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "project",
        sa.Column(
            "is_demonstration_on", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
    )
    op.add_column(
        "project",
        sa.Column("is_rewrite_on", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "project",
        sa.Column("is_span_on", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("project", "is_span_on")
    op.drop_column("project", "is_rewrite_on")
    op.drop_column("project", "is_demonstration_on")
    op.drop_column("project", "is_rating_on")
    op.drop_column("project", "is_ranking_on")
    op.drop_constraint(op.f("fk_completion_author_id_person"), "completion", type_="foreignkey")
    op.drop_column("completion", "author_id")
    op.drop_index(op.f("ix_span_completion_id"), table_name="span")
    op.drop_table("span")
    op.drop_table("rewrite")
    op.drop_index(op.f("ix_ranking_comparison_ranking_id"), table_name="ranking_comparison")
    op.drop_table("ranking_comparison")
    op.drop_table("ranked_completion")
    op.drop_index(op.f("ix_demonstration_completion_id"), table_name="demonstration")
    op.drop_table("demonstration")
    op.drop_table("completion_rating")
    op.drop_index(
        "uq_prompt_assignment_live",
        table_name="prompt_assignment",
        postgresql_where=sa.text("state = 'leased'"),
    )
    op.drop_index("ix_prompt_assignment_state", table_name="prompt_assignment")
    op.drop_table("prompt_assignment")
