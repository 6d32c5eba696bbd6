"""What answers said before they were changed: for staff, beside the pair and the person."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.flagging import read_flags
from app.collect.kinds.changing import Said, said_in, versions_of
from app.collect.kinds.service import LETTERS
from app.tables.base import utc_now
from app.tables.collect import Comparison, ComparisonRevision, Completion, Pair, Prompt
from app.tables.kinds import PromptAssignment, RankingComparison, Rewrite, Span
from app.tables.projects import Flag, FlagKind

MOST_CHANGED = 20
KINDS = {"rank": "Ranking", "rate": "Ratings", "demonstrate": "Demonstration"}


@dataclass(frozen=True)
class Version:
    """What an answer said from a moment on; `says` are its parts in words, in the frame of A and B.

    `is_new` marks the parts that the version before did not have.
    """

    number: int
    at: datetime
    says: tuple[str, ...]
    is_new: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Changed:
    """An answer that was changed, oldest version first; `pair_id` is None for other kinds."""

    what: str
    prompt: str
    at: datetime
    pair_id: uuid.UUID | None
    versions: list[Version]


def versions(session: Session, comparison: Comparison) -> list[Version]:
    """Every version of an answer, the first one first and the one that stands last."""
    before = session.scalars(
        select(ComparisonRevision)
        .where(ComparisonRevision.comparison_id == comparison.id)
        .order_by(ComparisonRevision.revision)
    ).all()
    labels = {
        flag.id: flag
        for flag in session.scalars(select(Flag).where(Flag.project_id == comparison.project_id))
    }
    found = [
        Version(
            was.revision,
            was.created_at,
            (*_said(was), *_flags(_then(was), labels), *_along(session, was)),
        )
        for was in before
    ]
    now = read_flags(session, comparison.id, comparison.pair_id)
    says = (*_said(comparison), *_flags(now, labels), *_along_now(session, comparison))
    return _told_apart([*found, Version(comparison.revision, comparison.updated_at, says)])


def _told_apart(found: list[Version]) -> list[Version]:
    """The same, with what is new in each version marked."""
    return [
        replace(
            one, is_new=tuple(place > 0 and part not in found[place - 1].says for part in one.says)
        )
        for place, one in enumerate(found)
    ]


def _said(answer: Comparison | ComparisonRevision) -> list[str]:
    side = "A" if answer.rating <= 4 else "B"
    parts = [f"Rating {answer.rating}, {side} is better"]
    parts += ["about equal"] if answer.is_about_equal else []
    parts += ["both bad"] if answer.is_both_bad else []
    parts += [f"sure {answer.confidence} of 5"] if answer.confidence else []
    return parts + ([f"“{answer.comment}”"] if answer.comment else [])


Flags = Mapping[tuple[uuid.UUID, Any], int | None]


def _then(was: ComparisonRevision) -> Flags:
    return {(uuid.UUID(one["flag_id"]), one["side"]): one["value"] for one in was.flags}


def _flags(answers: Flags, labels: Mapping[uuid.UUID, Flag]) -> list[str]:
    return sorted(
        f"{labels[flag_id].label}{f' {side}' if side else ''}: {_value(labels[flag_id], value)}"
        for (flag_id, side), value in answers.items()
        if flag_id in labels
    )


def _value(flag: Flag, value: int | None) -> str:
    if value is None:
        return "not applicable"
    return str(value) if flag.kind is FlagKind.RATING_7 else ("yes" if value else "no")


def _along(session: Session, was: ComparisonRevision) -> list[str]:
    edited = session.get(Completion, was.edited_id) if was.edited_id else None
    reasons = [one["reason"] for one in was.spans]
    return _rewritten(edited) + _marked(reasons)


def _along_now(session: Session, comparison: Comparison) -> list[str]:
    rewrite = session.get(Rewrite, comparison.id)
    edited = session.get(Completion, rewrite.edited_id) if rewrite else None
    found = select(Span.reason).where(Span.comparison_id == comparison.id)
    return _rewritten(edited) + _marked([one.value for one in session.scalars(found)])


def _rewritten(edited: Completion | None) -> list[str]:
    return [f"rewritten: {edited.text}"] if edited else []


def _marked(reasons: Sequence[str]) -> list[str]:
    counted = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
    return [f"marked {reason.replace('_', ' ')}: {n}" for reason, n in counted.items()]


def changed_by(
    session: Session, project_id: uuid.UUID, person_id: uuid.UUID, limit: int = MOST_CHANGED
) -> list[Changed]:
    """The answers of a person that were changed, the one that was changed last first.

    Pairs that follow from a ranking are left to the ranking.
    """
    pairs = session.execute(
        select(Comparison, Prompt.messages[-1]["content"].astext)
        .join(Pair, Pair.id == Comparison.pair_id)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .outerjoin(RankingComparison, RankingComparison.comparison_id == Comparison.id)
        .where(
            Comparison.annotator_id == person_id,
            Comparison.project_id == project_id,
            Comparison.revision > 1,
            RankingComparison.comparison_id.is_(None),
        )
        .order_by(Comparison.updated_at.desc())
        .limit(limit)
    )
    found = [
        Changed("Comparison", asks or "", one.updated_at, one.pair_id, versions(session, one))
        for one, asks in pairs
    ]
    found += _changed_prompts(session, project_id, person_id, limit)
    return sorted(found, key=lambda one: one.at, reverse=True)[:limit]


def _changed_prompts(
    session: Session, project_id: uuid.UUID, person_id: uuid.UUID, limit: int
) -> list[Changed]:
    rows = session.execute(
        select(PromptAssignment, Prompt.messages[-1]["content"].astext)
        .join(Prompt, Prompt.id == PromptAssignment.prompt_id)
        .where(
            PromptAssignment.annotator_id == person_id,
            PromptAssignment.project_id == project_id,
            PromptAssignment.changed_at.is_not(None),
        )
        .order_by(PromptAssignment.changed_at.desc())
        .limit(limit)
    )
    return [
        Changed(KINDS[one.kind], asks or "", one.changed_at or utc_now(), None, _of(session, one))
        for one, asks in rows
    ]


def _of(session: Session, assignment: PromptAssignment) -> list[Version]:
    before = [
        Version(was.revision, was.created_at, _in_words(assignment, said))
        for was, said in reversed(versions_of(session, assignment))
    ]
    says = _in_words(assignment, said_in(session, assignment))
    at = assignment.changed_at or utc_now()
    return _told_apart([*before, Version(assignment.revision, at, says)])


def _in_words(assignment: PromptAssignment, said: Said) -> tuple[str, ...]:
    numbers = [
        f"{letter}: {said.choices[one]}"
        for letter, one in zip(LETTERS, assignment.shown, strict=False)
        if one in said.choices
    ]
    words = [said.words] if said.words else []
    return (*numbers, *words, *([f"“{said.comment}”"] if said.comment else []))
