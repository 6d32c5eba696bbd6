"""Which pair comes next: the mixture's coin, and the SQL of gold items, retests and audit pairs.

One statement on the way that nearly every hand-out takes. Each looks at a few rows from a random
point of an index on: ids are random, so what comes first after the point is a uniform draw, and
nobody walks through all that they have done. A part that has nothing for this person gives way to
the ordinary queue. docs/decisions/0013-the-queue-is-a-mixture.md says what the logged
probabilities mean.
"""

import random
import uuid

from sqlalchemy.orm import Session

from app.collect.pairing import Drawn, Mixture, draw_fresh, draw_special
from app.collect.queries import LEASE, Lease, claim, lease_in
from app.collect.slots import PAGE, minutes_of
from app.db import Statement
from app.projects.remaining import FRESH
from app.projects.walk import BEGUN, NOT_MINE
from app.tables.collect import Draw
from app.tables.projects import Project

# How many rows after the random point a special part looks at, and as many from the start again.
LOOK = 20
# A person's assignments in all projects lie in one index, so this part looks further.
LOOK_OWN = 200

# Gold and retests come among other work, never in its place: a page that had said "nothing is
# left" and then showed a pair would tell which kind it is.
_IS_WORK_LEFT = f"""(
    exists (select from pair p where {FRESH})
    or exists (
        select from (
            select p.id from pair p where p.project_id = :project and {BEGUN}
            order by p.n_taken desc, p.priority desc, p.id limit :look
        ) f where {NOT_MINE.format(id="f.id")}
    )
)"""  # noqa: S608 (conditions of our own)

_LEASE = """
insert into assignment (
    id, project_id, pair_id, annotator_id, state, slot, draw, draw_probability, is_flipped,
    is_retest, lease_until
)
select
    gen_random_uuid(), :project, picked.id, :annotator, 'leased', :slot, :draw, :probability,
    {flip}, {is_retest}, clock_timestamp() + make_interval(mins => :minutes)
from {picked} picked
returning assignment_columns
""".replace("assignment_columns", LEASE.format(table="assignment"))
_COIN = (
    "get_byte(sha256(int8send(:seed) || uuid_send(:annotator) || uuid_send(picked.id)), 0) % 2 = 1"
)


def _circle(table: str, key: str, condition: str) -> str:
    """Rows of an index on `key` from the random point on, and then from its start."""
    half = f"select x.* from {table} x where {condition} and x.{key} {{}} :point order by x.{key}"  # noqa: S608
    return f"({half.format('>=')} limit :look) union all ({half.format('<')} limit :look)"


_GOLD = Statement(
    f"""
with around as materialized (
    {_circle("pair", "id", "x.project_id = :project and x.is_gold and x.is_open")}
),
found as (
    select o.id from around o where {NOT_MINE.format(id="o.id")} and {_IS_WORK_LEFT} limit 1
)
{_LEASE.format(flip=_COIN, is_retest="false", picked="found")}"""  # noqa: S608
)

_RETEST = Statement(
    f"""
with around as materialized (
    {_circle("assignment", "pair_id", "x.annotator_id = :annotator")}
),
found as (
    select o.pair_id as id, not o.is_flipped as is_flipped
    from around o join pair p on p.id = o.pair_id
    where o.project_id = :project and o.state = 'done' and not o.is_retest
        -- Who decided on a pair had read what others answered.
        and o.draw not in ('adjudication', 'research')
        and o.ended_at < clock_timestamp() - make_interval(days => :days)
        and not p.is_gold and (p.is_open or p.expiry is not null)
        and not exists (
            select from assignment again where again.pair_id = o.pair_id
                and again.annotator_id = :annotator and again.is_retest
        )
        and {_IS_WORK_LEFT.replace(":look", ":look_begun")}
    limit 1
)
{_LEASE.format(flip="picked.is_flipped", is_retest="true", picked="found")}"""  # noqa: S608
)

_AUDIT = Statement(
    f"""
with around as materialized (
    {
        _circle(
            "pair",
            "id",
            "x.project_id = :project and x.is_audit and x.is_open and x.n_taken < x.overlap",
        )
    }
),
found as materialized (
    select p.id from pair p
    where p.id in (select o.id from around o where {NOT_MINE.format(id="o.id")})
        and p.is_audit and p.is_open and p.n_taken < p.overlap
    limit 1 for update of p skip locked
),
taken as (
    update pair p set n_taken = p.n_taken + 1 from found where p.id = found.id returning p.id
)
{_LEASE.format(flip=_COIN, is_retest="false", picked="taken")}"""  # noqa: S608
)


def draw_next(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    rng: random.Random,
    slot: int = PAGE,
) -> Lease | None:
    """Lease the annotator what the mixture draws; None where nothing is free for them."""
    mixture = mixture_of(project)
    special = draw_special(rng.random(), mixture)
    if special and (given := _special(session, project, annotator_id, special, rng=rng, slot=slot)):
        return given
    drawn = draw_fresh(rng.random(), mixture)
    given = claim(
        session,
        project_id=project.id,
        annotator_id=annotator_id,
        draw=Draw(drawn.name),
        probability=drawn.probability,
        point=_point(rng),
        seed=project.seed,
        minutes=minutes_of(project, slot),
        slot=slot,
        answers=project.overlap_answers if drawn.name == Draw.OVERLAP else 1,
    )
    if given or mixture.audit == 0:
        return given
    # Nothing ordinary is left, and neither gold nor a retest comes without it.
    return _special(session, project, annotator_id, Drawn(Draw.AUDIT, 1.0), rng=rng, slot=slot)


def mixture_of(project: Project) -> Mixture:
    return Mixture(
        project.uniform_share,
        project.overlap_share,
        project.gold_share,
        project.retest_share,
        project.audit_share,
    )


_STATEMENTS: dict[str, Statement] = {
    Draw.GOLD: _GOLD,
    Draw.RETEST: _RETEST,
    Draw.AUDIT: _AUDIT,
}


def _special(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    drawn: Drawn,
    *,
    rng: random.Random,
    slot: int,
) -> Lease | None:
    values = {
        "project": project.id,
        "annotator": annotator_id,
        "draw": drawn.name,
        "probability": drawn.probability,
        "point": _point(rng),
        "seed": project.seed,
        "minutes": minutes_of(project, slot),
        "slot": slot,
        "days": project.retest_days,
        "look": LOOK_OWN if drawn.name == Draw.RETEST else LOOK,
        "look_begun": LOOK,
    }
    return lease_in(_STATEMENTS[drawn.name].first(session, values))


def _point(rng: random.Random) -> uuid.UUID:
    return uuid.UUID(int=rng.getrandbits(128))
