"""How far one person's work has gone: frozen sets, reward runs and policies that rest on it."""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

REACHED = text(
    """
with recursive
-- What the person wrote here, and the pairs that it is compared in, by whomever.
written as materialized (
    select id, prompt_id, created_at from completion
    where project_id = :project and author_id = :person
),
about as (
    select p.id from written w join pair p on p.prompt_id = w.prompt_id
        and w.id in (p.completion_a_id, p.completion_b_id)
),
touched as (
    select id from comparison where project_id = :project and annotator_id = :person
    union
    select c.id from comparison c join about a on a.id = c.pair_id
),
sets as (
    select s.id, s.number, count(*) as n from touched t
    join preference_row r on r.comparison_id = t.id
    join preference_set s on s.id = r.preference_set_id
    group by s.id, s.number
),
runs as (
    select r.id, r.number, r.is_live from reward_run r join sets s on s.id = r.preference_set_id
    where r.started_at is not null
),
policies as (
    select p.id, p.number, p.is_live from policy_run p
    where p.project_id = :project and p.started_at is not null and (
        p.reward_run_id in (select id from runs)
        -- A warm start learns from all that people wrote before it began.
        or (p.algorithm = 'sft' and p.started_at > (select min(created_at) from written))
    )
    union
    select p.id, p.number, p.is_live from policy_run p
    join policies on p.parent_id = policies.id where p.started_at is not null
)
select 'set' as what, id, number, false as is_live, n from sets
union all select 'reward', id, number, is_live, null from runs
union all select 'policy', id, number, is_live, null from policies
order by what, number
"""
)
ANSWERS = text(
    "select count(*) from comparison where project_id = :project and annotator_id = :person"
)


@dataclass(frozen=True)
class Reach:
    """Rows of id, number, is_live, and for a set `n`: how many of its rows rest on the person."""

    n_answers: int
    sets: list[Row[Any]]
    reward_runs: list[Row[Any]]
    policies: list[Row[Any]]

    @property
    def is_any(self) -> bool:
        return bool(self.sets or self.reward_runs or self.policies)


def reach_of(session: Session, project_id: uuid.UUID, person_id: uuid.UUID) -> Reach:
    """What answers and texts of this person went into, policies trained on such policies too."""
    who = {"project": project_id, "person": person_id}
    rows = session.execute(REACHED, who).all()
    found = {
        what: [row for row in rows if row.what == what] for what in ("set", "reward", "policy")
    }
    n = session.scalar(ANSWERS, who) or 0
    return Reach(n, found["set"], found["reward"], found["policy"])
