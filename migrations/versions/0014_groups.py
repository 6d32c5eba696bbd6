"""named groups of the people of a project

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NOW = sa.text("clock_timestamp()")


def _to(table: str, column: str, other: str, deletes: str | None = None) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{other}")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete=deletes)


def upgrade() -> None:
    op.create_table(
        "person_group",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        _to("person_group", "project_id", "project", "CASCADE"),
        _to("person_group", "created_by", "person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_group")),
    )
    op.create_index(
        "uq_person_group_name",
        "person_group",
        ["project_id", sa.literal_column("lower(name)")],
        unique=True,
    )
    op.create_table(
        "group_member",
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("added_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        _to("group_member", "group_id", "person_group", "CASCADE"),
        _to("group_member", "person_id", "person", "CASCADE"),
        _to("group_member", "added_by", "person"),
        sa.PrimaryKeyConstraint("group_id", "person_id", name=op.f("pk_group_member")),
    )
    op.create_index(op.f("ix_group_member_person_id"), "group_member", ["person_id"])


def downgrade() -> None:
    op.drop_table("group_member")
    op.drop_table("person_group")
