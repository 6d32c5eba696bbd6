"""The flags of a project: what else is asked about a prompt, a completion or a comparison."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.errors import Conflict, Invalid
from app.projects.naming import first_free, slugify
from app.projects.queries import flags_of, is_answered
from app.tables.projects import Flag, FlagKind, FlagScope, Polarity, Project

# Letters that the compare page itself listens to.
RESERVED_KEYS = frozenset("scughebdyz")
# What it listens to besides, where the project asks for more than a comparison.
RESERVED_WITH = {"is_span_on": "m", "is_rewrite_on": "w", "is_talk_on": "wnxt"}

# A flag may wait for the answer to one of these: what is known before it is asked.
KNOWN_BEFORE = {
    FlagScope.PROMPT: {FlagScope.PROMPT},
    FlagScope.COMPLETION: {FlagScope.PROMPT, FlagScope.COMPLETION},
    FlagScope.COMPARISON: {FlagScope.PROMPT, FlagScope.COMPARISON},
}


@dataclass(frozen=True)
class FlagValues:
    """Everything about a flag that people choose. `condition` is another flag of the project."""

    label: str
    scope: FlagScope
    kind: FlagKind = FlagKind.YES_NO
    polarity: Polarity = Polarity.BAD
    help_text: str = ""
    shortcut: str = ""
    condition: uuid.UUID | None = None
    is_required: bool = False


def add_flag(
    session: Session,
    project: Project,
    values: FlagValues,
    *,
    by: uuid.UUID | None,
    key: str = "",
) -> Flag:
    """A new flag, asked after those there are. Raises Invalid, with the field's name."""
    _lock(session, project)
    flags = flags_of(session, project.id, is_archived=None)
    values = _checked(values, list(flags), None, reserved_in(project))
    flag = Flag(
        project_id=project.id,
        key=first_free(
            key or slugify(values.label, separator="_") or "flag",
            {flag.key for flag in flags},
            separator="_",
        ),
        position=max((flag.position for flag in flags), default=0) + 1,
    )
    _assign(flag, values)
    session.add(flag)
    session.flush()
    _record(session, "flag.added", flag, by)
    return flag


def change_flag(
    session: Session, project: Project, flag: Flag, values: FlagValues, *, by: uuid.UUID | None
) -> Flag:
    """Raises Invalid, or Conflict where answers to the old question would change their meaning.

    Conflict also where another flag waits for what this one asks now.
    """
    _lock(session, project)
    flags = list(flags_of(session, project.id, is_archived=None))
    values = _checked(values, flags, flag, reserved_in(project))
    is_other_question = (flag.scope, flag.kind) != (values.scope, values.kind)
    if is_other_question and is_answered(session, flag.id):
        raise Conflict(
            "This flag has answers already, so what it is about and how it is answered stay. "
            "Archive it and add a new one.",
            field="kind",
        )
    if is_other_question:
        _check_nobody_waits(session, project, flag, "kind")
    _assign(flag, values)
    session.flush()
    _record(session, "flag.changed", flag, by)
    return flag


def archive_flag(session: Session, project: Project, flag: Flag, *, by: uuid.UUID | None) -> None:
    """Ask it no longer; its answers stay. Raises Conflict where another flag waits for it."""
    _lock(session, project)
    _check_nobody_waits(session, project, flag)
    flag.is_archived = True
    session.flush()
    _record(session, "flag.archived", flag, by)


def restore_flag(session: Session, project: Project, flag: Flag, *, by: uuid.UUID | None) -> None:
    """Ask an archived flag again. Raises Conflict where what it waits for is archived."""
    _lock(session, project)
    active = flags_of(session, project.id)
    if flag.condition_flag_id:
        _check_still_waits(flag, {other.id: other for other in active}.get(flag.condition_flag_id))
    if flag.shortcut in {other.shortcut for other in active}:
        flag.shortcut = ""
    flag.is_archived = False
    session.flush()
    _record(session, "flag.restored", flag, by)


def move_flag(
    session: Session, project: Project, flag: Flag, *, places: int, by: uuid.UUID | None
) -> None:
    """Ask it earlier (negative `places`) or later, past its neighbours of the same scope."""
    _lock(session, project)
    flags = list(flags_of(session, project.id))
    peers = [other for other in flags if other.scope is flag.scope]
    place = peers.index(flag) if flag in peers else -1
    target = place + places
    if place < 0 or not 0 <= target < len(peers):
        return
    peers.insert(target, peers.pop(place))
    order = [other for scope in FlagScope for other in flags if other.scope is scope]
    start = next(i for i, other in enumerate(order) if other.scope is flag.scope)
    order[start : start + len(peers)] = peers
    for position, other in enumerate(order, start=1):
        other.position = position
    session.flush()
    _record(session, "flag.moved", flag, by)


def reserved_in(project: Project) -> frozenset[str]:
    """The letters that the pages of this project listen to themselves."""
    also = (letters for setting, letters in RESERVED_WITH.items() if getattr(project, setting))
    return RESERVED_KEYS.union(*also)


