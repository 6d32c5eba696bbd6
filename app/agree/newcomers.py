"""Where the annotators of a project are on their way in, read for all of them at once."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, func, select, text
from sqlalchemy.orm import Session

from app.accounts.languages import names_of
from app.agree.way_in import Asked, Facts, Way, way_in
from app.projects.queries import current_guidelines
from app.tables.accounts import LinkPurpose, Membership, OneTimeLink, Person, Role
from app.tables.collect import Comparison
from app.tables.home import GuidelineReading
from app.tables.projects import Project

CONSENTS = text(
    """
    select distinct on (person_id) person_id, case
        when ended_at is not null then 'withdrawn'
        when number < :consent_from then 'old' else 'given' end as stands
    from consent where project_id = :project and person_id = any(:people)
    order by person_id, given_at desc
    """
)
# Of each required qualification and person: held or not, its test, and how far the training is.
ASKED = text(
    """
    select q.id, q.name, pe.id as person_id, t.id as test_id,
        exists (
            select from qualification_grant g where g.qualification_id = q.id
                and g.person_id = pe.id and g.revoked_at is null
        ) as is_held,
        (
            select count(*) from test_item i join gold_item o on o.id = i.gold_item_id
            where i.test_id = t.id and i.round = 'training' and o.retired_at is null
        ) as of_training,
        tried.n_training, tried.is_trained
    from qualification q
    cross join unnest(cast(:people as uuid[])) as pe(id)
    left join qualification_test t on t.qualification_id = q.id and t.is_open
    left join lateral (
        select coalesce(sum(one.n), 0) as n_training, coalesce(bool_or(one.is_over), false)
            as is_trained
        from (
            select count(*) filter (where r.rating is not null and r.round = 'training') as n,
                count(*) filter (where r.rating is null and r.round = 'training') = 0 as is_over
            from test_attempt a join test_answer r on r.attempt_id = a.id
            where a.test_id = t.id and a.person_id = pe.id group by a.id
        ) one
    ) tried on true
    where q.project_id = :project and q.is_required
    order by lower(q.name)
    """
)


@dataclass(frozen=True)
class Newcomer:
    person: Person
    way: Way
    is_paused: bool
    is_invited: bool  # their link waits to be opened


def ready_people(session: Session, project: Project, people: Collection[Person]) -> set[uuid.UUID]:
    """Those of `people` with no step left that the project requires before the work."""
    ways = ways_in(session, project, people, is_counted=False)
    return {id_ for id_, way in ways.items() if way.is_ready}


def ways_in(
    session: Session, project: Project, people: Collection[Person], *, is_counted: bool = True
) -> dict[uuid.UUID, Way]:
    """By person; in five statements, however many people there are.

    Without `is_counted` their answers are not counted, which reads all of them.
    """
    ids = [one.id for one in people]
    who: dict[str, Any] = {"project": project.id, "people": ids}
    consents = _consents(session, project, who)
    guidelines = current_guidelines(session, project.id)
    readers = _readers(session, guidelines.id, ids) if guidelines else set()
    asked = _asked(session, who)
    answers = _answers(session, project, ids) if is_counted else {}
    number = guidelines.number if guidelines else None
    return {
        one.id: way_in(
            Facts(
                consents.get(one.id, "none") if project.consent_from is not None else None,
                project.is_consent_required,
                names_of(project.languages),
                bool(set(one.languages) & set(project.languages)),
                number,
                number if one.id in readers else None,
                project.is_reading_required,
                asked.get(one.id, []),
                answers.get(one.id, 0),
            )
        )
        for one in people
    }


def newcomers(session: Session, project: Project) -> list[Newcomer]:
    """Every annotator of the project who can sign in: those on their way first, then by name."""
    is_invited = exists().where(
        OneTimeLink.person_id == Person.id,
        OneTimeLink.purpose == LinkPurpose.INVITATION,
        OneTimeLink.used_at.is_(None),
        OneTimeLink.expires_at > func.now(),
    )
    rows = session.execute(
        select(Person, Membership, is_invited)
        .join(Membership, Membership.person_id == Person.id)
        .where(
            Membership.project_id == project.id,
            Membership.role == Role.ANNOTATOR,
            Person.is_active,
            ~Person.is_simulated,
        )
        .order_by(func.lower(Person.name), Person.id)
    ).all()
    ways = ways_in(session, project, [row[0] for row in rows])
    found = [
        Newcomer(person, ways[person.id], held.rests, has_link) for person, held, has_link in rows
    ]
    return sorted(found, key=lambda one: one.way.is_ready)


def way_of(session: Session, project: Project, person: Person) -> Way:
    return ways_in(session, project, [person])[person.id]


def _consents(session: Session, project: Project, who: Mapping[str, Any]) -> dict[uuid.UUID, str]:
    if project.consent_from is None:
        return {}
    rows = session.execute(CONSENTS, {**who, "consent_from": project.consent_from})
    return {row.person_id: row.stands for row in rows}


def _readers(session: Session, version_id: uuid.UUID, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    return set(
        session.scalars(
            select(GuidelineReading.person_id).where(
                GuidelineReading.guideline_version_id == version_id,
                GuidelineReading.person_id.in_(ids),
            )
        )
    )


def _asked(session: Session, who: Mapping[str, Any]) -> dict[uuid.UUID, list[Asked]]:
    found: dict[uuid.UUID, list[Asked]] = {}
    for row in session.execute(ASKED, who):
        test_id = str(row.test_id) if row.test_id else None
        found.setdefault(row.person_id, []).append(
            Asked(
                row.name,
                row.is_held,
                test_id,
                # Every try draws only what was not met before, so all tries together are the round.
                min(int(row.n_training), row.of_training),
                row.of_training,
                row.is_trained,
            )
        )
    return found


def _answers(session: Session, project: Project, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    rows = session.execute(
        select(Comparison.annotator_id, func.count())
        .where(Comparison.project_id == project.id, Comparison.annotator_id.in_(ids))
        .group_by(Comparison.annotator_id)
    )
    return dict(rows.all())
