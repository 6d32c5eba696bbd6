"""What must hold of the queue whatever happens, in SQL: for tests, benchmarks and the curious."""

from sqlalchemy import text
from sqlalchemy.orm import Session

BROKEN = """
select 'taken does not match leases and counted answers' as what, count(*) as n from (
    select p.id from pair p
    left join assignment a on a.pair_id = p.id
    left join comparison c on c.assignment_id = a.id
    where not p.is_gold group by p.id, p.n_taken
    having p.n_taken <> count(*) filter (
        where not a.is_retest
            and (a.state = 'leased' or (a.state = 'done' and not c.is_surplus))
    )
) x
union all
select 'more answers than overlap', count(*) from pair where n_taken > overlap and not is_gold
union all
select 'done without an answer', count(*) from assignment a
    left join comparison c on c.assignment_id = a.id where a.state = 'done' and c.id is null
union all
select 'answered and not done', count(*) from comparison c
    join assignment a on a.id = c.assignment_id where a.state <> 'done'
union all
select 'an answer that contradicts its assignment', count(*) from comparison c
    join assignment a on a.id = c.assignment_id
    where (c.pair_id, c.annotator_id, c.is_flipped, c.is_retest)
        <> (a.pair_id, a.annotator_id, a.is_flipped, a.is_retest)
union all
select 'one person twice on a pair', count(*) from (
    select 1 from assignment group by pair_id, annotator_id, is_retest having count(*) > 1
) y
union all
select 'a retest of no answer, or in the same order', count(*) from assignment r
    left join assignment a on (a.pair_id, a.annotator_id) = (r.pair_id, r.annotator_id)
        and not a.is_retest and a.state = 'done'
    where r.is_retest and (a.id is null or a.is_flipped = r.is_flipped)
union all
select 'two live pairs for one person', count(*) from (
    select 1 from assignment where state = 'leased'
    group by annotator_id, project_id, slot having count(*) > 1
) z
union all
select 'a live pair that is neither on a page nor next', count(*) from assignment
    where state = 'leased' and slot not in (0, 1)
"""


def broken_rules(session: Session) -> list[str]:
    """The rules of the queue that the tables break, none in a sound database."""
    return [row.what for row in session.execute(text(BROKEN)) if row.n]
