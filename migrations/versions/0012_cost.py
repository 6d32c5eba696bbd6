"""what work costs: wages, and active time by day and control

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = ("wage", "personal_wage", "work_progress", "work_day", "work_control", "work_stale")
CONTROLS = ("prompt", "completion", "rating", "flag", "comment")
DAY = "(created_at at time zone 'UTC')::date"
# A new answer writes nothing here: it is found by its time.
TRIGGERS = f"""
create function note_reworked_answer() returns trigger language plpgsql as $$
begin
    insert into work_stale (project_id, person_id, day) values
        (old.project_id, old.annotator_id, (old.created_at at time zone 'UTC')::date),
        (new.project_id, new.annotator_id, (new.created_at at time zone 'UTC')::date);
    return null;
end $$;
create function note_gone_work() returns trigger language plpgsql as $$
begin
    insert into work_stale (project_id, person_id, day)
    select distinct project_id, annotator_id, {DAY} from gone;
    return null;
end $$;
create function note_regraded_pair() returns trigger language plpgsql as $$
begin
    insert into work_stale (project_id, person_id, day)
    select distinct project_id, annotator_id, {DAY} from comparison where pair_id = old.id;
    return null;
end $$;
create trigger comparison_reworked after update on comparison
for each row execute function note_reworked_answer();
create trigger comparison_work_gone after delete on comparison
referencing old table as gone for each statement execute function note_gone_work();
create trigger pair_regraded after update of is_gold on pair
for each row when (old.is_gold is distinct from new.is_gold) execute function note_regraded_pair();
"""  # noqa: S608


def upgrade() -> None:
    make_wages()
    make_work()
    op.execute(TRIGGERS)


def project(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_project_id_project")
    return sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=name, ondelete="CASCADE")


def make_wages() -> None:
    in_range = "per_hour between 0 and 1000000"
    op.create_table(
        "wage",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("per_hour", sa.Double(), nullable=True),
        sa.CheckConstraint(in_range, name=op.f("ck_wage_per_hour_range")),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_wage_currency_is_a_code")),
        project("wage"),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_wage")),
    )
    op.create_table(
        "personal_wage",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("per_hour", sa.Double(), nullable=False),
        sa.CheckConstraint(in_range, name=op.f("ck_personal_wage_per_hour_range")),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name=op.f("fk_personal_wage_person_id_person")
        ),
        project("personal_wage"),
        sa.PrimaryKeyConstraint("project_id", "person_id", name=op.f("pk_personal_wage")),
    )


def make_work() -> None:
    op.create_table(
        "work_progress",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("caught_up_to", sa.DateTime(timezone=True), nullable=False),
        project("work_progress"),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_work_progress")),
    )
    day = ("project_id", "day", "person_id")
    op.create_table(
        "work_day",
        *whose(),
        *whole("n", "n_fresh", "n_timed"),
        *sums(),
        project("work_day"),
        sa.PrimaryKeyConstraint(*day, name=op.f("pk_work_day")),
    )
    listed = ", ".join(f"'{one}'" for one in CONTROLS)
    op.create_table(
        "work_control",
        *whose(),
        sa.Column("control", sa.String(40), nullable=False),
        sa.Column("flag_id", sa.Uuid(), nullable=False),
        *whole("n_given", "n_timed"),
        *sums(),
        sa.CheckConstraint(f"control in ({listed})", name=op.f("ck_work_control_control")),
        project("work_control"),
        sa.PrimaryKeyConstraint(*day, "control", "flag_id", name=op.f("pk_work_control")),
    )
    op.create_table(
        "work_stale",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        *whose(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_stale")),
    )
    op.create_index("ix_work_stale_project_id", "work_stale", ["project_id"])


def whose() -> list[sa.Column]:
    ids = [sa.Column(name, sa.Uuid(), nullable=False) for name in ("project_id", "person_id")]
    return [*ids, sa.Column("day", sa.Date(), nullable=False)]


def whole(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def sums() -> list[sa.Column]:
    return [sa.Column(name, sa.Double(), nullable=False) for name in ("seconds", "squares")]


def downgrade() -> None:
    op.execute("drop trigger pair_regraded on pair")
    op.execute("drop trigger comparison_work_gone on comparison")
    op.execute("drop trigger comparison_reworked on comparison")
    for name in ("note_regraded_pair", "note_gone_work", "note_reworked_answer"):
        op.execute(f"drop function {name}()")
    for table in reversed(TABLES):
        op.drop_table(table)
