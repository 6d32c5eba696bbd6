"""Prompts with pairs, and answers to them, made through the tables."""

import json
import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.intake import CompletionIn, Message, PromptIn, add_prompts
from app.tables.accounts import Person
from app.tables.base import utc_now
from app.tables.collect import Assignment, AssignmentState, Comparison, Draw, FlagAnswer, Pair
from app.tables.projects import Flag, FlagKind, FlagScope, Polarity, Project


def prompt_in(words: str, *completions: str, **values: Any) -> PromptIn:
    return PromptIn(
        messages=[Message(role="user", content=words)],
        completions=[CompletionIn(text=one) for one in completions],
        **values,
    )


def add_pairs(session: Session, project: Project, n: int, **values: Any) -> list[Pair]:
    """`n` prompts with one pair each, oldest first; "good" completions and "bad" ones."""
    add_prompts(
        session,
        project,
        (prompt_in(f"Question {i}?", f"good {i}", f"bad {i}", **values) for i in range(n)),
    )
    return list(session.scalars(select(Pair).where(Pair.project_id == project.id)))


def answer(
    session: Session, pair: Pair, annotator: Person, rating: int = 2, **values: Any
) -> Comparison:
    """An answer as the compare page would leave it."""
    assignment = Assignment(
        project_id=pair.project_id,
        pair_id=pair.id,
        annotator_id=annotator.id,
        state=AssignmentState.DONE,
        draw=Draw.UNIFORM,
        draw_probability=0.25,
        is_flipped=False,
        lease_until=utc_now() + timedelta(minutes=20),
        ended_at=utc_now(),
    )
    session.add(assignment)
    session.flush()
    comparison = Comparison(
        project_id=pair.project_id,
        assignment_id=assignment.id,
        pair_id=pair.id,
        annotator_id=annotator.id,
        rating=rating,
        seconds=4.0,
        is_flipped=False,
        idempotency_key=str(uuid.uuid4()),
        **values,
    )
    session.add(comparison)
    session.flush()
    return comparison


def make_flag(session: Session, project: Project, key: str = "accurate", **values: Any) -> Flag:
    flag = Flag(
        project_id=project.id,
        key=key,
        label=key.capitalize(),
        **{
            "scope": FlagScope.COMPLETION,
            "kind": FlagKind.YES_NO_NA,
            "polarity": Polarity.GOOD,
            **values,
        },
    )
    session.add(flag)
    session.flush()
    return flag


def answer_flag(
    session: Session,
    comparison: Comparison,
    flag: Flag,
    value: int | None,
    completion_id: uuid.UUID | None = None,
) -> None:
    session.add(
        FlagAnswer(
            comparison_id=comparison.id, flag_id=flag.id, completion_id=completion_id, value=value
        )
    )
    session.flush()


def line(**fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"
