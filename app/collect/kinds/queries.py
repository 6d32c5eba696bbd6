"""What an annotator sees of a prompt, and what leaves as files."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.kinds.leases import in_order
from app.collect.left_out import left_out_people
from app.collect.rerender import render_prompt_anew
from app.markdown import RENDERER
from app.tables.collect import AssignmentState, Comparison, Completion, Prompt
from app.tables.kinds import (
    CompletionRating,
    Demonstration,
    PromptAssignment,
    PromptKind,
    RankedCompletion,
    Span,
)


@dataclass(frozen=True)
class PromptSheet:
    """A conversation and its completions in the order shown, without their authors."""

    roles: tuple[str, ...]
    html: tuple[str, ...]
    completions: tuple[tuple[uuid.UUID, str], ...]


def prompt_sheet(session: Session, assignment: PromptAssignment) -> PromptSheet:
    prompt = session.get_one(Prompt, assignment.prompt_id)
    found = session.scalars(select(Completion).where(Completion.id.in_(assignment.shown))).all()
    if min([prompt.renderer, *(one.renderer for one in found)]) < RENDERER:
        render_prompt_anew(session, prompt.id, assignment.shown)
        for one in (prompt, *found):
            session.refresh(one)
    return PromptSheet(
        tuple(message["role"] for message in prompt.messages),
        tuple(prompt.html),
        tuple((one.id, one.html) for one in in_order(assignment, found)),
    )


def last_answered(
    session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID, kind: PromptKind
) -> uuid.UUID | None:
    """The assignment of a kind that this person answered last."""
    return session.scalar(
        select(PromptAssignment.id)
        .where(
            PromptAssignment.annotator_id == annotator_id,
            PromptAssignment.project_id == project_id,
            PromptAssignment.kind == kind,
            PromptAssignment.state == AssignmentState.DONE,
        )
        .order_by(PromptAssignment.ended_at.desc())
        .limit(1)
    )


def demonstration_rows(session: Session, project_id: uuid.UUID) -> Iterator[dict[str, Any]]:
    """Demonstrations that count, oldest first, as TRL's SFTTrainer reads them."""
    rows = session.execute(
        select(Prompt.messages, Completion.text, PromptAssignment.id)
        .join(PromptAssignment, PromptAssignment.prompt_id == Prompt.id)
        .join(Demonstration, Demonstration.assignment_id == PromptAssignment.id)
        .join(Completion, Completion.id == Demonstration.completion_id)
        .where(
            PromptAssignment.project_id == project_id,
            PromptAssignment.annotator_id.not_in(left_out_people(project_id)),
        )
        .order_by(PromptAssignment.ended_at, PromptAssignment.id)
    )
    for messages, words, assignment_id in rows:
        yield {
            "prompt": messages,
            "completion": [{"role": "assistant", "content": words}],
            "demonstration": str(assignment_id),
        }


def rating_rows(session: Session, project_id: uuid.UUID) -> Iterator[dict[str, Any]]:
    """Each rating of a completion by itself, oldest first."""
    rows = session.execute(
        select(
            Prompt.messages,
            Completion.text,
            CompletionRating.rating,
            PromptAssignment.id,
            PromptAssignment.is_surplus,
        )
        .join(PromptAssignment, PromptAssignment.id == CompletionRating.assignment_id)
        .join(Prompt, Prompt.id == PromptAssignment.prompt_id)
        .join(Completion, Completion.id == CompletionRating.completion_id)
        .where(
            PromptAssignment.project_id == project_id,
            PromptAssignment.annotator_id.not_in(left_out_people(project_id)),
        )
        .order_by(PromptAssignment.ended_at, PromptAssignment.id, Completion.id)
    )
    for messages, words, rating, assignment_id, is_surplus in rows:
        yield {
            "prompt": messages,
            "completion": [{"role": "assistant", "content": words}],
            "rating": rating,
            "assignment": str(assignment_id),
            "is_surplus": is_surplus,
        }


def span_rows(session: Session, project_id: uuid.UUID) -> Iterator[dict[str, Any]]:
    """Each marked part; `start` and `stop` count the code points of the completion's raw text."""
    rows = session.execute(
        select(Prompt.messages, Completion.text, Span, Comparison.pair_id)
        .join(Completion, Completion.prompt_id == Prompt.id)
        .join(Span, Span.completion_id == Completion.id)
        .join(Comparison, Comparison.id == Span.comparison_id)
        .where(
            Comparison.project_id == project_id,
            Comparison.annotator_id.not_in(left_out_people(project_id)),
        )
        .order_by(Span.created_at, Span.id)
    )
    for messages, words, span, pair_id in rows:
        yield {
            "prompt": messages,
            "completion": [{"role": "assistant", "content": words}],
            "start": span.start,
            "stop": span.stop,
            "marked": words[span.start : span.stop],
            "reason": span.reason.value,
            "note": span.note,
            "pair": str(pair_id),
        }


def ranking_rows(session: Session, project_id: uuid.UUID) -> Iterator[dict[str, Any]]:
    """Whole rankings, oldest first; completions best first, `ranks` beside them, ties equal."""
    rows = session.execute(
        select(
            PromptAssignment.id,
            PromptAssignment.is_surplus,
            Prompt.messages,
            Completion.text,
            RankedCompletion.rank,
        )
        .join(PromptAssignment, PromptAssignment.id == RankedCompletion.ranking_id)
        .join(Prompt, Prompt.id == PromptAssignment.prompt_id)
        .join(Completion, Completion.id == RankedCompletion.completion_id)
        .where(
            PromptAssignment.project_id == project_id,
            PromptAssignment.annotator_id.not_in(left_out_people(project_id)),
        )
        .order_by(
            PromptAssignment.ended_at, PromptAssignment.id, RankedCompletion.rank, Completion.id
        )
    )
    line: dict[str, Any] | None = None
    for ranking_id, is_surplus, messages, words, rank in rows:
        if line is None or line["ranking"] != str(ranking_id):
            if line is not None:
                yield line
            line = {
                "prompt": messages,
                "completions": [],
                "ranks": [],
                "ranking": str(ranking_id),
                "is_surplus": is_surplus,
            }
        line["completions"].append(words)
        line["ranks"].append(rank)
    if line is not None:
        yield line
