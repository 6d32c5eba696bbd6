"""Who answers on a project's compare page, and with which pair before them, in one statement.

For the one request that people wait for all day. It looks up the login session, the person, the
project, what they may do in it and their lease, and holds back their other requests
(`one_at_a_time`); what stands against someone it does not say, for that the ordinary way is there.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.collect.queries import Lease
from app.collect.standing import HOLD, note_held
from app.db import Statement
from app.projects.asking import VERSION, Asking, asking_of
from app.tables.accounts import Person, Role
from app.tables.collect import AssignmentState

_ENTER = Statement(
    f"""
select l.id as session_id, l.csrf_token, l.last_seen_at < :due as is_due,
    pe.id, pe.email, pe.name, pe.is_owner, pe.is_active, pe.languages, pe.is_simulated,
    pe.created_at,
    p.id as project_id, {VERSION} as version,
    array(
        select m.role from membership m where m.project_id = p.id and m.person_id = pe.id
    ) as roles,
    exists (
        select from membership m where m.project_id = p.id and m.person_id = pe.id
            and m.role = 'annotator' and m.is_paused
            and (m.paused_until is null or m.paused_until > clock_timestamp())
    ) as is_paused,
    a.id as lease_id, a.pair_id, a.is_flipped, a.is_retest, a.created_at as lease_at, a.state,
    a.slot,
    {HOLD.format(annotator="pe.id")}
from login_session l join person pe on pe.id = l.person_id
join assignment a on a.annotator_id = pe.id and a.id = :assignment
join project p on p.id = a.project_id
where l.token_hash = :token_hash and pe.is_active and l.expires_at >= :now
    and l.last_seen_at >= :idle_since and p.slug = :slug
    and (pe.is_owner or exists (
        select from membership m where m.project_id = p.id and m.person_id = pe.id
            and m.role = 'annotator'
    ))
-- Whoever waited for another request of the same person sees the lease as that one left it: a
-- locked row is read again (PostgreSQL's manual, 13.2.1).
for update of a
"""  # noqa: S608
)


@dataclass(frozen=True)
class Entry:
    """An annotator of the project, signed in, with the lease locked. `person` is in no session.

    `is_due` is true where it is time to note that the login session was used.
    """

    person: Person
    session_id: UUID
    csrf_token: str
    is_due: bool
    roles: frozenset[Role]
    is_paused: bool
    asking: Asking
    lease: Lease


def enter(
    session: Session,
    token_hash: bytes,
    slug: str,
    assignment_id: UUID,
    *,
    now: datetime,
    idle_since: datetime,
    due: datetime,
) -> Entry | None:
    """None for everyone who may not answer here with this, whatever the reason."""
    who = {"token_hash": token_hash, "slug": slug, "assignment": assignment_id}
    times = {"now": now, "idle_since": idle_since, "due": due}
    row = _ENTER.first(session, {**who, **times})
    if row is None:
        return None
    note_held(session, row.id)
    return Entry(
        person=_person(row),
        session_id=row.session_id,
        csrf_token=row.csrf_token,
        is_due=row.is_due,
        roles=frozenset(Role) if row.is_owner else frozenset(Role(role) for role in row.roles),
        is_paused=row.is_paused,
        asking=asking_of(session, row.project_id, row.version),
        lease=_lease(row),
    )


def _person(row: Any) -> Person:
    return Person(
        id=row.id,
        email=row.email,
        name=row.name,
        is_owner=row.is_owner,
        is_active=row.is_active,
        languages=row.languages,
        is_simulated=row.is_simulated,
        created_at=row.created_at,
    )


def _lease(row: Any) -> Lease:
    return Lease(
        id=row.lease_id,
        project_id=row.project_id,
        pair_id=row.pair_id,
        annotator_id=row.id,
        is_flipped=row.is_flipped,
        is_retest=row.is_retest,
        created_at=row.lease_at,
        state=AssignmentState(row.state),
        slot=row.slot,
    )