def page_keys(flags: Sequence[Flag], reserved: frozenset[str]) -> dict[uuid.UUID, str]:
    """The key of each flag on the compare page, by id: its letter, or a full stop and a letter.

    The second is for flags without a letter and for those whose letter is `reserved` or another
    flag's, as settings that changed since may have it; so no key does two things. They go in the
    order in which the page asks: the prompt's, the completions', the comparison's. Past 26 of these
    a flag has no key of its own.
    """
    asked = [flag for scope in FlagScope for flag in flags if flag.scope is scope]
    first: dict[str, uuid.UUID] = {}
    for flag in asked:
        if flag.shortcut and flag.shortcut not in reserved:
            first.setdefault(flag.shortcut, flag.id)
    own = {flag_id: letter for letter, flag_id in first.items()}
    without = [flag.id for flag in asked if flag.id not in own]
    spare = dict(zip(without, (f".{letter}" for letter in ascii_lowercase), strict=False))
    return {flag.id: own.get(flag.id) or spare.get(flag.id, "") for flag in asked}


def free_letters(session: Session, project: Project) -> list[str]:
    """Letters that neither the compare page nor another flag has taken."""
    taken = {flag.shortcut for flag in flags_of(session, project.id)} | reserved_in(project)
    return [letter for letter in ascii_lowercase if letter not in taken]


def _checked(
    values: FlagValues, flags: list[Flag], itself: Flag | None, reserved: frozenset[str]
) -> FlagValues:
    """The same values, tidied. Raises Invalid."""
    label, help_text = " ".join(values.label.split()), " ".join(values.help_text.split())
    if not 1 <= len(label) <= 80 or "\x00" in label:
        raise Invalid("Give the flag a label of 1 to 80 characters.", field="label")
    if len(help_text) > 400 or "\x00" in help_text:
        raise Invalid("Use at most 400 characters.", field="help_text")
    others = [flag for flag in flags if flag is not itself]
    active = [flag for flag in others if not flag.is_archived]
    if label.casefold() in {flag.label.casefold() for flag in active}:
        raise Invalid("Another flag has this label already.", field="label")
    shortcut = values.shortcut.strip().lower()
    _check_shortcut(shortcut, active, reserved)
    if values.condition is not None:
        _check_condition(values, active, itself)
    return FlagValues(
        label,
        values.scope,
        values.kind,
        values.polarity,
        help_text,
        shortcut,
        values.condition,
        values.is_required,
    )


def _check_nobody_waits(
    session: Session, project: Project, flag: Flag, field: str | None = None
) -> None:
    for other in flags_of(session, project.id):
        if other.condition_flag_id == flag.id:
            raise Conflict(
                f"“{other.label}” is asked only after this flag. Change or archive it first.",
                field=field,
            )


def _check_still_waits(flag: Flag, condition: Flag | None) -> None:
    """While a flag is archived, what it waits for may come to ask something else."""
    if condition is None:
        raise Conflict("This flag waits for another one that is archived. Restore that one first.")
    if condition.kind is FlagKind.RATING_7 or condition.scope not in KNOWN_BEFORE[flag.scope]:
        raise Conflict(
            f"This flag waits for “{condition.label}”, which now asks something else. "
            "Add a new flag instead."
        )


def _check_shortcut(shortcut: str, active: list[Flag], reserved: frozenset[str]) -> None:
    if not re.fullmatch("[a-z]?", shortcut):
        raise Invalid("A shortcut is one letter from a to z, or nothing.", field="shortcut")
    if shortcut in reserved:
        raise Invalid(
            f"The compare page uses {shortcut.upper()} itself. Choose another letter.",
            field="shortcut",
        )
    if shortcut and (same := [flag for flag in active if flag.shortcut == shortcut]):
        raise Invalid(
            f"“{same[0].label}” has the letter {shortcut.upper()} already.", field="shortcut"
        )


def _check_condition(values: FlagValues, active: list[Flag], itself: Flag | None) -> None:
    by_id = {flag.id: flag for flag in active}
    condition = by_id.get(values.condition) if values.condition else None
    if condition is None:
        raise Invalid("Choose another flag of this project.", field="condition")
    if condition.kind is FlagKind.RATING_7:
        raise Invalid("Only a flag answered by yes or no can be waited for.", field="condition")
    if condition.scope not in KNOWN_BEFORE[values.scope]:
        raise Invalid(
            f"A flag about the {values.scope.value} cannot wait for one about the "
            f"{condition.scope.value}.",
            field="condition",
        )
    seen: Flag | None = condition
    while itself is not None and seen is not None:
        if seen.condition_flag_id == itself.id:
            raise Invalid("These two would wait for each other.", field="condition")
        seen = by_id.get(seen.condition_flag_id) if seen.condition_flag_id else None


def _assign(flag: Flag, values: FlagValues) -> None:
    flag.label, flag.help_text, flag.shortcut = values.label, values.help_text, values.shortcut
    flag.scope, flag.kind, flag.polarity = values.scope, values.kind, values.polarity
    flag.condition_flag_id, flag.is_required = values.condition, values.is_required


def _lock(session: Session, project: Project) -> None:
    """One change of a project's flags at a time: letters, labels and order depend on all."""
    session.execute(text("select id from project where id = :id for update"), {"id": project.id})


def _record(session: Session, action: str, flag: Flag, by: uuid.UUID | None) -> None:
    record_event(
        session,
        action,
        actor_id=by,
        project_id=flag.project_id,
        subject=flag.label,
        detail={"key": flag.key},
    )


def find_flag(session: Session, project: Project, flag_id: uuid.UUID) -> Flag | None:
    return session.scalar(select(Flag).where(Flag.id == flag_id, Flag.project_id == project.id))


def n_flags(session: Session, project: Project) -> int:
    found = select(func.count()).where(Flag.project_id == project.id, ~Flag.is_archived)
    return session.scalar(found) or 0
