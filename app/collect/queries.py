"""The SQL of handing out pairs: one statement claims, one sweeps, a few look.

Whoever claims takes one row of `pair` that nobody else is taking (SKIP LOCKED), counts itself into
`n_taken` and writes its lease, all in one statement.
"""

import uuid
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.db import Statement
from app.projects.remaining import FRESH
from app.projects.walk import BEGUN, NOT_MINE, walk
from app.tables.collect import AssignmentState, Draw, Pair

# How far a claim looks among the pairs that others began. Small on purpose: an annotator who has
# answered half a million of them would walk them all.
LOOK = 20


@dataclass(frozen=True)
class Lease:
    """An assignment's columns as handing out and answering need them: cheaper than the object."""

    id: uuid.UUID
    project_id: uuid.UUID
    pair_id: uuid.UUID
    annotator_id: uuid.UUID
    is_flipped: bool
    is_retest: bool
    created_at: datetime
    state: AssignmentState
    slot: int


LEASE = ", ".join(f"{{table}}.{one.name}" for one in fields(Lease))


_names = [one.name for one in fields(Lease)]


def lease_in(row: Any) -> Lease | None:
    """The columns `LEASE` of a row, which may hold others too; None for none."""
    if row is None or row.id is None:
        return None
    values = {name: getattr(row, name) for name in _names}
    return Lease(**{**values, "state": AssignmentState(row.state)})


_TAKE = f"""
taken as (
    update pair p set
        n_taken = p.n_taken + 1,
        -- Begun for agreement, it waits for more people than others do.
        overlap = case when p.n_taken = 0 then greatest(p.overlap, :answers) else p.overlap end
    from picked where p.id = picked.id returning p.id
)
insert into assignment (
    id, project_id, pair_id, annotator_id, state, slot, draw, draw_probability, is_flipped,
    lease_until
)
select
    gen_random_uuid(), :project, taken.id, :annotator, 'leased', :slot,
    coalesce(began.draw, :draw), coalesce(began.draw_probability, :probability),
    get_byte(sha256(int8send(:seed) || uuid_send(:annotator) || uuid_send(taken.id)), 0) % 2 = 1,
    clock_timestamp() + make_interval(mins => :minutes)
from taken
-- Later answers share the chance of the one that began the pair: it is the pair that was drawn.
left join lateral (
    select b.draw, b.draw_probability from assignment b
    where b.pair_id = taken.id and b.state in ('leased', 'done') and not b.is_retest
    order by b.created_at limit 1
) began on true
returning {LEASE.format(table="assignment")}
"""  # noqa: S608 (conditions of our own)

# Begun, in words that no partial index covers. Statistics from before anyone had begun make the
# index of begun pairs look empty, and a plan would then walk all of it rather than find 20 ids.
BEGUN_BY_ID = BEGUN.replace("p.n_taken > 0", "p.n_taken + 0 > 0")

_CLAIM = Statement(
    f"""
with front as materialized (
    select p.id from pair p
    where p.project_id = :project and {BEGUN}
    order by p.n_taken desc, p.priority desc, p.id limit :look
),
begun as materialized (
    select p.id from pair p
    where p.id = any(array(select f.id from front f where {NOT_MINE.format(id="f.id")}))
        and {BEGUN_BY_ID}
    limit 1 for update of p skip locked
),
best as materialized (
    select p.id from pair p
    where :draw = 'priority' and not exists (select from begun) and {FRESH}
    order by p.priority desc, p.id limit 1 for update of p skip locked
),
after as materialized (
    select p.id from pair p
    where :draw <> 'priority' and not exists (select from begun) and {FRESH} and p.id >= :point
    order by p.id limit 1 for update of p skip locked
),
before as materialized (
    select p.id from pair p
    where :draw <> 'priority' and not exists (select from begun) and not exists (select from after)
        and {FRESH} and p.id < :point
    order by p.id limit 1 for update of p skip locked
),
picked as (
    select id from begun union all select id from best
    union all select id from after union all select id from before
),
{_TAKE}"""  # noqa: S608
)

# The last look, for whom neither the front nor a fresh pair was free: the pair that `walk` found.
_CLAIM_ONE = Statement(
    f"""
with picked as materialized (
    select p.id from pair p where p.id = :pair and {BEGUN_BY_ID} and {NOT_MINE.format(id=":pair")}
    for update of p skip locked
),
{_TAKE}"""  # noqa: S608
)

