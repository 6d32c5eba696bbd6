"""the parts of an answer without keys of their own

Four rows and more come with every answer, and nothing names one of them by an id.

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

PARTS = ("flag_answer", "control_time")


def upgrade() -> None:
    for part in PARTS:
        op.drop_column(part, "id")
    op.drop_index("ix_control_time_flag_id", "control_time")
    op.create_index(
        "ix_control_time_flag_id",
        "control_time",
        ["flag_id"],
        postgresql_where=sa.text("flag_id is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_control_time_flag_id", "control_time")
    op.create_index("ix_control_time_flag_id", "control_time", ["flag_id"])
    for part in PARTS:
        op.add_column(
            part,
            sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        )
        op.create_primary_key(f"pk_{part}", part, ["id"])
