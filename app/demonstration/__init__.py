"""The projects that a fresh installation starts with, so that a newcomer can turn the loop.

"Small talk" is written in a language so small that a tiny network learns it in seconds on any
machine; "Reading room" shows what real answers look like on the page: code, tables, long texts and
right-to-left scripts.
"""

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.datasets.service import run_import
from app.db import session_scope
from app.projects.flags import FlagValues, add_flag
from app.projects.service import create_project
from app.tables.accounts import AuditEvent
from app.tables.collect import Prompt
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
    settings={
        "comparisons_per_round": 40,
        "pairs_per_round": 60,
        "policy_steps": 24,
        "kl_coef": 0.1,
        "max_new_tokens": 40,
    },
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
    """Load what is missing of the demonstration, on an installation that holds nothing else.

    A first start that was cut off between a project and its prompts is taken up again; a project
    that people have renamed or filled themselves is left alone. Returns the names loaded now.
    """
    plans = {plan.name: plan for plan in (SMALL_TALK, READING_ROOM)}
    with session_scope() as session:
        there = {project.name: project for project in session.scalars(select(Project))}
        if not there.keys() <= plans.keys():
            return []
        full = {project.name for project in there.values() if _is_touched(session, project)}
        ids = {
            name: there[name].id if name in there else _make(session, plan)
            for name, plan in plans.items()
            if name not in full
        }
    for name, project_id in ids.items():
        _fill(project_id, plans[name].file)
    return list(ids)


def _is_touched(session: Session, project: Project) -> bool:
    """Whether a project has prompts, or was changed by a person since it was made."""
    has_prompts = session.scalar(select(Prompt.id).where(Prompt.project_id == project.id).limit(1))
    by_a_person = session.scalar(
        select(AuditEvent.id)
        .where(AuditEvent.project_id == project.id, AuditEvent.actor_id.is_not(None))
        .limit(1)
    )
    return has_prompts is not None or by_a_person is not None


def _make(session: Session, plan: Plan) -> uuid.UUID:
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
    return project.id


def _fill(project_id: uuid.UUID, name: str) -> None:
    file = FOLDER / name
    with file.open("rb") as stream:
        run_import(project_id, stream, name, file.stat().st_size, None)
