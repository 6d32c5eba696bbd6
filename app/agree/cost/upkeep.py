"""Days of work in the database, brought up to date from what was answered since.

Nothing of this runs while an answer is posted. A day of a person is counted anew as a whole when
anything about it is new or changed, so the state is exact after any order of answers, edits and
deletions.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.agree.upkeep import HORIZON
from app.tables.cost import NO_FLAG

HOLD = text("select pg_advisory_xact_lock(hashtextextended(:project, 42))")
PROGRESS = text("select caught_up_to from work_progress where project_id = :project")
REMEMBER = text(
    """
    insert into work_progress (project_id, caught_up_to) values (:project, :horizon)
    on conflict (project_id) do update set caught_up_to = excluded.caught_up_to
    """
)
STALE = text(
    """
    with gone as (delete from work_stale where project_id = :project returning person_id, day)
    select distinct person_id, day from gone
    """
)
NEW = text(
    """
    select distinct annotator_id, (created_at at time zone 'UTC')::date from comparison
    where project_id = :project and created_at >= :since
    """
)
# Either all of a project, or the days of some people.
ALL = """
    select c.*, c.annotator_id as person_id, (c.created_at at time zone 'UTC')::date as day
    from comparison c where c.project_id = :project and c.role = 'annotator'
"""
SOME = """
    select c.*, b.person_id, b.day
    from unnest(cast(:people as uuid[]), cast(:days as date[])) as b (person_id, day)
    join comparison c on c.annotator_id = b.person_id and c.project_id = :project
        and c.created_at >= b.day::timestamp at time zone 'UTC'
        and c.created_at < (b.day + 1)::timestamp at time zone 'UTC'
    where c.role = 'annotator'
"""
FORGET_ALL = "delete from {table} w where w.project_id = :project"
FORGET_SOME = """
    delete from {table} w
    using unnest(cast(:people as uuid[]), cast(:days as date[])) as b (person_id, day)
    where w.project_id = :project and w.person_id = b.person_id and w.day = b.day
"""
COUNT_DAYS = """
    insert into work_day (project_id, person_id, day, n, n_fresh, n_timed, seconds, squares)
    select :project, c.person_id, c.day, count(*),
        count(*) filter (where not c.is_retest and not c.is_surplus and not p.is_gold),
        count(*) filter (where c.seconds > 0), sum(c.seconds), sum(c.seconds * c.seconds)
    from ({answers}) c join pair p on p.id = c.pair_id
    group by c.person_id, c.day
"""
COUNT_CONTROLS = """
    with timed as materialized (
        select c.id, c.person_id, c.day, c.comment <> '' as has_comment,
            t.control, coalesce(t.flag_id, :no_flag) as flag_id, sum(t.seconds) as seconds
        from ({answers}) c join control_time t on t.comparison_id = c.id
        group by c.id, c.person_id, c.day, c.comment <> '', t.control, t.flag_id
    ),
    measured as materialized (select distinct id, person_id, day, has_comment from timed),
    given as (
        select m.person_id, m.day, k.control, cast(:no_flag as uuid) as flag_id,
            count(*) filter (where k.control <> 'comment' or m.has_comment) as n
        from measured m, (values ('prompt'), ('completion'), ('rating'), ('comment')) k (control)
        group by m.person_id, m.day, k.control
        union all
        select m.person_id, m.day, 'flag', fa.flag_id, count(*)
        from measured m join flag_answer fa on fa.comparison_id = m.id
        group by m.person_id, m.day, fa.flag_id
    ),
    spent as (
        select person_id, day, control, flag_id, count(*) as n, sum(seconds) as seconds,
            sum(seconds * seconds) as squares
        from timed group by person_id, day, control, flag_id
    )
    insert into work_control
        (project_id, person_id, day, control, flag_id, n_given, n_timed, seconds, squares)
    select :project, person_id, day, control, flag_id, coalesce(given.n, 0), coalesce(spent.n, 0),
        coalesce(spent.seconds, 0), coalesce(spent.squares, 0)
    from spent full join given using (person_id, day, control, flag_id)
"""


def catch_up_work(session: Session, project_id: uuid.UUID) -> int:
    """Take in what changed since the last time. Returns how many days of people that were, or -1
    where all was counted for the first time; flushes.

    Gold items, retests and surplus answers are work too; answers of staff as staff are left out.
    """
    values: dict[str, Any] = {"project": project_id, "no_flag": NO_FLAG}
    session.flush()
    session.execute(HOLD, {"project": str(project_id)})
    horizon: datetime = session.execute(HORIZON).scalar_one()
    since = session.execute(PROGRESS, values).scalar()
    days = {tuple(row) for row in session.execute(STALE, values)}
    if since is None:
        _recount(session, values, ALL, FORGET_ALL)
        session.execute(REMEMBER, {**values, "horizon": horizon})
        return -1
    days |= {tuple(row) for row in session.execute(NEW, {**values, "since": since})}
    if days:
        people, dates = zip(*sorted(days), strict=True)
        values |= {"people": list(people), "days": list(dates)}
        _recount(session, values, SOME, FORGET_SOME)
        session.execute(REMEMBER, {**values, "horizon": horizon})
    return len(days)


def _recount(session: Session, values: dict[str, Any], answers: str, forget: str) -> None:
    for statement in (
        forget.format(table="work_day"),
        forget.format(table="work_control"),
        COUNT_DAYS.format(answers=answers),
        COUNT_CONTROLS.format(answers=answers),
    ):
        session.execute(text(statement), values)
