"""how sure an annotator is, where a project asks

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("comparison", "comparison_revision", "preference_row")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("confidence", sa.Integer()))
        op.create_check_constraint(
            op.f(f"ck_{table}_confidence_range"), table, "confidence between 1 and 5"
        )
    op.add_column(
        "project",
        sa.Column(
            "is_confidence_asked", sa.Boolean(), nullable=False, server_default=sa.text("false")
        ),
    )


def downgrade() -> None:
    op.drop_column("project", "is_confidence_asked")
    for table in reversed(TABLES):
        op.drop_constraint(op.f(f"ck_{table}_confidence_range"), table)
        op.drop_column(table, "confidence")
