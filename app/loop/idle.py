"""What a worker does for the pages while nothing is due: counts that they would else wait for."""

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.agree import service as agreeing
from app.agree.cost.upkeep import catch_up_work
from app.tables.base import utc_now
from app.tables.projects import Project

# Pages catch up themselves, so this need not run after: it keeps what is left for them small.
BEHIND = timedelta(minutes=1)
# The project that has waited longest. Both ways of lagging are looked up by an index.
BEHIND_MOST = text(
    """
    select p.id from project p
    left join agreement_progress a on a.project_id = p.id
    left join work_progress w on w.project_id = p.id
    where not p.is_archived and (
        coalesce(a.caught_up_to, '-infinity') < :before and (
            exists (select from comparison c where c.project_id = p.id
                and c.created_at >= coalesce(a.caught_up_to, '-infinity'))
            or exists (select from agreement_stale s where s.project_id = p.id)
        )
        or coalesce(w.caught_up_to, '-infinity') < :before and (
            exists (select from comparison c where c.project_id = p.id
                and c.created_at >= coalesce(w.caught_up_to, '-infinity'))
            or exists (select from work_stale s where s.project_id = p.id)
        )
    )
    order by least(a.caught_up_to, w.caught_up_to) nulls first, p.id limit 1
    """
)


def keep_up(session: Session) -> Project | None:
    """Count what was answered in one project that lags a minute behind; which, None if none does.

    One project a call, so that a job which comes in waits little. Safe from several workers at
    once: the counting of a project is done one after the other. Flushes.
    """
    found = session.execute(BEHIND_MOST, {"before": utc_now() - BEHIND}).scalar()
    if found is None:
        return None
    agreeing.refresh(session, found)
    catch_up_work(session, found)
    return session.get(Project, found)
