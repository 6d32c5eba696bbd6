"""live conversations: turns whose pairs are compared, and replies as jobs in a lane of their own

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NEW_ID = sa.text("gen_random_uuid()")
NOW = sa.text("clock_timestamp()")
JOBS = ("sft", "reward", "policy", "sample", "select")
DRAWS = (
    *("priority", "uniform", "overlap", "gold", "retest", "audit"),
    *("adjudication", "research"),
)


def upgrade() -> None:
    _allow("job", "jobkind", "kind", *JOBS, "reply")
    _allow("assignment", "draw", "draw", *DRAWS, "conversation")
    _index_jobs(" and kind <> 'reply'")
    is_on = sa.Column("is_talk_on", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("project", is_on)
    op.add_column("pair", sa.Column("conversation_id", sa.Uuid(), nullable=True))
    _make_conversations()
    _make_turns()


def _allow(table: str, name: str, column: str, *values: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    listed = ", ".join(f"'{value}'" for value in values)
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, f"{column} in ({listed})")


def _index_jobs(but: str) -> None:
    """One training job a project runs and one of a kind waits; `but` says which do not count."""
    op.drop_index("uq_job_running", table_name="job")
    op.drop_index("uq_job_queued", table_name="job")
    where = sa.text(f"state = 'running'{but}")
    op.create_index("uq_job_running", "job", ["project_id"], unique=True, postgresql_where=where)
    where = sa.text(f"state = 'queued' and attempt = 0{but}")
    columns = ["project_id", "kind"]
    op.create_index("uq_job_queued", "job", columns, unique=True, postgresql_where=where)


def _to(table: str, column: str, other: str, deletes: str | None = None) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{other}")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete=deletes)


def _state() -> sa.Enum:
    return sa.Enum(
        "open",
        "ended",
        name="conversationstate",
        native_enum=False,
        create_constraint=True,
        length=40,
    )


def _make_conversations() -> None:
    op.create_table(
        "conversation",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("annotator_id", sa.Uuid(), nullable=False),
        sa.Column("state", _state(), server_default="open", nullable=False),
        sa.Column("draft", sa.Text(), server_default="", nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        _to("conversation", "project_id", "project", "CASCADE"),
        _to("conversation", "annotator_id", "person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversation")),
    )
    op.create_index(
        "uq_conversation_open",
        "conversation",
        ["project_id", "annotator_id"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index("ix_conversation_annotator", "conversation", ["annotator_id", "project_id"])


def _make_turns() -> None:
    op.create_table(
        "turn",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("pair_id", sa.Uuid(), nullable=True),
        sa.Column("is_flipped", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_cut", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("comparison_id", sa.Uuid(), nullable=True),
        sa.Column("chosen_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("position >= 1", name=op.f("ck_turn_position_from_one")),
        sa.CheckConstraint(
            "(comparison_id is null) = (chosen_id is null)",
            name=op.f("ck_turn_chosen_by_a_comparison"),
        ),
        sa.CheckConstraint(
            "(pair_id is null) = (answered_at is null)", name=op.f("ck_turn_answered_with_a_pair")
        ),
        sa.CheckConstraint(
            "comparison_id is null or pair_id is not null", name=op.f("ck_turn_compared_a_pair")
        ),
        _to("turn", "conversation_id", "conversation", "CASCADE"),
        _to("turn", "job_id", "job", "SET NULL"),
        _to("turn", "pair_id", "pair", "CASCADE"),
        _to("turn", "comparison_id", "comparison", "CASCADE"),
        _to("turn", "chosen_id", "completion", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_turn")),
        sa.UniqueConstraint(
            "conversation_id", "position", name=op.f("uq_turn_conversation_id_position")
        ),
        sa.UniqueConstraint("pair_id", name=op.f("uq_turn_pair_id")),
        sa.UniqueConstraint("comparison_id", name=op.f("uq_turn_comparison_id")),
    )
    op.create_index(op.f("ix_turn_job_id"), "turn", ["job_id"])
    op.create_index(op.f("ix_turn_chosen_id"), "turn", ["chosen_id"])


def downgrade() -> None:
    op.drop_table("turn")
    op.drop_table("conversation")
    op.drop_column("pair", "conversation_id")
    op.drop_column("project", "is_talk_on")
    op.execute("delete from job where kind = 'reply'")
    op.execute("update assignment set draw = 'priority' where draw = 'conversation'")
    _index_jobs("")
    _allow("assignment", "draw", "draw", *DRAWS)
    _allow("job", "jobkind", "kind", *JOBS)