_REVIVE = Statement(
    f"""
with mine as materialized (
    select a.id, a.pair_id, a.is_retest from assignment a join pair p on p.id = a.pair_id
    where a.annotator_id = :annotator and a.project_id = :project and a.state = 'expired'
        and p.is_open and (p.is_gold or a.is_retest or p.n_taken < p.overlap)
    order by a.lease_until desc limit 1 for update of a, p skip locked
),
taken as (
    update pair p set n_taken = p.n_taken + 1
    from mine where p.id = mine.pair_id and not p.is_gold and not mine.is_retest
)
update assignment a
set state = 'leased', slot = :slot, ended_at = null,
    lease_until = clock_timestamp() + make_interval(mins => :minutes)
from mine where a.id = mine.id
returning {LEASE.format(table="a")}
"""  # noqa: S608
)

_SWEEP = text(
    """
with late as materialized (
    select id from assignment where state = 'leased' and lease_until < clock_timestamp()
    order by lease_until limit :limit for update skip locked
),
gone as (
    update assignment a set state = 'expired', ended_at = clock_timestamp()
    from late where a.id = late.id returning a.pair_id, a.is_retest
),
back as (
    update pair p set n_taken = p.n_taken - g.n
    from (select pair_id, count(*) as n from gone where not is_retest group by pair_id) g
    where p.id = g.pair_id and not p.is_gold
)
select count(*) from gone
"""
)


def claim(
    session: Session,
    *,
    project_id: uuid.UUID,
    annotator_id: uuid.UUID,
    draw: Draw,
    probability: float,
    point: uuid.UUID,
    seed: int,
    minutes: int,
    answers: int = 1,
    slot: int = 0,
) -> Lease | None:
    """Lease a pair to the annotator: one that others began, else a fresh one by `draw`.

    `point` is where a uniform draw starts on the circle of ids; a fresh pair is to get at least
    `answers` answers. None where nothing is free.
    """
    values: dict[str, object] = {
        "project": project_id,
        "annotator": annotator_id,
        "draw": draw.value,
        "probability": probability,
        "seed": seed,
        "minutes": minutes,
        "answers": answers,
        "slot": slot,
    }
    found = lease_in(_CLAIM.first(session, {**values, "point": point, "look": LOOK}))
    if found is None and (pair_id := walk(session, project_id, annotator_id).found):
        found = lease_in(_CLAIM_ONE.first(session, {**values, "pair": pair_id}))
    return found


def revive(
    session: Session,
    *,
    project_id: uuid.UUID,
    annotator_id: uuid.UUID,
    minutes: int,
    slot: int = 0,
) -> Lease | None:
    """Lease the annotator's newest expired assignment again, where there still is room."""
    who = {"project": project_id, "annotator": annotator_id}
    values = {**who, "minutes": minutes, "slot": slot}
    return lease_in(_REVIVE.first(session, values))


def sweep_expired(session: Session, limit: int = 500) -> int:
    """Take back leases that have run out, the oldest first. Returns how many; cheap when none."""
    # Two sweeps at once could lock the same pairs in two orders.
    if not session.scalar(select(func.pg_try_advisory_xact_lock(7303))):
        return 0
    return session.scalar(_SWEEP, {"limit": limit}) or 0


def take_back(session: Session, pair_id: uuid.UUID) -> None:
    """One answer fewer is under way on this pair."""
    session.execute(
        text("update pair set n_taken = n_taken - 1 where id = :pair and not is_gold"),
        {"pair": pair_id},
    )


def take_room(session: Session, pair_id: uuid.UUID) -> bool:
    """Count one more answer into the pair. False where it has enough."""
    found = session.scalar(
        text(
            "update pair set n_taken = n_taken + (not is_gold)::int "
            "where id = :pair and (is_gold or n_taken < overlap) returning id"
        ),
        {"pair": pair_id},
    )
    return found is not None


_OTHERS = Statement(
    f"""
select 1 from assignment held join pair p on p.id = held.pair_id
where held.state = 'leased' and held.project_id = :project and held.annotator_id <> :annotator
    and not held.is_retest and p.is_open and not p.is_gold
    and {NOT_MINE.format(id="held.pair_id")}
limit 1
"""  # noqa: S608
)


def others_hold_some(session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID) -> bool:
    """Whether a pair that this annotator could answer is on somebody else's page.

    Looks at the live leases of the project, about as many as there are people at work.
    """
    who = {"project": project_id, "annotator": annotator_id}
    return _OTHERS.first(session, who) is not None


def has_pairs(session: Session, project_id: uuid.UUID) -> bool:
    found = select(Pair.id).where(Pair.project_id == project_id, ~Pair.is_gold).limit(1)
    return session.scalar(found) is not None
