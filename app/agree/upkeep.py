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

from app.agree.tally import FLAGS, RATINGS, at_once, tally
from app.tables.agree import EVERY_VERSION, NO_FLAG, NO_VERSION

# A row's time is never before the start of the transaction that writes it. So whatever is not yet
# seen now will carry a time after the oldest transaction that is under way.
HORIZON = text(
    """
    select least(clock_timestamp(), min(xact_start)) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
    """
)
HOLD = text("select pg_advisory_xact_lock(hashtextextended(:project, 41))")
PROGRESS = text(
    "select caught_up_to, has_flags from agreement_progress where project_id = :project"
)
FLAGS_COUNTED = text("update agreement_progress set has_flags = true where project_id = :project")
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
# A pair's rows say which patterns it is counted in.
TAKE_BACK = text(
    """
    with gone as (
        delete from agreement_unit where project_id = :project and pair_id = any(:pairs)
        returning patterns
    ),
    less as (select id, count(*) as n from gone, unnest(patterns) as id group by id)
    update agreement_pattern p set n = p.n - less.n from less where p.id = less.id
    """
)
CLEAN = text("delete from agreement_pattern where project_id = :project and n = 0")
PAIRS = "and c.pair_id = any(:pairs)"


def catch_up(session: Session, project_id: uuid.UUID) -> int:
    """Take in what changed since the last time. Returns how many pairs that were; flushes.

    `app.agree.tally` says what is left out. Answers to flags are taken in with them, once they
    have been counted for the first time.
    """
    values = _values(project_id)
    session.flush()
    session.execute(HOLD, {"project": str(project_id)})
    horizon: datetime = session.execute(HORIZON).scalar_one()
    progress = session.execute(PROGRESS, values).one_or_none()
    pairs = set(session.scalars(STALE, values))
    if progress is None:
        n = _count_all(session, RATINGS, values)
        session.execute(REMEMBER, {**values, "horizon": horizon})
        return n
    pairs |= set(session.scalars(NEW, {**values, "since": progress.caught_up_to}))
    if pairs:
        _recount(session, {**values, "pairs": list(pairs)}, has_flags=progress.has_flags)
        session.execute(REMEMBER, {**values, "horizon": horizon})
    return len(pairs)


def catch_up_flags(session: Session, project_id: uuid.UUID) -> None:
    """Catch up, and count the answers to flags if they never were; flushes.

    Apart from the ratings, so that the first look at those need not wait for the flags.
    """
    catch_up(session, project_id)
    values = _values(project_id)
    if not session.execute(PROGRESS, values).one().has_flags:
        _count_all(session, FLAGS, values)
        session.execute(FLAGS_COUNTED, values)


def _values(project_id: uuid.UUID) -> dict[str, Any]:
    return {
        "project": project_id,
        "every": EVERY_VERSION,
        "none": NO_VERSION,
        "no_flag": NO_FLAG,
    }


def _count_all(session: Session, answers: str, values: dict[str, Any]) -> int:
    """Where nothing was counted before, so that there is nothing to take back."""
    with at_once(session):
        done = session.execute(text(tally(answers)), {**values, "is_of_flags": answers is FLAGS})
    return int(done.rowcount)  # type: ignore[attr-defined]


def _recount(session: Session, values: dict[str, Any], *, has_flags: bool) -> None:
    """Take back what these pairs added to the patterns, and add what their answers say now."""
    session.execute(TAKE_BACK, values)
    session.execute(text(tally(RATINGS, PAIRS)), {**values, "is_of_flags": False})
    if has_flags:
        session.execute(text(tally(FLAGS, PAIRS)), {**values, "is_of_flags": True})
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
