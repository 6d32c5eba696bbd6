"""gold items, tests and adjudication

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DRAWS = ("priority", "uniform", "overlap", "gold", "retest", "audit")
DECIDED = ("adjudication", "research")
CHECKS = {
    "pair": ("reward_chance_range", "reward_chance between 0 and 1"),
    "project": ("gold_seen_share_range", "gold_seen_share > 0 and gold_seen_share <= 1"),
}


def upgrade() -> None:
    make_tests()
    make_gold()
    make_items()
    make_adjudication()
    add_columns()
    allow_draws(*DRAWS, *DECIDED)


def allow_draws(*draws: str) -> None:
    names = ", ".join(f"'{draw}'" for draw in draws)
    op.drop_constraint(op.f("ck_assignment_draw"), "assignment", type_="check")
    op.create_check_constraint(op.f("ck_assignment_draw"), "assignment", f"draw in ({names})")


def make_tests() -> None:
    op.create_table(
        "qualification_test",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("qualification_id", sa.Uuid(), nullable=False),
        sa.Column("pass_share", sa.Double(), server_default="0.8", nullable=False),
        sa.Column("most_tries", sa.Integer(), server_default="3", nullable=True),
        sa.Column("wait_hours", sa.Integer(), server_default="24", nullable=False),
        sa.Column("n_asked", sa.Integer(), server_default="10", nullable=False),
        sa.Column("is_open", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "most_tries between 1 and 100", name=op.f("ck_qualification_test_most_tries_range")
        ),
        sa.CheckConstraint("n_asked >= 1", name=op.f("ck_qualification_test_n_asked_range")),
        sa.CheckConstraint(
            "pass_share > 0 and pass_share <= 1",
            name=op.f("ck_qualification_test_pass_share_range"),
        ),
        sa.CheckConstraint(
            "wait_hours between 0 and 8760", name=op.f("ck_qualification_test_wait_hours_range")
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["person.id"], name=op.f("fk_qualification_test_created_by_person")
        ),
        sa.ForeignKeyConstraint(
            ["qualification_id"],
            ["qualification.id"],
            name=op.f("fk_qualification_test_qualification_id_qualification"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qualification_test")),
        sa.UniqueConstraint(
            "qualification_id", name=op.f("uq_qualification_test_qualification_id")
        ),
    )
    op.create_table(
        "test_attempt",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("test_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("pass_share", sa.Double(), nullable=False),
        sa.Column("n_asked", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_right", sa.Integer(), server_default="0", nullable=False),
        sa.Column("is_passed", sa.Boolean(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["person.id"],
            name=op.f("fk_test_attempt_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["test_id"],
            ["qualification_test.id"],
            name=op.f("fk_test_attempt_test_id_qualification_test"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_attempt")),
        sa.UniqueConstraint(
            "test_id", "person_id", "number", name=op.f("uq_test_attempt_test_id_person_id_number")
        ),
    )
    op.create_index(op.f("ix_test_attempt_person_id"), "test_attempt", ["person_id"], unique=False)
    op.create_index(
        "uq_test_attempt_under_way",
        "test_attempt",
        ["test_id", "person_id"],
        unique=True,
        postgresql_where=sa.text("ended_at is null"),
    )


def make_gold() -> None:
    op.create_table(
        "gold_item",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("pair_id", sa.Uuid(), nullable=False),
        sa.Column("low", sa.Integer(), nullable=False),
        sa.Column("high", sa.Integer(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("explanation_html", sa.Text(), nullable=False),
        sa.Column("guideline_version_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("low <= high", name=op.f("ck_gold_item_low_first")),
        sa.CheckConstraint(
            "low between 1 and 8 and high between 1 and 8", name=op.f("ck_gold_item_ratings_range")
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["person.id"], name=op.f("fk_gold_item_created_by_person")
        ),
        sa.ForeignKeyConstraint(
            ["guideline_version_id"],
            ["guideline_version.id"],
            name=op.f("fk_gold_item_guideline_version_id_guideline_version"),
        ),
        sa.ForeignKeyConstraint(
            ["pair_id"], ["pair.id"], name=op.f("fk_gold_item_pair_id_pair"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_gold_item_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["retired_by"], ["person.id"], name=op.f("fk_gold_item_retired_by_person")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gold_item")),
        sa.UniqueConstraint("pair_id", name=op.f("uq_gold_item_pair_id")),
    )
    op.create_index("ix_gold_item_project_id", "gold_item", ["project_id"], unique=False)
    op.create_table(
        "gold_flag",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("gold_item_id", sa.Uuid(), nullable=False),
        sa.Column("flag_id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=True),
        sa.Column("value", sa.Integer(), nullable=True),
        sa.CheckConstraint("value between 0 and 7", name=op.f("ck_gold_flag_value_range")),
        sa.ForeignKeyConstraint(
            ["completion_id"], ["completion.id"], name=op.f("fk_gold_flag_completion_id_completion")
        ),
        sa.ForeignKeyConstraint(["flag_id"], ["flag.id"], name=op.f("fk_gold_flag_flag_id_flag")),
        sa.ForeignKeyConstraint(
            ["gold_item_id"],
            ["gold_item.id"],
            name=op.f("fk_gold_flag_gold_item_id_gold_item"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gold_flag")),
        sa.UniqueConstraint(
            "gold_item_id",
            "flag_id",
            "completion_id",
            name=op.f("uq_gold_flag_gold_item_id_flag_id_completion_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )


def make_items() -> None:
    op.create_table(
        "test_answer",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("gold_item_id", sa.Uuid(), nullable=False),
        sa.Column(
            "round",
            sa.Enum(
                "training",
                "test",
                name="round",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_flipped", sa.Boolean(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("is_right", sa.Boolean(), nullable=True),
        sa.Column("n_flags", sa.Integer(), server_default="0", nullable=False),
        sa.Column("n_flags_right", sa.Integer(), server_default="0", nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(rating is null) = (is_right is null)", name=op.f("ck_test_answer_right_if_rated")
        ),
        sa.CheckConstraint("rating between 1 and 8", name=op.f("ck_test_answer_rating_range")),
        sa.ForeignKeyConstraint(
            ["attempt_id"],
            ["test_attempt.id"],
            name=op.f("fk_test_answer_attempt_id_test_attempt"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["gold_item_id"],
            ["gold_item.id"],
            name=op.f("fk_test_answer_gold_item_id_gold_item"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_answer")),
        sa.UniqueConstraint(
            "attempt_id", "gold_item_id", name=op.f("uq_test_answer_attempt_id_gold_item_id")
        ),
    )
    op.create_index(
        op.f("ix_test_answer_gold_item_id"), "test_answer", ["gold_item_id"], unique=False
    )
    op.create_table(
        "test_item",
        sa.Column("gold_item_id", sa.Uuid(), nullable=False),
        sa.Column("test_id", sa.Uuid(), nullable=False),
        sa.Column(
            "round",
            sa.Enum(
                "training",
                "test",
                name="round",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["gold_item_id"],
            ["gold_item.id"],
            name=op.f("fk_test_item_gold_item_id_gold_item"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["test_id"],
            ["qualification_test.id"],
            name=op.f("fk_test_item_test_id_qualification_test"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("gold_item_id", name=op.f("pk_test_item")),
    )
    op.create_index(op.f("ix_test_item_test_id"), "test_item", ["test_id"], unique=False)


def make_adjudication() -> None:
    op.create_table(
        "adjudication",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("pair_id", sa.Uuid(), nullable=False),
        sa.Column("by_id", sa.Uuid(), nullable=False),
        sa.Column("comparison_id", sa.Uuid(), nullable=True),
        sa.Column(
            "is_guideline_at_fault", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["by_id"], ["person.id"], name=op.f("fk_adjudication_by_id_person")
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparison.id"],
            name=op.f("fk_adjudication_comparison_id_comparison"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["pair_id"], ["pair.id"], name=op.f("fk_adjudication_pair_id_pair"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_adjudication_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjudication")),
    )
    op.create_index(
        "ix_adjudication_project_id_pair_id",
        "adjudication",
        ["project_id", "pair_id"],
        unique=False,
    )
    op.create_table(
        "rework",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("comparison_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("asked_by", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["asked_by"], ["person.id"], name=op.f("fk_rework_asked_by_person")
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id"],
            ["comparison.id"],
            name=op.f("fk_rework_comparison_id_comparison"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["message_id"],
            ["message.id"],
            name=op.f("fk_rework_message_id_message"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["project.id"],
            name=op.f("fk_rework_project_id_project"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rework")),
    )
    op.create_index("ix_rework_comparison_id", "rework", ["comparison_id"], unique=False)
    op.create_index(op.f("ix_rework_project_id"), "rework", ["project_id"], unique=False)


def add_columns() -> None:
    op.add_column(
        "comparison",
        sa.Column(
            "role",
            sa.Enum(
                "annotator",
                "adjudicator",
                "researcher",
                name="answerrole",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            server_default="annotator",
            nullable=False,
        ),
    )
    op.add_column("pair", sa.Column("reward_chance", sa.Double(), nullable=True))
    op.add_column(
        "project", sa.Column("gold_seen_share", sa.Double(), server_default="0.5", nullable=True)
    )
    op.add_column(
        "project",
        sa.Column("is_gold_told", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("qualification_grant", sa.Column("attempt_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_qualification_grant_attempt_id_test_attempt"),
        "qualification_grant",
        "test_attempt",
        ["attempt_id"],
        ["id"],
        ondelete="SET NULL",
    )
    for table, (name, condition) in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def downgrade() -> None:
    for draw in DECIDED:
        op.execute(f"update assignment set draw = 'overlap' where draw = '{draw}'")  # noqa: S608
    allow_draws(*DRAWS)
    for table, (name, _) in CHECKS.items():
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    op.drop_constraint(
        op.f("fk_qualification_grant_attempt_id_test_attempt"),
        "qualification_grant",
        type_="foreignkey",
    )
    op.drop_column("qualification_grant", "attempt_id")
    op.drop_column("project", "is_gold_told")
    op.drop_column("project", "gold_seen_share")
    op.drop_column("pair", "reward_chance")
    op.drop_column("comparison", "role")
    op.drop_index(op.f("ix_rework_project_id"), table_name="rework")
    op.drop_index("ix_rework_comparison_id", table_name="rework")
    op.drop_table("rework")
    op.drop_index("ix_adjudication_project_id_pair_id", table_name="adjudication")
    op.drop_table("adjudication")
    op.drop_index(op.f("ix_test_item_test_id"), table_name="test_item")
    op.drop_table("test_item")
    op.drop_index(op.f("ix_test_answer_gold_item_id"), table_name="test_answer")
    op.drop_table("test_answer")
    op.drop_table("gold_flag")
    op.drop_index("ix_gold_item_project_id", table_name="gold_item")
    op.drop_table("gold_item")
    op.drop_index(
        "uq_test_attempt_under_way",
        table_name="test_attempt",
        postgresql_where=sa.text("ended_at is null"),
    )
    op.drop_index(op.f("ix_test_attempt_person_id"), table_name="test_attempt")
    op.drop_table("test_attempt")
    op.drop_table("qualification_test")
