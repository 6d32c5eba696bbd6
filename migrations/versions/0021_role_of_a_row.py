"""in which role a frozen comparison was given

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

ROLES = ("annotator", "adjudicator", "researcher")


def upgrade() -> None:
    role = sa.Enum(*ROLES, name="answerrole", native_enum=False, create_constraint=True, length=40)
    op.add_column("preference_row", sa.Column("role", role, nullable=True))


def downgrade() -> None:
    op.drop_column("preference_row", "role")
