"""From answers to patterns of counts, as SQL: one way for ratings and for flags.

A unit is what people judged: a pair, or for a flag a pair's prompt, one of its completions or the
pair itself. Its nine counts are of the answers 0 to 8: ratings 1 to 8, a flag's values 0 to 7, and
8 for "not applicable". What a flag left unanswered is no answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.orm import Session

N_CELLS = 9

CELLS = ", ".join(f"count(*) filter (where value = {k})" for k in range(N_CELLS))
COUNTS = f"array[{CELLS}]::smallint[]"
WEEK = "date_trunc('week', min(created_at) at time zone 'UTC')::date"

# Left out: answers to gold items, which were chosen for being clear; retests, which tell a person
# from themselves; answers that an admin excluded; and those of adjudicators and researchers.
COUNTED = """
    left join guideline_version v on v.id = c.guideline_version_id
    join pair p on p.id = c.pair_id and not p.is_gold
    where c.project_id = :project and not c.is_retest and c.role = 'annotator'
        and c.annotator_id not in (
            select person_id from exclusion where project_id = :project and lifted_at is null
        )
"""
# `part` tells a pair's units apart in one number, for grouping by it is twice as fast as by ids.
RATINGS = """
    select c.pair_id, 0 as part, coalesce(v.number, 0) as version, c.created_at, c.rating as value
    from comparison c {counted}
""".replace("{counted}", COUNTED)
FLAGS = """
    select c.pair_id, coalesce(v.number, 0) as version, c.created_at,
        (3 * f.number + case fa.completion_id
            when p.completion_a_id then 1 when p.completion_b_id then 2 else 0 end)::int as part,
        coalesce(fa.value, 8) as value
    from numbered_flag f
    join flag_answer fa on fa.flag_id = f.flag_id
    join comparison c on c.id = fa.comparison_id {counted}
""".replace("{counted}", COUNTED)
# Names of flags and versions in small numbers: 0 is none, and -1 all versions.
NUMBERED = """
    numbered_flag as (
        select id as flag_id, row_number() over (order by id) as number
        from flag where project_id = :project
    ),
    every_flag as (
        select * from numbered_flag union all select cast(:no_flag as uuid), 0
    ),
    every_version as (
        select id as scope, number from guideline_version where project_id = :project
        union all select cast(:none as uuid), 0
        union all select cast(:every as uuid), -1
    )
"""
# Nearly every unit has all its answers under one version, and is written once: it counts for that
# version and, being whole, for all of them. The second half of `unit` reads no answer, by the
# planner's one-time filter, unless there are units of several versions.
TALLY = """
    with {numbered},
    part as materialized (
        select pair_id, part, min(version) as low, max(version) as high,
            {week} as week, {counts} as counts
        from ({answers} {which}) answer group by pair_id, part
    ),
    unit as materialized (
        select pair_id, part / 3 as flag, case when low = high then low else -1 end as version,
            true as is_whole, week, counts
        from part
        union all
        select a.pair_id, a.part / 3, a.version, false, {week}, {counts}
        from ({answers} {which}) a
        join part on part.pair_id = a.pair_id and part.part = a.part and part.low <> part.high
        where exists (select from part where low <> high)
        group by a.pair_id, a.part, a.version
    ),
    pattern as (
        insert into agreement_pattern (project_id, flag_id, scope, is_whole, week, counts, n)
        select :project, f.flag_id, v.scope, u.is_whole, u.week, u.counts, count(*)
        from unit u
        join every_flag f on f.number = u.flag
        join every_version v on v.number = u.version
        group by f.flag_id, v.scope, u.is_whole, u.week, u.counts
        on conflict (project_id, flag_id, scope, is_whole, week, counts)
        do update set n = agreement_pattern.n + excluded.n
        returning id, flag_id, scope, is_whole, week, counts
    ),
    known as (
        select id, f.number as flag, v.number as version, is_whole, week, counts
        from pattern join every_flag f using (flag_id) join every_version v using (scope)
    )
    insert into agreement_unit (project_id, pair_id, is_of_flags, patterns)
    select :project, u.pair_id, :is_of_flags, array_agg(known.id)
    from unit u join known using (flag, version, is_whole, week, counts)
    group by u.pair_id
"""


def tally(answers: str, which: str = "") -> str:
    """The statement that counts `RATINGS` or `FLAGS`, all or those of `which` (from "and" on)."""
    return TALLY.format(numbered=NUMBERED, week=WEEK, counts=COUNTS, answers=answers, which=which)


# For a million answers at once: tables in memory, and hashed, where the planner, who knows nothing
# of how many patterns there will be, would sort them or go through them one by one.
AT_ONCE = text(
    "set local work_mem = '128MB'; "
    "set local enable_mergejoin = off; set local enable_nestloop = off"
)
AS_BEFORE = text(
    "set local work_mem to default; set local enable_mergejoin to default; "
    "set local enable_nestloop to default"
)


@contextmanager
def at_once(session: Session) -> Iterator[None]:
    """Within it, statements read very many answers fast."""
    session.execute(AT_ONCE)
    yield
    session.execute(AS_BEFORE)
