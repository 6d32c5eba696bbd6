"""an index of the few answers that are not annotators'

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_comparison_expert",
        "comparison",
        ["project_id"],
        postgresql_where=sa.text("role <> 'annotator'"),
    )


def downgrade() -> None:
    op.drop_index("ix_comparison_expert", table_name="comparison")
