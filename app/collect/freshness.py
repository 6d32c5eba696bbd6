"""Pairs of superseded policies leave the queue by a rule, are counted, and can come back.

What a policy wrote two generations ago teaches little about what the live one writes (a reward
model's accuracy "can quickly degrade" off its distribution: Touvron et al., arXiv 2307.09288,
section 3.2.2). Answers are kept, and so are pairs whose completions were all imported.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.errors import Conflict
from app.tables.projects import Project

# The sweep of leases locks many pairs too, and two in different orders would deadlock.
_HOLD = text("select pg_advisory_xact_lock(7303)")

_CLOSE = text(
    """
with kept as materialized (
    select id from policy_run where project_id = :project and is_live
    union all
    (
        select id from policy_run
        where project_id = :project and not is_live and sampled_at is not null
        order by sampled_at desc limit :before
    )
),
stale as materialized (
    select c.id from completion c
    where c.project_id = :project and c.policy_run_id in (
        select r.id from policy_run r
        where r.project_id = :project and r.id not in (select id from kept)
    )
),
chosen as materialized (
    select p.id from pair p
    where p.project_id = :project and p.is_open and p.expiry is null
        and not p.is_gold and not p.is_audit
        and (
            p.completion_a_id in (select id from stale)
            or p.completion_b_id in (select id from stale)
        )
        and (
            p.n_taken < p.overlap
            or exists (select from assignment a where a.pair_id = p.id and a.state = 'leased')
        )
    order by p.id for update
),
closed as (
    update pair p set is_open = false, expiry = 'superseded'
    from chosen where p.id = chosen.id returning p.id
)
select count(*) as n from closed
"""
)

_BY_POLICY = """
    select p.id, least(one.number, other.number) as number, p.n_taken
    from pair p
    join completion a on a.id = p.completion_a_id
    join completion b on b.id = p.completion_b_id
    left join policy_run one on one.id = a.policy_run_id
    left join policy_run other on other.id = b.policy_run_id
    where p.project_id = :project and p.expiry = 'superseded'
"""

_CLOSED = text(
    f"""
select x.number, count(*) as n, count(*) filter (where x.n_taken > 0) as n_begun
from ({_BY_POLICY}) x group by x.number order by x.number
"""  # noqa: S608
)

_REOPEN = text(
    f"""
update pair p set is_open = true, expiry = 'reopened'
from ({_BY_POLICY}) x where p.id = x.id and x.number = :number
"""  # noqa: S608
)


def expire_superseded(session: Session, project: Project) -> int:
    """Close the open pairs with a completion of a policy that is kept no longer; how many.

    Kept are the live policy and those that wrote last before it, `kept_policies` in all. Nothing
    happens without a live one. Safe to repeat; pairs that an admin opened again stay open, and so
    do gold items and audit pairs.
    """
    session.flush()
    session.execute(_HOLD)
    values = {"project": project.id, "before": project.kept_policies - 1}
    is_live = "select exists (select from policy_run where project_id = :project and is_live)"
    if not session.scalar(text(is_live), values):
        return 0
    n = session.execute(_CLOSE, values).one().n
    if n:
        record_event(
            session,
            "pairs.superseded",
            project_id=project.id,
            subject=project.name,
            detail={"closed": n, "kept_policies": project.kept_policies},
        )
    return int(n)


def closed_pairs(session: Session, project_id: uuid.UUID) -> Sequence[Row[int, int, int]]:
    """What the rule has closed, by the number of the older policy run in the pair.

    Rows of `number`, `n` pairs, and `n_begun`, those of them that have answers.
    """
    return session.execute(_CLOSED, {"project": project_id}).all()


def reopen(session: Session, project: Project, number: int, *, by: uuid.UUID | None) -> int:
    """Open the pairs of policy run `number` again, for good; how many. Raises Conflict for none."""
    session.execute(_HOLD)
    done = session.execute(_REOPEN, {"project": project.id, "number": number})
    n = int(done.rowcount)  # type: ignore[attr-defined]
    if n == 0:
        raise Conflict("No pair of this policy run is closed any more. Reload the page.")
    record_event(
        session,
        "pairs.reopened",
        actor_id=by,
        project_id=project.id,
        subject=f"Policy run {number}",
        detail={"opened": n},
    )
    return n
