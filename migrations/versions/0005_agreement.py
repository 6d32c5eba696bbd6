"""agreement as it stands, and whose answers were set aside

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = (
    "agreement_progress",
    "agreement_unit",
    "agreement_pattern",
    "agreement_stale",
    "exclusion",
    "staff_note",
)
TRIGGERS = """
create function note_changed_answer() returns trigger language plpgsql as $$
begin
    insert into agreement_stale (project_id, pair_id) values (old.project_id, old.pair_id);
    return null;
end $$;
create function note_gone_answers() returns trigger language plpgsql as $$
begin
    insert into agreement_stale (project_id, pair_id)
    select distinct project_id, pair_id from gone;
    return null;
end $$;
create function note_changed_pair() returns trigger language plpgsql as $$
begin
    insert into agreement_stale (project_id, pair_id) values (old.project_id, old.id);
    return null;
end $$;
create trigger comparison_changed after update of rating, is_retest, annotator_id on comparison
for each row when (
    (old.rating, old.is_retest, old.annotator_id) is distinct from
    (new.rating, new.is_retest, new.annotator_id)
) execute function note_changed_answer();
create trigger comparison_gone after delete on comparison
referencing old table as gone for each statement execute function note_gone_answers();
create trigger pair_became_gold after update of is_gold on pair
for each row when (old.is_gold is distinct from new.is_gold) execute function note_changed_pair();
"""


def upgrade() -> None:
    make_state()
    make_decisions()
    op.execute(TRIGGERS)


def project(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_project_id_project")
    return sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=name, ondelete="CASCADE")


def person(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], ["person.id"], name=op.f(f"fk_{table}_{column}_person")
    )


def time(name: str, *, is_now: bool = False) -> sa.Column:
    default = sa.text("clock_timestamp()") if is_now else None
    kind = sa.DateTime(timezone=True)
    return sa.Column(name, kind, server_default=default, nullable=not is_now)


def make_state() -> None:
    op.create_table(
        "agreement_progress",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("caught_up_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wide_low", sa.Double(), nullable=True),
        sa.Column("wide_high", sa.Double(), nullable=True),
        sa.Column("wide_n", sa.Integer(), server_default="0", nullable=False),
        project("agreement_progress"),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_agreement_progress")),
    )
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
    op.create_table(
        "agreement_stale",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("pair_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreement_stale")),
    )
    op.create_index("ix_agreement_stale_project_id", "agreement_stale", ["project_id"])


def make_decisions() -> None:
    new_id = sa.text("gen_random_uuid()")
    op.create_table(
        "exclusion",
        sa.Column("id", sa.Uuid(), server_default=new_id, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by_id", sa.Uuid(), nullable=True),
        time("created_at", is_now=True),
        time("lifted_at"),
        sa.Column("lifted_by_id", sa.Uuid(), nullable=True),
        sa.Column("lift_reason", sa.Text(), server_default="", nullable=False),
        project("exclusion"),
        *(person("exclusion", one) for one in ("person_id", "by_id", "lifted_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exclusion")),
    )
    op.create_index(
        "uq_exclusion_standing",
        "exclusion",
        ["project_id", "person_id"],
        unique=True,
        postgresql_where=sa.text("lifted_at is null"),
    )
    op.create_table(
        "staff_note",
        sa.Column("id", sa.Uuid(), server_default=new_id, nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("by_id", sa.Uuid(), nullable=True),
        time("created_at", is_now=True),
        project("staff_note"),
        *(person("staff_note", one) for one in ("person_id", "by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_note")),
    )
    op.create_index("ix_staff_note_project_id_person_id", "staff_note", ["project_id", "person_id"])


def downgrade() -> None:
    op.execute("drop trigger pair_became_gold on pair")
    op.execute("drop trigger comparison_gone on comparison")
    op.execute("drop trigger comparison_changed on comparison")
    for name in ("note_changed_pair", "note_gone_answers", "note_changed_answer"):
        op.execute(f"drop function {name}()")
    for table in reversed(TABLES):
        op.drop_table(table)
