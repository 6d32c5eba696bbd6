"""the queue's mixture, retests, eligibility and freshness

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SHARES = {"uniform_share": "0.25"} | dict.fromkeys(
    ("overlap_share", "gold_share", "retest_share", "audit_share"), "0"
)
NUMBERS = {"overlap_answers": "3", "retest_days": "7", "kept_policies": "2"}
LIMITS = {"most_a_day": sa.Integer(), "most_in_total": sa.Integer(), "most_share": sa.Double()}

PROJECT_CHECKS = {
    "uniform_share_range": "uniform_share >= 0.25",
    "shares_not_negative": "least(overlap_share, gold_share, retest_share, audit_share) >= 0",
    "shares_within_whole": (
        "uniform_share + overlap_share + gold_share + retest_share + audit_share <= 1.000001"
    ),
    "overlap_answers_range": "overlap_answers between 2 and 20",
    "retest_days_range": "retest_days between 0 and 365",
    "kept_policies_range": "kept_policies between 1 and 1000",
    "most_a_day_range": "most_a_day >= 1",
    "most_in_total_range": "most_in_total >= 1",
    "most_share_range": "most_share > 0 and most_share <= 1",
}
PAIR_CHECKS = {
    "gold_or_audit": "not (is_gold and is_audit)",
    "superseded_is_closed": "expiry <> 'superseded' or not is_open",
}

PRIORITY = sa.literal_column("priority DESC")
QUEUES = {
    "ix_pair_fresh": (["project_id", PRIORITY, "id"], "n_taken = 0 and is_open and not is_gold"),
    "ix_pair_uniform": (["project_id", "id"], "n_taken = 0 and is_open and not is_gold"),
    "ix_pair_front": (
        ["project_id", sa.literal_column("n_taken DESC"), PRIORITY, "id"],
        "n_taken > 0 and n_taken < overlap and is_open and not is_gold",
    ),
}


def upgrade() -> None:
    for name, default in SHARES.items():
        op.add_column(
            "project", sa.Column(name, sa.Double(), server_default=default, nullable=False)
        )
    for name, default in NUMBERS.items():
        op.add_column(
            "project", sa.Column(name, sa.Integer(), server_default=default, nullable=False)
        )
    for name, kind in LIMITS.items():
        op.add_column("project", sa.Column(name, kind, nullable=True))
    for table in ("project", "person"):
        languages = sa.Column(
            "languages", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False
        )
        op.add_column(table, languages)
    for name, condition in PROJECT_CHECKS.items():
        op.create_check_constraint(op.f(f"ck_project_{name}"), "project", condition)
    upgrade_pairs()
    upgrade_retests()
    add_qualifications()


def upgrade_pairs() -> None:
    op.add_column(
        "pair", sa.Column("is_audit", sa.Boolean(), server_default="false", nullable=False)
    )
    expiry = sa.Enum(
        *("superseded", "reopened"),
        name="expiry",
        native_enum=False,
        create_constraint=True,
        length=40,
    )
    op.add_column("pair", sa.Column("expiry", expiry, nullable=True))
    for name, condition in PAIR_CHECKS.items():
        op.create_check_constraint(op.f(f"ck_pair_{name}"), "pair", condition)
    set_queues(" and not is_audit")
    op.create_index(
        "ix_pair_audit",
        "pair",
        ["project_id", "id"],
        postgresql_where=sa.text("is_audit and is_open and n_taken < overlap"),
    )


def set_queues(also: str) -> None:
    for name, (columns, condition) in QUEUES.items():
        op.drop_index(name, table_name="pair")
        op.create_index(name, "pair", columns, postgresql_where=sa.text(condition + also))


def upgrade_retests() -> None:
    for table in ("assignment", "comparison"):
        is_retest = sa.Column("is_retest", sa.Boolean(), server_default="false", nullable=False)
        op.add_column(table, is_retest)
        op.drop_constraint(op.f(f"uq_{table}_pair_id_annotator_id"), table, type_="unique")
        op.create_unique_constraint(
            op.f(f"uq_{table}_pair_id_annotator_id_is_retest"),
            table,
            ["pair_id", "annotator_id", "is_retest"],
        )
    op.drop_index("ix_comparison_annotator_id_created_at", table_name="comparison")
    op.create_index(
        "ix_comparison_annotator", "comparison", ["annotator_id", "project_id", "created_at"]
    )


def add_qualifications() -> None:
    new_id = sa.text("gen_random_uuid()")
    now = sa.text("clock_timestamp()")
    op.create_table(
        "qualification",
        sa.Column("id", sa.Uuid(), server_default=new_id, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_required", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_qualification_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qualification")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_qualification_project_id_name")),
    )
    op.create_table(
        "qualification_grant",
        sa.Column("id", sa.Uuid(), server_default=new_id, nullable=False),
        sa.Column("qualification_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("granted_by", sa.Uuid(), nullable=True),
        sa.Column("granted_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("revoked_by", sa.Uuid(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["qualification_id"],
            ["qualification.id"],
            name=op.f("fk_qualification_grant_qualification_id_qualification"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
            name=op.f("fk_qualification_grant_person_id_person"),
            ondelete="CASCADE",
        ),
        *(
            sa.ForeignKeyConstraint(
                [column], ["person.id"], name=op.f(f"fk_qualification_grant_{column}_person")
            )
            for column in ("granted_by", "revoked_by")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qualification_grant")),
    )
    op.create_index(
        "uq_qualification_grant_held",
        "qualification_grant",
        ["qualification_id", "person_id"],
        unique=True,
        postgresql_where=sa.text("revoked_at is null"),
    )
    op.create_index("ix_qualification_grant_person_id", "qualification_grant", ["person_id"])


def downgrade() -> None:
    op.drop_table("qualification_grant")
    op.drop_table("qualification")
    op.drop_index("ix_comparison_annotator", table_name="comparison")
    op.create_index(
        "ix_comparison_annotator_id_created_at", "comparison", ["annotator_id", "created_at"]
    )
    # One answer a pair and person is all that the tables before could hold.
    for table in ("comparison", "assignment"):
        op.execute(f"delete from {table} where is_retest")  # noqa: S608 (two names of our own)
        op.drop_constraint(
            op.f(f"uq_{table}_pair_id_annotator_id_is_retest"), table, type_="unique"
        )
        op.drop_column(table, "is_retest")
        op.create_unique_constraint(
            op.f(f"uq_{table}_pair_id_annotator_id"), table, ["pair_id", "annotator_id"]
        )
    op.drop_index("ix_pair_audit", table_name="pair")
    set_queues("")
    for name in PAIR_CHECKS:
        op.drop_constraint(op.f(f"ck_pair_{name}"), "pair", type_="check")
    op.drop_column("pair", "expiry")
    op.drop_column("pair", "is_audit")
    for name in PROJECT_CHECKS:
        op.drop_constraint(op.f(f"ck_project_{name}"), "project", type_="check")
    for name in (*SHARES, *NUMBERS, *LIMITS, "languages"):
        op.drop_column("project", name)
    op.drop_column("person", "languages")
