"""Groups of a project's people: made by its admins, and who is in which.

Whoever leaves the project stays in its groups: their answers keep their origin.
"""

import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import Row, Select, delete, func, select
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.errors import Conflict, Invalid, NotFound
from app.tables.accounts import Membership, Person
from app.tables.groups import GroupMember, PersonGroup
from app.tables.projects import Project

LONGEST_NAME = 60


def groups_of(session: Session, project_id: uuid.UUID) -> Sequence[Row[PersonGroup, int]]:
    """The project's groups by name, each with how many people are in it."""
    n = (
        select(func.count())
        .where(GroupMember.group_id == PersonGroup.id)
        .correlate(PersonGroup)
        .scalar_subquery()
    )
    return session.execute(
        select(PersonGroup, n)
        .where(PersonGroup.project_id == project_id)
        .order_by(func.lower(PersonGroup.name))
    ).all()


def find_group(session: Session, project_id: uuid.UUID, id_: uuid.UUID) -> PersonGroup:
    """Raises NotFound."""
    group = session.get(PersonGroup, id_)
    if group is None or group.project_id != project_id:
        raise NotFound("This project has no such group.")
    return group


def people_in(group_id: uuid.UUID) -> Select[uuid.UUID]:
    """Ids of people, for an `in_`."""
    return select(GroupMember.person_id).where(GroupMember.group_id == group_id)


def groups_by_person(session: Session, project_id: uuid.UUID) -> dict[uuid.UUID, list[PersonGroup]]:
    """The groups of everyone who is in any, by name: which answers come from whom."""
    rows = session.execute(
        select(GroupMember.person_id, PersonGroup)
        .join(PersonGroup, PersonGroup.id == GroupMember.group_id)
        .where(PersonGroup.project_id == project_id)
        .order_by(func.lower(PersonGroup.name))
    )
    found: dict[uuid.UUID, list[PersonGroup]] = {}
    for person_id, group in rows:
        found.setdefault(person_id, []).append(group)
    return found


def add_group(
    session: Session, project: Project, name: str, *, by: uuid.UUID | None
) -> PersonGroup:
    """A new, empty one. Raises Invalid, or Conflict where the name is taken."""
    group = PersonGroup(
        project_id=project.id, name=_free_name(session, project.id, name), created_by=by
    )
    session.add(group)
    session.flush()
    _note(session, "group.made", group, by)
    return group


def change_group(
    session: Session,
    group: PersonGroup,
    name: str,
    people: Collection[uuid.UUID],
    *,
    by: uuid.UUID | None,
) -> None:
    """Give it this name and exactly these people. Raises Invalid, Conflict, NotFound."""
    name = _free_name(session, group.project_id, name, but=group.id)
    if name != group.name:
        _note(session, "group.renamed", group, by, to=name)
        group.name = name
    before = set(session.scalars(people_in(group.id)))
    wanted = set(people)
    _check_known(session, group.project_id, wanted - before)
    _put(session, group, before, wanted, by)


def delete_group(session: Session, group: PersonGroup, *, by: uuid.UUID | None) -> None:
    """Its people and their answers stay; who was in it stands in the trail."""
    people = sorted(str(one) for one in session.scalars(people_in(group.id)))
    _note(session, "group.deleted", group, by, people=people)
    session.delete(group)
    session.flush()


def set_groups(
    session: Session,
    project: Project,
    person: Person,
    groups: Collection[uuid.UUID],
    *,
    by: uuid.UUID | None,
) -> None:
    """Let the person be in exactly these of the project's groups. Raises NotFound."""
    wanted = {find_group(session, project.id, one).id for one in groups}
    for group, _ in groups_of(session, project.id):
        before = set(session.scalars(people_in(group.id)))
        after = before | {person.id} if group.id in wanted else before - {person.id}
        _put(session, group, before, after, by)


def _put(
    session: Session,
    group: PersonGroup,
    before: set[uuid.UUID],
    after: set[uuid.UUID],
    by: uuid.UUID | None,
) -> None:
    added, removed = after - before, before - after
    session.execute(
        delete(GroupMember).where(
            GroupMember.group_id == group.id, GroupMember.person_id.in_(removed)
        )
    )
    session.add_all(
        GroupMember(group_id=group.id, person_id=one, added_by=by) for one in sorted(added)
    )
    session.flush()
    if added or removed:
        names = dict(
            session.execute(
                select(Person.id, Person.name).where(Person.id.in_(added | removed))
            ).all()
        )
        _note(
            session,
            "group.people_changed",
            group,
            by,
            added=sorted(names[one] for one in added),
            removed=sorted(names[one] for one in removed),
        )


def _check_known(session: Session, project_id: uuid.UUID, people: set[uuid.UUID]) -> None:
    found = select(Membership.person_id).where(
        Membership.project_id == project_id, Membership.person_id.in_(people)
    )
    if people - set(session.scalars(found)):
        raise NotFound("Someone of these is not in the project any more. Reload the page.")


def _free_name(
    session: Session, project_id: uuid.UUID, name: str, *, but: uuid.UUID | None = None
) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME or "\x00" in name:
        raise Invalid(f"Give it a name of 1 to {LONGEST_NAME} characters.", field="name")
    taken = select(PersonGroup.id).where(
        PersonGroup.project_id == project_id, func.lower(PersonGroup.name) == name.lower()
    )
    if session.scalar(taken) not in (None, but):
        raise Conflict("This project has a group of that name.", field="name")
    return name


def _note(
    session: Session, action: str, group: PersonGroup, by: uuid.UUID | None, **detail: object
) -> None:
    record_event(
        session,
        action,
        actor_id=by,
        project_id=group.project_id,
        subject=group.name,
        detail=detail,
    )
