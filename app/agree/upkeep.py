"""The agreement state in the database, brought up to date from what was answered since.

Nothing of this runs while an answer is posted: a page catches up before it reads, and the loop does
when it is idle. Counts are whole numbers, taken back and added anew a pair at a time, so the state
is exact after any order of answers, edits and deletions.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.tables.agree import EVERY_VERSION, NO_VERSION

# A row's time is never before the start of the transaction that writes it. So whatever is not yet
# seen now will carry a time after the oldest transaction that is under way.
HORIZON = text(
    """
    select least(clock_timestamp(), min(xact_start)) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
    """
)
HOLD = text("select pg_advisory_xact_lock(hashtextextended(:project, 41))")
PROGRESS = text("select caught_up_to from agreement_progress where project_id = :project")
REMEMBER = text(
    """
    insert into agreement_progress (project_id, caught_up_to) values (:project, :horizon)
    on conflict (project_id) do update set caught_up_to = excluded.caught_up_to
    """
)
STALE = text(
    """
    with gone as (delete from agreement_stale where project_id = :project returning pair_id)
    select distinct pair_id from gone
    """
)
NEW = text(
    """
    select distinct pair_id from comparison
    where project_id = :project and created_at >= :since
    """
)
COUNT = """
    insert into agreement_pattern (project_id, scope, week, counts, n)
    select project_id, scope, week, counts, {sign} count(*) from agreement_unit u
    where u.project_id = :project {which} group by project_id, scope, week, counts
    on conflict (project_id, scope, week, counts)
    do update set n = agreement_pattern.n + excluded.n
"""
FORGET = "delete from agreement_unit u where u.project_id = :project {which}"
TALLY = """
    insert into agreement_unit (project_id, pair_id, scope, week, counts)
    select :project, u.pair_id, s.scope,
        min(date_trunc('week', u.created_at at time zone 'UTC'))::date,
        array[{ratings}]::smallint[]
    from comparison u
    join pair p on p.id = u.pair_id and not p.is_gold
    cross join lateral (
        values (cast(:every as uuid)), (coalesce(u.guideline_version_id, cast(:none as uuid)))
    ) s(scope)
    where u.project_id = :project and not u.is_retest and u.role = 'annotator' {which}
        and not exists (
            select from exclusion e where e.project_id = :project
            and e.person_id = u.annotator_id and e.lifted_at is null
        )
    group by u.pair_id, s.scope
""".replace("{ratings}", ", ".join(f"count(*) filter (where u.rating = {k})" for k in range(1, 9)))
CLEAN = text("delete from agreement_pattern where project_id = :project and n = 0")


def catch_up(session: Session, project_id: uuid.UUID) -> int:
    """Take in what changed since the last time. Returns how many pairs that were; flushes.

    Left out: answers to gold items, which were chosen for being clear; retests, which tell a
    person from themselves; answers that an admin excluded; and those of adjudicators and
    researchers.
    """
    values: dict[str, Any] = {"project": project_id, "every": EVERY_VERSION, "none": NO_VERSION}
    session.flush()
    session.execute(HOLD, {"project": str(project_id)})
    horizon: datetime = session.execute(HORIZON).scalar_one()
    since = session.execute(PROGRESS, values).scalar()
    pairs = set(session.scalars(STALE, values))
    if since is None:
        return _rebuild(session, values, horizon)
    pairs |= set(session.scalars(NEW, {**values, "since": since}))
    if pairs:
        _recount(session, {**values, "pairs": list(pairs)}, "and u.pair_id = any(:pairs)")
        session.execute(REMEMBER, {**values, "horizon": horizon})
    return len(pairs)


def _rebuild(session: Session, values: dict[str, Any], horizon: datetime) -> int:
    _recount(session, values, "")
    session.execute(REMEMBER, {**values, "horizon": horizon})
    return int(
        session.execute(
            text("select count(distinct pair_id) from agreement_unit where project_id = :project"),
            values,
        ).scalar_one()
    )


def _recount(session: Session, values: dict[str, Any], which: str) -> None:
    """Take back what these pairs added to the patterns, and add what their answers say now."""
    for statement in (
        COUNT.format(sign="-", which=which),
        FORGET.format(which=which),
        TALLY.format(which=which),
        COUNT.format(sign="", which=which),
    ):
        session.execute(text(statement), values)
    session.execute(CLEAN, values)


def mark_stale(session: Session, project_id: uuid.UUID, person_id: uuid.UUID) -> None:
    """Have every pair that this person answered counted anew."""
    session.execute(
        text(
            """
            insert into agreement_stale (project_id, pair_id)
            select distinct project_id, pair_id from comparison
            where project_id = :project and annotator_id = :person
            """
        ),
        {"project": project_id, "person": person_id},
    )
