"""Projects and their guidelines. The verbs for flags are in `flags` and offered here as well."""

import uuid
from contextlib import suppress
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import jobs
from app.accounts.audit import record_event
from app.accounts.service import grant_role
from app.errors import Conflict, Invalid
from app.markdown import render_markdown
from app.projects.flags import RESERVED_KEYS, add_flag, archive_flag, change_flag, move_flag
from app.projects.held import hold_skipped
from app.projects.naming import RESERVED_SLUGS, first_free, slugify
from app.projects.presets import add_preset
from app.projects.queries import current_guidelines
from app.projects.reading import note_reading
from app.projects.rules import WORDINGS, problems
from app.projects.skipping import add_default_reasons
from app.tables.accounts import Person, Role
from app.tables.jobs import JobState
from app.tables.projects import GuidelineVersion, Objective, Project

__all__ = [
    "RESERVED_KEYS",
    "add_flag",
    "add_guideline_version",
    "add_preset",
    "archive_flag",
    "change_flag",
    "change_project",
    "create_project",
    "move_flag",
    "set_archived",
]

LONGEST_GUIDELINES = 200_000


def create_project(
    session: Session,
    *,
    name: str,
    objective: Objective,
    created_by: uuid.UUID | None,
    question: str = "",
    low_end: str = "",
    high_end: str = "",
    guidelines: str = "",
    **settings: Any,
) -> Project:
    """A new project, of which `created_by` becomes admin and researcher.

    The address comes from the name; question and ends left empty come from the objective;
    `settings` are further columns of `project` (overlap, base_model, …). Raises Invalid, with the
    field's name.
    """
    wording = WORDINGS[objective]
    values = {
        "name": " ".join(name.split()),
        "question": question.strip() or wording.question,
        "low_end": low_end.strip() or wording.low_end,
        "high_end": high_end.strip() or wording.high_end,
        **settings,
    }
    _refuse(values)
    project = Project(slug=_free_slug(session, name), objective=objective, **values)
    session.add(project)
    session.flush()
    add_default_reasons(session, project.id)
    record_event(
        session,
        "project.created",
        actor_id=created_by,
        project_id=project.id,
        subject=project.name,
        detail={"objective": objective.value},
    )
    if created_by is not None:
        person = session.get_one(Person, created_by)
        for role in (Role.ADMIN, Role.RESEARCHER):
            grant_role(session, project_id=project.id, person=person, role=role, by=created_by)
    if guidelines.strip():
        add_guideline_version(session, project, markdown=guidelines, created_by=created_by)
    return project


def change_project(
    session: Session, project: Project, *, by: uuid.UUID | None, **values: Any
) -> Project:
    """Set the given columns. Raises Invalid, with the field's name.

    Where the objective changes, a question or end that still is the old objective's own follows.
    """
    values = {k: v.strip() if isinstance(v, str) else v for k, v in values.items()}
    if "objective" in values:
        values = _follow_objective(project, Objective(values["objective"]), values)
    _refuse(values)
    changed = {k: v for k, v in values.items() if getattr(project, k) != v}
    for column, value in changed.items():
        setattr(project, column, value)
    session.flush()
    if "skips_to_admin" in changed:
        hold_skipped(session, project)
    if changed:
        record_event(
            session,
            "project.changed",
            actor_id=by,
            project_id=project.id,
            subject=project.name,
            detail=changed,
        )
    return project


def set_archived(
    session: Session, project: Project, *, is_archived: bool, by: uuid.UUID | None
) -> None:
    """Put a project away, or take it out again; nothing is deleted.

    What the worker does for a project that is put away stops, and can be tried again later.
    """
    if project.is_archived == is_archived:
        return
    project.is_archived = is_archived
    session.flush()
    if is_archived:
        _stop_running_job(session, project)
    record_event(
        session,
        "project.archived" if is_archived else "project.unarchived",
        actor_id=by,
        project_id=project.id,
        subject=project.name,
    )


def _stop_running_job(session: Session, project: Project) -> None:
    for job in jobs.find_unfinished(session, project.id):
        if job.state is JobState.RUNNING:
            # It may have ended since it was read, which is as well.
            with suppress(Conflict):
                jobs.request_cancel(session, job.id)


def add_guideline_version(
    session: Session,
    project: Project,
    *,
    markdown: str,
    created_by: uuid.UUID | None,
    change_note: str = "",
    after: int | None = None,
) -> GuidelineVersion:
    """The next version of the guidelines.

    `after` is the number of the version that the author began from (0 for none): where another
    has come since, Conflict is raised and nothing is lost. Raises Invalid for an empty, unchanged
    or overlong text.
    """
    markdown = markdown.replace("\r\n", "\n").strip()
    check_guidelines(markdown)
    # Two people who save at once get two numbers, or the second one a sentence.
    session.execute(text("select id from project where id = :id for update"), {"id": project.id})
    current = current_guidelines(session, project.id)
    number = current.number if current else 0
    if after is not None and after != number:
        raise Conflict(
            f"Someone saved version {number} while you were writing. Your text is still here: "
            "compare it with theirs, then save again."
        )
    if current and current.markdown == markdown:
        raise Invalid("Nothing has changed since the current version.", field="markdown")
    version = GuidelineVersion(
        project_id=project.id,
        number=number + 1,
        markdown=markdown,
        html=render_markdown(markdown),
        change_note=" ".join(change_note.split())[:300],
        created_by=created_by,
    )
    session.add(version)
    session.flush()
    if created_by is not None:
        note_reading(session, version, created_by)
    record_event(
        session,
        "guidelines.changed",
        actor_id=created_by,
        project_id=project.id,
        subject=f"version {version.number}",
        detail={"note": version.change_note},
    )
    return version


def check_guidelines(markdown: str) -> None:
    """Raise Invalid for a text that cannot be guidelines."""
    if not markdown.strip():
        raise Invalid("Write the guidelines first.", field="markdown")
    if len(markdown) > LONGEST_GUIDELINES:
        raise Invalid(f"Use at most {LONGEST_GUIDELINES:,} characters.", field="markdown")
    if "\x00" in markdown:
        raise Invalid("The text holds a NUL character, which cannot be stored.", field="markdown")


def _refuse(values: dict[str, Any]) -> None:
    for field, sentence in problems(values).items():
        raise Invalid(sentence, field=field)


def _follow_objective(
    project: Project, objective: Objective, values: dict[str, Any]
) -> dict[str, Any]:
    old, new = WORDINGS[project.objective], WORDINGS[objective]
    followed = dict(values, objective=objective)
    for field in ("question", "low_end", "high_end"):
        if values.get(field, getattr(project, field)) == getattr(old, field):
            followed[field] = getattr(new, field)
    return followed


def _free_slug(session: Session, name: str) -> str:
    slug = slugify(name) or "project"
    # One project at a time gets its address: two of one name at once get two numbers.
    session.execute(text("select pg_advisory_xact_lock(7302)"))
    taken = set(session.scalars(select(Project.slug).where(func.starts_with(Project.slug, slug))))
    return first_free(slug, taken | RESERVED_SLUGS)
