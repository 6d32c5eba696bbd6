"""The two places where one person holds a pair: on the page, and ahead of it."""

import uuid

from sqlalchemy.orm import Session

from app.collect.queries import LEASE, Lease, lease_in
from app.db import Statement
from app.tables.projects import Project

PAGE, AHEAD = 0, 1
# A pair that nobody has seen yet is kept from others for this part of the time to answer.
AHEAD_PART = 4


def minutes_of(project: Project, slot: int) -> int:
    """How long a lease lasts, in minutes: shorter ahead of the page."""
    whole = project.lease_minutes
    return whole if slot == PAGE else max(1, whole // AHEAD_PART)


_RENEW = Statement(
    f"""
update assignment a set lease_until = clock_timestamp() + make_interval(mins => :minutes)
where a.annotator_id = :annotator and a.project_id = :project and a.state = 'leased'
    and a.slot = :slot
returning {LEASE.format(table="a")}
"""  # noqa: S608
)

# `created_at` becomes the time since which the pair has been on a page: nobody can have spent
# more on it. A browser that sends late says how long ago it turned the page.
TURN = f"""
update assignment a
set slot = {PAGE}, lease_until = clock_timestamp() + make_interval(mins => :minutes),
    created_at = greatest(a.created_at, clock_timestamp() - make_interval(secs => :shown_for))
{{after}}
where a.annotator_id = :annotator and a.project_id = :project and a.state = 'leased'
    and a.slot = {AHEAD} and {{condition}}
returning {LEASE.format(table="a")}
"""  # noqa: S608
_TURN = Statement(TURN.format(after="", condition="true"))


def renew(
    session: Session, project: Project, annotator_id: uuid.UUID, slot: int = PAGE
) -> Lease | None:
    """The pair in that place for another lease, if a sweep has not just ended it."""
    who = {"project": project.id, "annotator": annotator_id}
    values = {**who, "slot": slot, "minutes": minutes_of(project, slot)}
    return lease_in(_RENEW.first(session, values))


def turn(
    session: Session, project: Project, annotator_id: uuid.UUID, shown_for: float = 0.0
) -> Lease | None:
    """Let the pair ahead be the one on the page, for `shown_for` seconds now; None where none is.

    No pair may be on the page: the index of live slots would refuse a second one.
    """
    who = {"project": project.id, "annotator": annotator_id}
    values = {**who, "shown_for": shown_for, "minutes": minutes_of(project, PAGE)}
    return lease_in(_TURN.first(session, values))
