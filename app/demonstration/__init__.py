"""The projects that a fresh installation starts with, so that a newcomer can turn the loop.

"Small talk" is written in a language so small that a tiny network learns it in seconds on any
machine; "Reading room" shows what real answers look like on the page: code, tables, long texts and
right-to-left scripts.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from app.accounts.audit import record_event
from app.datasets.service import run_import
from app.db import session_scope
from app.projects.flags import FlagValues, add_flag
from app.projects.service import create_project
from app.tables.projects import FlagScope, Objective, Polarity, Project

FOLDER = Path(__file__).parent


def _flag(label: str, shortcut: str, polarity: Polarity, help_text: str) -> FlagValues:
    return FlagValues(
        label, FlagScope.COMPLETION, polarity=polarity, help_text=help_text, shortcut=shortcut
    )


@dataclass(frozen=True)
class Plan:
    file: str
    name: str
    guidelines: str
    flags: tuple[FlagValues, ...]
    settings: dict[str, Any] = field(default_factory=dict)


SMALL_TALK = Plan(
    file="small_talk.jsonl",
    name="Small talk",
    guidelines=(FOLDER / "small_talk.md").read_text(encoding="utf-8"),
    flags=(
        _flag("Rude", "r", Polarity.BAD, "Insults the person or sends them away."),
        _flag("Off topic", "o", Polarity.BAD, "Names things that belong somewhere else."),
        _flag("Courteous", "k", Polarity.GOOD, "Wishes the person well."),
    ),
    settings={"comparisons_per_round": 40, "pairs_per_round": 60},
)
READING_ROOM = Plan(
    file="reading_room.jsonl",
    name="Reading room",
    guidelines=(FOLDER / "reading_room.md").read_text(encoding="utf-8"),
    flags=(
        _flag("Wrong fact", "w", Polarity.BAD, "States something that is not so."),
        _flag("Follows the request", "f", Polarity.GOOD, "Does what was asked, within its limits."),
    ),
    settings={"is_loop_automatic": False},
)


def load_demonstration() -> list[str]:
    """Make the demonstration projects where there is no project at all. Returns their names."""
    with session_scope() as session:
        if session.scalar(select(Project.id).limit(1)) is not None:
            return []
    return [_load(plan) for plan in (SMALL_TALK, READING_ROOM)]


def _load(plan: Plan) -> str:
    with session_scope() as session:
        project = create_project(
            session,
            name=plan.name,
            objective=Objective.HELPFULNESS,
            created_by=None,
            guidelines=plan.guidelines,
            **plan.settings,
        )
        for flag in plan.flags:
            add_flag(session, project, flag, by=None)
        record_event(session, "project.demonstration_loaded", project_id=project.id)
        project_id = project.id
    file = FOLDER / plan.file
    with file.open("rb") as stream:
        run_import(project_id, stream, plan.file, file.stat().st_size, None)
    return plan.name
