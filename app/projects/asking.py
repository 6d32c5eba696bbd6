"""What a project asks of everybody, kept in this process for as long as its rows stand unchanged.

A compare page needs the project, its flags and its guidelines at each answer, and they change
about once a week. `VERSION` names the row versions that stand (Postgres gives every change a new
one, whoever made it), so that whoever reads it with another statement anyway needs no more.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import bindparam, inspect, select, text
from sqlalchemy.orm import Session

from app.projects.flags import page_keys, reserved_in
from app.tables.projects import Flag, FlagScope, GuidelineVersion, Project

# As text, for a project named p. A row's xmin is the transaction that wrote it, its ctid where it
# lies: two changes in one transaction differ in the second.
VERSION = """concat_ws(' ', p.xmin, p.ctid,
    (select max(v.number) from guideline_version v where v.project_id = p.id),
    (select string_agg(concat(f.id, f.xmin, f.ctid), ' ' order by f.id)
        from flag f where f.project_id = p.id)
)"""
MOST_KEPT = 1_000

Row = TypeVar("Row", Flag, Project)

_FOUND = text(f"select {VERSION} from project p where p.id = :project")  # noqa: S608
_PROJECT = select(Project.__table__).where(Project.id == bindparam("project"))
_FLAGS = (
    select(Flag.__table__)
    .where(Flag.project_id == bindparam("project"))
    .order_by(Flag.position, Flag.created_at)
)
_GUIDELINES = (
    select(GuidelineVersion.id)
    .where(GuidelineVersion.project_id == bindparam("project"))
    .order_by(GuidelineVersion.number.desc())
    .limit(1)
)


@dataclass(frozen=True)
class Asking:
    """Rows that belong to no session: to be read, by all requests at once, and never changed.

    `every_flag` holds archived ones too, by id and in the order in which they are asked; `flags`
    those that are asked, by scope; `keys` what each has on the keyboard.
    """

    version: str
    project: Project
    guidelines_id: uuid.UUID | None
    every_flag: Mapping[uuid.UUID, Flag]
    flags: Mapping[str, list[Flag]]
    keys: Mapping[uuid.UUID, str]


_kept: dict[uuid.UUID, Asking] = {}


def asking_of(session: Session, project_id: uuid.UUID, version: str | None = None) -> Asking:
    """What stands now. `version` is what `VERSION` said in this transaction; None looks it up.

    The project must exist.
    """
    if version is None:
        version = str(session.execute(_FOUND, {"project": project_id}).scalar_one())
    kept = _kept.get(project_id)
    if kept is None or kept.version != version:
        # What is read now is as new as `version` or newer: at worst the next look reads it again.
        kept = _read(session, project_id, version)
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[project_id] = kept
    return kept


def _read(session: Session, project_id: uuid.UUID, version: str) -> Asking:
    who = {"project": project_id}
    every_flag = [_copy(Flag, row) for row in session.execute(_FLAGS, who).mappings()]
    asked = [flag for flag in every_flag if not flag.is_archived]
    project = _copy(Project, session.execute(_PROJECT, who).mappings().one())
    return Asking(
        version=version,
        project=project,
        guidelines_id=session.scalar(_GUIDELINES, who),
        every_flag={flag.id: flag for flag in every_flag},
        flags={scope.value: [f for f in asked if f.scope is scope] for scope in FlagScope},
        keys=page_keys(asked, reserved_in(project)),
    )


def _copy(table: type[Row], row: Mapping[Any, Any]) -> Row:
    """A row as an object that no session knows, so that none writes or loads it."""
    return table(**{one.key: row[one.columns[0]] for one in inspect(table).column_attrs})
