"""patterns of flags' answers, and one row a pair for where it is counted

Revision ID: 0024
Revises: 0023
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

CHANGES = "rating, is_retest, annotator_id"
MORE_CHANGES = f"{CHANGES}, role, guideline_version_id, created_at, revision"
# A new answer comes with its flags and writes nothing here: it is found by its time.
TRIGGERS = """
create function forget_agreement() returns trigger language plpgsql as $$
begin
    delete from agreement_unit where project_id = old.project_id;
    delete from agreement_pattern where project_id = old.project_id;
    return null;
end $$;
create trigger agreement_begun_anew after delete on agreement_progress
for each row execute function forget_agreement();
create function note_changed_flags() returns trigger language plpgsql as $$
begin
    insert into agreement_stale (project_id, pair_id)
    select distinct c.project_id, c.pair_id from gone join comparison c on c.id = gone.comparison_id;
    return null;
end $$;
create trigger flag_answer_gone after delete on flag_answer
referencing old table as gone for each statement execute function note_changed_flags();
create trigger flag_answer_changed after update on flag_answer
referencing old table as gone for each statement execute function note_changed_flags();
"""


def upgrade() -> None:
    drop_state()
    op.add_column(
        "agreement_progress",
        sa.Column("has_flags", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_table(
        "agreement_unit",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("pair_id", sa.Uuid(), nullable=False),
        sa.Column("is_of_flags", sa.Boolean(), nullable=False),
        sa.Column("patterns", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint(
            "project_id", "pair_id", "is_of_flags", name=op.f("pk_agreement_unit")
        ),
    )
    op.create_table(
        "agreement_pattern",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("flag_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Uuid(), nullable=False),
        sa.Column("is_whole", sa.Boolean(), nullable=False),
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("counts", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        project("agreement_pattern"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreement_pattern")),
        sa.UniqueConstraint(
            *("project_id", "flag_id", "scope", "is_whole", "week", "counts"),
            name=op.f("uq_agreement_pattern_counts"),
        ),
    )
    note_changes(MORE_CHANGES)
    op.execute(TRIGGERS)


def downgrade() -> None:
    op.execute("drop trigger flag_answer_changed on flag_answer")
    op.execute("drop trigger flag_answer_gone on flag_answer")
    op.execute("drop trigger agreement_begun_anew on agreement_progress")
    op.execute("drop function note_changed_flags()")
    op.execute("drop function forget_agreement()")
    note_changes(CHANGES)
    drop_state()
    op.drop_column("agreement_progress", "has_flags")
    op.create_table(
        "agreement_unit",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("pair_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Uuid(), nullable=False),
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("counts", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        project("agreement_unit"),
        sa.PrimaryKeyConstraint("pair_id", "scope", name=op.f("pk_agreement_unit")),
    )
    op.create_index("ix_agreement_unit_project_id", "agreement_unit", ["project_id"])
    op.create_table(
        "agreement_pattern",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("scope", sa.Uuid(), nullable=False),
        sa.Column("week", sa.Date(), nullable=False),
        sa.Column("counts", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        project("agreement_pattern"),
        sa.PrimaryKeyConstraint(
            *("project_id", "scope", "week", "counts"), name=op.f("pk_agreement_pattern")
        ),
    )


def drop_state() -> None:
    """The state is counted anew from the answers when it is next looked at."""
    op.drop_table("agreement_pattern")
    op.drop_table("agreement_unit")
    op.execute("delete from agreement_progress")


def note_changes(columns: str) -> None:
    old, new = (", ".join(f"{of}.{one}" for one in columns.split(", ")) for of in ("old", "new"))
    op.execute("drop trigger comparison_changed on comparison")
    op.execute(
        f"create trigger comparison_changed after update of {columns} on comparison "
        f"for each row when (({old}) is distinct from ({new})) "
        "execute function note_changed_answer()"
    )


def project(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_project_id_project")
    return sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=name, ondelete="CASCADE")
