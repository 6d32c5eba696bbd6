"""What the signed-in person may do in the project that the URL names.

A stranger to a project is told that it does not exist; a member without the role, that it is not
theirs to do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from sqlalchemy import select

from app.errors import Forbidden, NotFound
from app.tables.accounts import Membership, Person, Role
from app.tables.projects import Project
from app.web.dependencies import SessionDep
from app.web.login import LoginDep

EVERY_ROLE = frozenset(Role)


@dataclass(frozen=True)
class Access:
    person: Person
    project: Project
    roles: frozenset[Role]
    is_paused: bool = False

    @property
    def is_staff(self) -> bool:
        """Admins and researchers see the loop; annotators see their own work only."""
        return bool(self.roles & {Role.ADMIN, Role.RESEARCHER})


def find_access(slug: str, login: LoginDep, session: SessionDep) -> Access:
    """The member's access to the project at `slug`. Raises NotFound for strangers."""
    project = session.scalar(select(Project).where(Project.slug == slug))
    missing = NotFound("There is no such project, or you are not a member of it.")
    if project is None:
        raise missing
    memberships = session.scalars(
        select(Membership).where(
            Membership.project_id == project.id, Membership.person_id == login.person.id
        )
    ).all()
    is_paused = any(m.rests for m in memberships if m.role is Role.ANNOTATOR)
    roles = frozenset(m.role for m in memberships)
    if login.person.is_owner:
        roles = EVERY_ROLE
    if not roles:
        raise missing
    return Access(login.person, project, roles, is_paused)


MemberAccess = Annotated[Access, Depends(find_access)]


def require_role(*allowed: Role) -> Callable[[Access], Access]:
    names = " or ".join(role.value for role in allowed)

    def check(access: MemberAccess) -> Access:
        if not access.roles.intersection(allowed):
            raise Forbidden(f"This needs the role {names} in this project. Ask an admin for it.")
        return access

    return check


AnnotatorAccess = Annotated[Access, Depends(require_role(Role.ANNOTATOR))]
AdminAccess = Annotated[Access, Depends(require_role(Role.ADMIN))]
ResearcherAccess = Annotated[Access, Depends(require_role(Role.RESEARCHER))]
StaffAccess = Annotated[Access, Depends(require_role(Role.ADMIN, Role.RESEARCHER))]


def require_owner(login: LoginDep) -> Person:
    if not login.person.is_owner:
        raise Forbidden("Only an owner of this installation may do this.")
    return login.person


OwnerDep = Annotated[Person, Depends(require_owner)]
