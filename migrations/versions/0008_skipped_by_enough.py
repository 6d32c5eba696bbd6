"""pairs that enough people skipped are out of the queue until an admin decides

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAME = "ck_pair_expiry"


def _allow(*values: str) -> None:
    op.drop_constraint(op.f(NAME), "pair", type_="check")
    listed = ", ".join(f"'{value}'" for value in values)
    op.create_check_constraint(op.f(NAME), "pair", f"expiry in ({listed})")


def upgrade() -> None:
    _allow("superseded", "reopened", "skipped")


def downgrade() -> None:
    op.execute("update pair set is_open = true, expiry = null where expiry = 'skipped'")
    _allow("superseded", "reopened")
