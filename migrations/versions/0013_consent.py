"""consent, demographics, and answers that their author withdrew

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NEW_ID = sa.text("gen_random_uuid()")
NOW = sa.text("clock_timestamp()")
NO = sa.text("false")


def _to(table: str, column: str, other: str, deletes: str | None = None) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{other}")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete=deletes)


def _enum(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=40)


def upgrade() -> None:
    _add_columns()
    _make_consents()
    op.create_table(
        "demographic_answer",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column(
            "question",
            _enum("question", "age", "gender", "country", "languages", "education"),
            nullable=False,
        ),
        sa.Column("choice", sa.Text(), nullable=False),
        _to("demographic_answer", "project_id", "project", "CASCADE"),
        _to("demographic_answer", "person_id", "person", "CASCADE"),
        sa.PrimaryKeyConstraint(
            "project_id", "person_id", "question", "choice", name=op.f("pk_demographic_answer")
        ),
    )
    op.create_index(op.f("ix_demographic_answer_person_id"), "demographic_answer", ["person_id"])


def _add_columns() -> None:
    op.add_column("project", sa.Column("consent_from", sa.Integer(), nullable=True))
    for name, default in (("is_consent_required", NO), ("is_leaving_out_allowed", sa.text("true"))):
        column = sa.Column(name, sa.Boolean(), server_default=default, nullable=False)
        op.add_column("project", column)
    questions = sa.Column(
        "demographic_questions", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False
    )
    op.add_column("project", questions)
    op.add_column("exclusion", sa.Column("is_own", sa.Boolean(), server_default=NO, nullable=False))
    _index_exclusions("project_id", "person_id", "is_own")


def _index_exclusions(*columns: str) -> None:
    op.drop_index("uq_exclusion_standing", table_name="exclusion")
    stands = sa.text("lifted_at is null")
    op.create_index(
        "uq_exclusion_standing", "exclusion", columns, unique=True, postgresql_where=stands
    )


def _make_consents() -> None:
    op.create_table(
        "consent_text",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("markdown", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("is_asked_again", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        _to("consent_text", "project_id", "project", "CASCADE"),
        _to("consent_text", "created_by", "person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_text")),
        sa.UniqueConstraint("project_id", "number", name=op.f("uq_consent_text_project_id_number")),
    )
    op.create_table(
        "consent",
        sa.Column("id", sa.Uuid(), server_default=NEW_ID, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", _enum("ending", "renewed", "withdrawn", "left_out"), nullable=True),
        sa.CheckConstraint(
            "(ended_at is null) = (ending is null)", name=op.f("ck_consent_ended_somehow")
        ),
        _to("consent", "project_id", "project", "CASCADE"),
        _to("consent", "person_id", "person", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    op.create_index(
        "ix_consent_person", "consent", ["person_id", "project_id", sa.text("given_at desc")]
    )
    op.create_index(
        "uq_consent_standing",
        "consent",
        ["project_id", "person_id"],
        unique=True,
        postgresql_where=sa.text("ended_at is null"),
    )


def downgrade() -> None:
    op.drop_table("demographic_answer")
    op.drop_table("consent")
    op.drop_table("consent_text")
    # What people withdrew has no place in the older tables, and must not count by accident: it
    # stays excluded, as an admin's decision where there is none yet.
    op.execute(
        "delete from exclusion e where is_own and lifted_at is null and exists (select from "
        "exclusion o where o.project_id = e.project_id and o.person_id = e.person_id "
        "and not o.is_own and o.lifted_at is null)"
    )
    _index_exclusions("project_id", "person_id")
    op.drop_column("exclusion", "is_own")
    for name in (
        *("demographic_questions", "is_leaving_out_allowed"),
        *("is_consent_required", "consent_from"),
    ):
        op.drop_column("project", name)
