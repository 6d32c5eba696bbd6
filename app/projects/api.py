"""Projects for scripts: what is asked, which flags, under which guidelines."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.projects.queries import current_guidelines, flags_of, projects_of
from app.projects.reading import confirm_reading
from app.tables.accounts import Role
from app.tables.projects import Flag, FlagKind, FlagScope, Objective, Polarity, Project
from app.web.access import AnnotatorAccess, MemberAccess
from app.web.dependencies import SessionDep
from app.web.login import LoginDep

router = APIRouter(prefix="/api/v1/projects", tags=["projects"])


class ProjectOut(BaseModel):
    slug: str
    name: str
    objective: Objective
    question: str
    low_end: str
    high_end: str
    is_archived: bool
    roles: list[Role]
    created_at: datetime


class FlagOut(BaseModel):
    """`condition` is the key of the flag that must have been answered yes."""

    key: str
    label: str
    help_text: str
    scope: FlagScope
    kind: FlagKind
    polarity: Polarity
    shortcut: str
    condition: str | None
    is_required: bool


class GuidelinesOut(BaseModel):
    version: int
    markdown: str
    change_note: str
    created_at: datetime


class ReadingBody(BaseModel):
    version: int


class ProjectDetail(ProjectOut):
    overlap: int
    flags: list[FlagOut]
    guidelines: GuidelinesOut | None


def _project(project: Project, roles: frozenset[Role]) -> dict[str, object]:
    names = (
        *("slug", "name", "objective", "question", "low_end", "high_end", "is_archived"),
        *("created_at", "overlap"),
    )
    return {**{name: getattr(project, name) for name in names}, "roles": sorted(roles)}


def _flags(session: Session, project: Project) -> list[FlagOut]:
    flags = flags_of(session, project.id)
    keys = {flag.id: flag.key for flag in flags}
    return [_flag(flag, keys.get(flag.condition_flag_id)) for flag in flags]  # type: ignore[arg-type]


def _flag(flag: Flag, condition: str | None) -> FlagOut:
    return FlagOut(
        condition=condition,
        **{name: getattr(flag, name) for name in FlagOut.model_fields if name != "condition"},
    )


@router.get("")
def list_projects(session: SessionDep, login: LoginDep) -> list[ProjectOut]:
    """Every project that the token's person belongs to, by name."""
    return [
        ProjectOut.model_validate(_project(member.project, member.roles))
        for member in projects_of(session, login.person)
    ]


@router.get("/{slug}")
def show_project(session: SessionDep, access: MemberAccess) -> ProjectDetail:
    """One project with its flags, in the order in which they are asked, and its guidelines."""
    current = current_guidelines(session, access.project.id)
    guidelines = current and GuidelinesOut(
        version=current.number,
        markdown=current.markdown,
        change_note=current.change_note,
        created_at=current.created_at,
    )
    return ProjectDetail.model_validate(
        {
            **_project(access.project, access.roles),
            "flags": _flags(session, access.project),
            "guidelines": guidelines,
        }
    )


@router.post("/{slug}/guidelines/readings", status_code=204)
def confirm(session: SessionDep, access: AnnotatorAccess, body: ReadingBody) -> None:
    """Confirm to have read the current guidelines; a project may hand out nothing before."""
    confirm_reading(session, access.project, access.person.id, body.version)
