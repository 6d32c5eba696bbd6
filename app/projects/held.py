"""Pairs that enough people have skipped: out of the queue until an admin decides.

A mark on the pair and not a count in the claim: whoever is handed a pair pays nothing for it.
"""

import uuid

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.tables.collect import Pair
from app.tables.projects import Project

# The sweep of leases locks many pairs too, and two in different orders would deadlock.
_LOCK = text("select pg_advisory_xact_lock(7303)")

_COUNT = """
    select count(*) from assignment a
    where a.project_id = :project and a.pair_id = p.id and a.state = 'skipped' and not a.is_retest
"""
_HOLD = text(
    f"""
update pair p set is_open = false, expiry = 'skipped'
where p.is_open and p.id = any(
    select a.pair_id from assignment a
    where a.project_id = :project and a.state = 'skipped'
        and (cast(:pair as uuid) is null or a.pair_id = cast(:pair as uuid))
) and ({_COUNT}) >= cast(:enough as int)
"""  # noqa: S608
)
_RELEASE = text(
    f"""
update pair p set is_open = true, expiry = null
where p.project_id = :project and p.expiry = 'skipped'
    and (cast(:pair as uuid) is null or p.id = cast(:pair as uuid))
    and (cast(:enough as int) is null or ({_COUNT}) < cast(:enough as int))
"""  # noqa: S608
)


def hold_skipped(session: Session, project: Project, pair_id: uuid.UUID | None = None) -> None:
    """Take pairs out of the queue that `skips_to_admin` people skipped, and put others back in.

    One pair, whose row the caller has locked, or all of the project.
    """
    session.flush()
    if pair_id is None:
        session.execute(_LOCK)
    values = {"project": project.id, "pair": pair_id, "enough": project.skips_to_admin}
    if project.skips_to_admin is not None:
        session.execute(_HOLD, values)
    session.execute(_RELEASE, values)
    for known in list(session.identity_map.values()):
        if isinstance(known, Pair):
            session.expire(known)
