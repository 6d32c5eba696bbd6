"""Projects, their guidelines and flags, and the figures of the start page."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, and_, func, or_, select
from sqlalchemy.orm import Session

from app.tables.accounts import Membership, Person, Role
from app.tables.collect import AssignmentState, Comparison, FlagAnswer
from app.tables.jobs import ASIDE, Job, JobState
from app.tables.kinds import PromptAssignment, RankingComparison, Rewrite
from app.tables.projects import Flag, GuidelineVersion, Project


@dataclass(frozen=True)
class Member:
    """A project as one person stands in it. An owner has every role, given or not."""

    project: Project
    given_roles: frozenset[Role]
    roles: frozenset[Role]
    is_paused: bool

    @property
    def is_staff(self) -> bool:
        return bool(self.roles & {Role.ADMIN, Role.RESEARCHER})


def projects_of(session: Session, person: Person) -> list[Member]:
    """Every project that the person belongs to, or every project for an owner, by name."""
    rows = session.execute(
        select(Project, Membership)
        .outerjoin(
            Membership,
            and_(Membership.project_id == Project.id, Membership.person_id == person.id),
        )
        .where(or_(person.is_owner, Membership.id.is_not(None)))  # type: ignore[arg-type]
        .order_by(func.lower(Project.name), Project.id)
    )
    projects: dict[uuid.UUID, Project] = {}
    held: dict[uuid.UUID, list[Membership]] = {}
    for project, membership in rows:
        projects[project.id] = project
        held.setdefault(project.id, []).extend([membership] if membership else [])
    return [_member(person, project, held[project.id]) for project in projects.values()]


def _member(person: Person, project: Project, held: list[Membership]) -> Member:
    given = frozenset(m.role for m in held)
    is_paused = any(m.rests for m in held if m.role is Role.ANNOTATOR)
    return Member(project, given, frozenset(Role) if person.is_owner else given, is_paused)


def n_comparisons(session: Session, project_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, int]:
    found = (
        select(Comparison.project_id, func.count())
        .where(Comparison.project_id.in_(project_ids))
        .group_by(Comparison.project_id)
    )
    return dict(session.execute(found).all())


def live_jobs(session: Session, project_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Job]:
    """The job that runs, or else the one that waits, of each project that has one."""
    found = (
        select(Job)
        .where(
            Job.project_id.in_(project_ids),
            Job.state.in_([JobState.RUNNING, JobState.QUEUED]),
            Job.kind.not_in(ASIDE),
        )
        .order_by(Job.state, Job.created_at.desc())
    )
    jobs: dict[uuid.UUID, Job] = {}
    for job in session.scalars(found):
        if job.project_id not in jobs or job.state is JobState.RUNNING:
            jobs[job.project_id] = job
    return jobs


def n_done(session: Session, project_id: uuid.UUID, person_id: uuid.UUID) -> int:
    """How many answers a person gave, of every kind; what follows from one is not counted again."""
    comparisons = (
        select(func.count())
        .select_from(Comparison)
        .outerjoin(RankingComparison, RankingComparison.comparison_id == Comparison.id)
        .outerjoin(Rewrite, Rewrite.derived_comparison_id == Comparison.id)
        .where(
            Comparison.project_id == project_id,
            Comparison.annotator_id == person_id,
            RankingComparison.comparison_id.is_(None),
            Rewrite.comparison_id.is_(None),
        )
    )
    others = select(func.count()).where(
        PromptAssignment.project_id == project_id,
        PromptAssignment.annotator_id == person_id,
        PromptAssignment.state == AssignmentState.DONE,
    )
    return (session.scalar(comparisons) or 0) + (session.scalar(others) or 0)


def current_guidelines(session: Session, project_id: uuid.UUID) -> GuidelineVersion | None:
    return session.scalar(
        select(GuidelineVersion)
        .where(GuidelineVersion.project_id == project_id)
        .order_by(GuidelineVersion.number.desc())
        .limit(1)
    )


def guideline_versions(
    session: Session, project_id: uuid.UUID
) -> Sequence[Row[GuidelineVersion, str | None]]:
    """Every version with its author's name, the newest first."""
    return session.execute(
        select(GuidelineVersion, Person.name)
        .outerjoin(Person, Person.id == GuidelineVersion.created_by)
        .where(GuidelineVersion.project_id == project_id)
        .order_by(GuidelineVersion.number.desc())
    ).all()


def flags_of(
    session: Session, project_id: uuid.UUID, *, is_archived: bool | None = False
) -> Sequence[Flag]:
    """The project's flags in the order in which they are asked; None for archived ones as well."""
    found = select(Flag).where(Flag.project_id == project_id)
    if is_archived is not None:
        found = found.where(Flag.is_archived == is_archived)
    return session.scalars(found.order_by(Flag.position, Flag.created_at)).all()


def is_answered(session: Session, flag_id: uuid.UUID) -> bool:
    found = select(FlagAnswer.flag_id).where(FlagAnswer.flag_id == flag_id).limit(1)
    return session.scalar(found) is not None
