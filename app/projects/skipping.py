"""The reasons that a project's annotators may give for a skip."""

import uuid
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.errors import Conflict, Invalid, NotFound
from app.tables.projects import Project, SkipReason

# The first three are those of Ouyang et al. 2022 (InstructGPT): seen, uncomfortable, not competent.
DEFAULTS = (
    ("I have seen this before", False),
    ("I would rather not read this", False),
    ("I do not know enough about this to judge", False),
    ("The prompt makes no sense", False),
    ("The text is broken or in a language I do not read", False),
    ("Other", True),
)
LONGEST_LABEL = 120
MOST = 30


def add_default_reasons(session: Session, project_id: uuid.UUID) -> None:
    session.add_all(
        SkipReason(
            project_id=project_id, label=label, position=position, is_words_needed=is_words_needed
        )
        for position, (label, is_words_needed) in enumerate(DEFAULTS)
    )
    session.flush()


def reasons_of(
    session: Session, project_id: uuid.UUID, *, is_archived: bool = False
) -> Sequence[SkipReason]:
    """A project's reasons in their order; the archived ones only where asked for."""
    return session.scalars(
        select(SkipReason)
        .where(SkipReason.project_id == project_id, SkipReason.is_archived == is_archived)
        .order_by(SkipReason.position, SkipReason.created_at)
    ).all()


def add_reason(
    session: Session, project: Project, label: str, *, is_words_needed: bool, by: uuid.UUID
) -> SkipReason:
    """One reason more, at the end. Raises Invalid, or Conflict where the list has it already."""
    label = _checked(session, project, label)
    if len(reasons_of(session, project.id)) >= MOST:
        raise Conflict(f"A list of more than {MOST} reasons is not read. Archive one first.")
    last = session.scalar(
        select(func.max(SkipReason.position)).where(SkipReason.project_id == project.id)
    )
    reason = SkipReason(
        project_id=project.id,
        label=label,
        is_words_needed=is_words_needed,
        position=(-1 if last is None else last) + 1,
    )
    session.add(reason)
    session.flush()
    _record(session, "added", project, reason, by)
    return reason


def change_reason(
    session: Session,
    project: Project,
    reason_id: uuid.UUID,
    label: str,
    *,
    is_words_needed: bool,
    by: uuid.UUID,
) -> SkipReason:
    """Word a reason differently; what was skipped before keeps the words it was given."""
    reason = find_reason(session, project.id, reason_id)
    reason.label = _checked(session, project, label, but=reason)
    reason.is_words_needed = is_words_needed
    session.flush()
    _record(session, "changed", project, reason, by)
    return reason


def set_reason_archived(
    session: Session, project: Project, reason_id: uuid.UUID, *, is_archived: bool, by: uuid.UUID
) -> SkipReason:
    reason = find_reason(session, project.id, reason_id)
    reason.is_archived = is_archived
    session.flush()
    _record(session, "archived" if is_archived else "restored", project, reason, by)
    return reason


def move_reason(session: Session, project: Project, reason_id: uuid.UUID, places: int) -> None:
    """Move a reason `places` down the list, up where negative; the ends hold it."""
    rows = list(reasons_of(session, project.id))
    reason = find_reason(session, project.id, reason_id)
    if reason not in rows:
        raise Conflict("This reason is archived. Offer it again before you move it.")
    place = rows.index(reason)
    rows.insert(max(0, place + places), rows.pop(place))
    for position, row in enumerate(rows):
        row.position = position
    session.flush()


def find_reason(session: Session, project_id: uuid.UUID, reason_id: uuid.UUID) -> SkipReason:
    """Raises NotFound for a reason of another project."""
    reason = session.get(SkipReason, reason_id)
    if reason is None or reason.project_id != project_id:
        raise NotFound("This project has no such reason. Reload the page to see its list.")
    return reason


def in_words(
    session: Session, project_id: uuid.UUID, reason_id: uuid.UUID | None, words: str
) -> str:
    """What a skip says: a reason of the list with words beside it, or words alone.

    Raises NotFound, and Invalid where the reason says nothing without words.
    """
    words = " ".join(words.split())
    if reason_id is None:
        return words
    reason = find_reason(session, project_id, reason_id)
    if reason.is_words_needed and not words:
        raise Invalid(f"“{reason.label}” needs a few words: say what it was.", field="other")
    return f"{reason.label}: {words}" if words else reason.label


def _checked(
    session: Session, project: Project, label: str, *, but: SkipReason | None = None
) -> str:
    label = " ".join(label.split())
    if not label:
        raise Invalid("Write the reason as the annotator would say it.", field="label")
    if len(label) > LONGEST_LABEL or "\x00" in label:
        raise Invalid(f"Use at most {LONGEST_LABEL} characters of plain text.", field="label")
    same = session.scalar(
        select(SkipReason).where(SkipReason.project_id == project.id, SkipReason.label == label)
    )
    if same is not None and same is not but:
        where = "among the archived ones: offer it again" if same.is_archived else "in the list"
        raise Conflict(f"This reason is already {where}.")
    return label


def _record(
    session: Session, verb: str, project: Project, reason: SkipReason, by: uuid.UUID
) -> None:
    record_event(
        session,
        f"skip_reason.{verb}",
        actor_id=by,
        project_id=project.id,
        subject=reason.label,
    )
