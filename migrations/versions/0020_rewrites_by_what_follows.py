"""rewrites are found by the comparison that follows from them

Revision ID: 0020
Revises: 0019
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_rewrite_derived_comparison_id"), "rewrite", ["derived_comparison_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_rewrite_derived_comparison_id"), "rewrite")
