"""reasons to skip, messages, who has read the guidelines, who paused whom, breaks

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NEW_ID = sa.text("gen_random_uuid()")
NOW = sa.text("clock_timestamp()")
REASONS = (
    ("I have seen this before", "false"),
    ("I would rather not read this", "false"),
    ("I do not know enough about this to judge", "false"),
    ("The prompt makes no sense", "false"),
    ("The text is broken or in a language I do not read", "false"),
    ("Other", "true"),
)
CHECKS = {
    "skips_to_admin_range": "skips_to_admin between 1 and 1000",
    "break_range": "break_after_minutes between 5 and 480",
}
PAUSE = {
    "paused_by": sa.Uuid(),
    "paused_at": sa.DateTime(timezone=True),
    "paused_until": sa.DateTime(timezone=True),
}


def upgrade() -> None:
    add_reasons()
    add_settings()
    add_messages()
    op.create_table(
        "guideline_reading",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("guideline_version_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        _to("guideline_reading", "guideline_version_id", "guideline_version", "CASCADE"),
        _to("guideline_reading", "person_id", "person", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guideline_reading")),
        sa.UniqueConstraint(
            "guideline_version_id",
            "person_id",
            name=op.f("uq_guideline_reading_guideline_version_id_person_id"),
        ),
    )


def _to(table: str, column: str, other: str, deletes: str | None = None) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{other}")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete=deletes)


def add_reasons() -> None:
    op.create_table(
        "skip_reason",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_words_needed", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("is_archived", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        _to("skip_reason", "project_id", "project", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skip_reason")),
        sa.UniqueConstraint("project_id", "label", name=op.f("uq_skip_reason_project_id_label")),
    )
    for position, (label, is_words_needed) in enumerate(REASONS):
        op.execute(
            sa.text(
                "insert into skip_reason (project_id, label, position, is_words_needed) "
                "select id, :label, :position, cast(:needed as boolean) from project"
            ).bindparams(label=label, position=position, needed=is_words_needed)
        )
    op.add_column("assignment", sa.Column("skip_reason_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_assignment_skip_reason_id_skip_reason"),
        *("assignment", "skip_reason", ["skip_reason_id"], ["id"]),
    )
    op.create_index(
        "ix_assignment_skipped",
        "assignment",
        ["project_id", "pair_id"],
        postgresql_where=sa.text("state = 'skipped'"),
    )


def add_settings() -> None:
    op.add_column("project", sa.Column("skips_to_admin", sa.Integer(), nullable=True))
    op.add_column(
        "project",
        sa.Column("break_after_minutes", sa.Integer(), server_default="50", nullable=True),
    )
    op.add_column(
        "project",
        sa.Column("is_reading_required", sa.Boolean(), server_default="false", nullable=False),
    )
    for name, condition in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_project_{name}"), "project", condition)
    for name, kind in PAUSE.items():
        op.add_column("membership", sa.Column(name, kind, nullable=True))
    op.create_foreign_key(
        op.f("fk_membership_paused_by_person"), "membership", "person", ["paused_by"], ["id"]
    )


def add_messages() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("sender_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("comparison_id", sa.Uuid(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        _to("message", "project_id", "project", "CASCADE"),
        _to("message", "sender_id", "person"),
        _to("message", "recipient_id", "person"),
        _to("message", "comparison_id", "comparison", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
    )
    newest = sa.literal_column("created_at DESC")
    op.create_index(
        "ix_message_unread",
        "message",
        ["recipient_id"],
        postgresql_where=sa.text("read_at is null"),
    )
    op.create_index("ix_message_recipient", "message", ["recipient_id", newest])
    op.create_index("ix_message_sender", "message", ["sender_id", newest])
    for column in ("project_id", "comparison_id"):
        op.create_index(op.f(f"ix_message_{column}"), "message", [column])


def downgrade() -> None:
    op.drop_table("guideline_reading")
    op.drop_table("message")
    op.drop_constraint(op.f("fk_membership_paused_by_person"), "membership", type_="foreignkey")
    for name in PAUSE:
        op.drop_column("membership", name)
    for name in CHECKS:
        op.drop_constraint(op.f(f"ck_project_{name}"), "project", type_="check")
    for name in ("is_reading_required", "break_after_minutes", "skips_to_admin"):
        op.drop_column("project", name)
    op.drop_index("ix_assignment_skipped", table_name="assignment")
    op.drop_column("assignment", "skip_reason_id")
    op.drop_table("skip_reason")
