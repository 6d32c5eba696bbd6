"""Small projects with people and pairs, and the invariants of the queue in SQL."""

import uuid

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.collect.intake import CompletionIn, Message, PromptIn, add_prompts
from app.collect.service import Nothing, next_assignment
from app.tables.accounts import Person, Role
from app.tables.collect import Assignment, Pair
from app.tables.projects import Flag, FlagKind, FlagScope, Polarity, Project
from tests.support import join, make_person, make_project

RUN_OUT = text("update assignment set lease_until = now() - interval '1 minute' where id = :id")


def make_pairs(session: Session, project: Project, n: int) -> list[Pair]:
    """`n` prompts with one pair each; commits."""
    add_prompts(
        session,
        project,
        [
            PromptIn(
                messages=[Message(role="user", content=f"Question {number}?")],
                completions=[
                    CompletionIn(text=f"The left words of {number}.", source="secret-one"),
                    CompletionIn(text=f"The right words of {number}.", source="secret-two"),
                ],
            )
            for number in range(n)
        ],
    )
    session.commit()
    return list(session.scalars(select(Pair).where(Pair.project_id == project.id)))


def make_annotators(session: Session, project: Project, *names: str) -> list[Person]:
    people = [make_person(session, name) for name in names]
    for person in people:
        join(session, project, person, Role.ANNOTATOR)
    session.commit()
    return people


def make_world(
    session: Session, *names: str, n_pairs: int = 3, **settings: object
) -> tuple[Project, list[Person]]:
    project = make_project(session, **settings)
    people = make_annotators(session, project, *names)
    make_pairs(session, project, n_pairs)
    return project, people


def make_flag(session: Session, project: Project, label: str, **values: object) -> Flag:
    flag = Flag(
        **{
            "project_id": project.id,
            "key": label.lower().replace(" ", "_"),
            "label": label,
            "scope": FlagScope.COMPLETION,
            "kind": FlagKind.YES_NO,
            "polarity": Polarity.BAD,
            **values,
        }
    )
    session.add(flag)
    session.commit()
    return flag


def lease(session: Session, project: Project, annotator_id: uuid.UUID) -> Assignment:
    """The annotator's next assignment, committed; fails where there is none."""
    assignment = next_assignment(session, project, annotator_id)
    assert not isinstance(assignment, Nothing), assignment
    session.commit()
    return assignment


def expire(session: Session, assignment_id: uuid.UUID) -> None:
    """Let the lease have run out a minute ago; commits."""
    session.execute(RUN_OUT, {"id": assignment_id})
    session.commit()


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
"""


def broken_rules(session: Session) -> list[str]:
    """The rules of the queue that the tables break, none in a sound database."""
    return [row.what for row in session.execute(text(BROKEN)) if row.n]
