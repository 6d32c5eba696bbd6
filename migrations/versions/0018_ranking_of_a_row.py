"""which ranking a frozen comparison follows from

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("preference_row", sa.Column("ranking_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("preference_row", "ranking_id")
