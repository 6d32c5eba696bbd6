"""Pairs on which people stand on both sides: ranked by what a decision is worth, and decided.

Worth is the verdict's posterior variance, times what the reward model would learn: how close it
sees the two answers, 4p(1-p), p its chance that B is better, times the square of its margin's
standard error (D-optimality's gain of one answer, up to a factor). What it has not said counts as
on its mean pair. A decision never changes an answer.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.accounts.audit import record_event
from app.agree.experts import ExpertIn, answer_as
from app.agree.opinions import Verdict, every_verdict, prompts_of
from app.collect.leases import check_text
from app.collect.messages.service import send
from app.collect.service import change_comparison
from app.errors import Invalid, NotFound
from app.tables.accounts import Person
from app.tables.adjudication import Adjudication, Rework
from app.tables.collect import AnswerRole, Comparison, FlagAnswer, Pair
from app.tables.projects import Flag, Project

LONGEST_NOTE = 2_000

_DECIDED = text(
    """
    select d.pair_id from adjudication d where d.project_id = :project
    group by d.pair_id having max(d.created_at) >= (
        select max(c.updated_at) from comparison c
        where c.pair_id = d.pair_id and c.role = 'annotator' and not c.is_retest
    )
    """
)


@dataclass(frozen=True)
class Case:
    """A pair in the queue. `closeness` from 0 (sure) to 1 (even), None where not known.

    `error` is the standard error of the reward model's score of B less A; None where not known.
    """

    verdict: Verdict
    closeness: float | None
    error: float | None
    worth: float


@dataclass(frozen=True)
class Queue:
    """The most worth first; `n_decided` pairs were decided and have had no answer since.

    Pairs that wait for an answer that was sent back are in neither.
    """

    cases: list[Case]
    n_decided: int
    is_scored: bool
    is_all: bool


def queue(session: Session, project: Project, limit: int = 100) -> Queue:
    """Pairs whose sides are split and that nobody has decided since the last answer."""
    every, is_all = every_verdict(session, project)
    decided = set(session.scalars(_DECIDED, {"project": project.id}))
    split = [one for one in every if one.is_diverging or one.is_noisy]
    waiting = [one for one in split if one.pair_id not in decided]
    chances = _chances(session, [one.pair_id for one in waiting])
    cases = rank([(one, *chances.get(one.pair_id, (None, None))) for one in waiting])[:limit]
    asks = prompts_of(session, [one.verdict.pair_id for one in cases])
    named = [
        Case(
            Verdict(**{**one.verdict.__dict__, "asks": asks.get(one.verdict.pair_id, "")}),
            one.closeness,
            one.error,
            one.worth,
        )
        for one in cases
    ]
    n_decided = len(decided.difference(session.scalars(_waiting(project, Comparison.pair_id))))
    return Queue(named, n_decided, bool(chances), is_all)


def rank(found: Sequence[tuple[Verdict, float | None, float | None]]) -> list[Case]:
    """Cases by worth, from each verdict with the reward model's chance and standard error."""
    closeness = [None if p is None else 4 * p * (1 - p) for _, p, _ in found]
    variances = [None if error is None else error * error for _, _, error in found]
    close, unsure = _with_usual(closeness), _with_usual(variances)
    cases = [
        Case(verdict, closeness[k], error, verdict.variance * close[k] * unsure[k])
        for k, (verdict, _, error) in enumerate(found)
    ]
    return sorted(cases, key=lambda case: -case.worth)


def _with_usual(values: Sequence[float | None]) -> list[float]:
    """The mean of what is known where nothing is; 1 where nothing is known at all."""
    known = [one for one in values if one is not None]
    usual = sum(known) / len(known) if known else 1.0
    return [usual if one is None else one for one in values]


def _chances(
    session: Session, pairs: Sequence[uuid.UUID]
) -> dict[uuid.UUID, tuple[float | None, float | None]]:
    rows = session.execute(
        select(Pair.id, Pair.reward_chance, Pair.reward_standard_error).where(
            Pair.id.in_(pairs), Pair.reward_chance.is_not(None)
        )
    )
    return {pair: (chance, error) for pair, chance, error in rows}


@dataclass(frozen=True)
class Answered:
    """An annotator's answer without its author; `flags` as (label, side or "", value)."""

    comparison: Comparison
    flags: list[tuple[str, str, str]]
    is_sent_back: bool


def answers_to(session: Session, pair: Pair) -> list[Answered]:
    """The annotators' answers to a pair. Ids are random, so their order is nobody's."""
    answers = session.scalars(
        select(Comparison)
        .where(
            Comparison.pair_id == pair.id,
            Comparison.role == AnswerRole.ANNOTATOR,
            Comparison.is_retest.is_(False),
        )
        .order_by(Comparison.id)
    ).all()
    back = set(
        session.scalars(
            select(Rework.comparison_id)
            .join(Comparison, Comparison.id == Rework.comparison_id)
            .where(Comparison.pair_id == pair.id, Rework.created_at > Comparison.updated_at)
        )
    )
    return [Answered(one, _flags(session, pair, one), one.id in back) for one in answers]


def _flags(session: Session, pair: Pair, comparison: Comparison) -> list[tuple[str, str, str]]:
    rows = session.execute(
        select(Flag.label, FlagAnswer.completion_id, FlagAnswer.value, Flag.kind)
        .join(Flag, Flag.id == FlagAnswer.flag_id)
        .where(FlagAnswer.comparison_id == comparison.id)
        .order_by(Flag.position, FlagAnswer.completion_id == pair.completion_b_id)
    )
    sides = {pair.completion_a_id: "A", pair.completion_b_id: "B", None: ""}
    return [
        (label, sides[completion], _value(value, is_scale=kind == "rating_7"))
        for label, completion, value, kind in rows
    ]


def _value(value: int | None, *, is_scale: bool) -> str:
    if value is None:
        return "not applicable"
    return str(value) if is_scale else ("yes" if value else "no")


def decisions_on(session: Session, pair_id: uuid.UUID) -> Sequence[Row[Adjudication, str, int]]:
    """(Adjudication, name of who decided, rating or None), the newest first."""
    return session.execute(
        select(Adjudication, Person.name, Comparison.rating)
        .join(Person, Person.id == Adjudication.by_id)
        .outerjoin(Comparison, Comparison.id == Adjudication.comparison_id)
        .where(Adjudication.pair_id == pair_id)
        .order_by(Adjudication.created_at.desc())
    ).all()


def decide(
    session: Session,
    project: Project,
    pair: Pair,
    *,
    by: Person,
    said: ExpertIn | None,
    is_guideline_at_fault: bool,
    note: str,
) -> Adjudication:
    """Take the pair out of the queue, with an answer of one's own or with none to give.

    An adjudicator who has decided the pair changes their own answer; what it said before is kept.
    Raises Invalid without an answer and without a word why, Conflict for an answer of whoever has
    had the pair otherwise, Forbidden once the project's time for changes has passed.
    """
    note = note.strip()
    check_text(note, LONGEST_NOTE, "note")
    if not note and (said is None or is_guideline_at_fault):
        raise Invalid("Say why, in a sentence: it is all that others will know.", field="note")
    comparison = None
    if said is not None:
        comparison = _answer(session, project, pair, by, said)
    decision = Adjudication(
        project_id=project.id,
        pair_id=pair.id,
        by_id=by.id,
        comparison_id=comparison.id if comparison else None,
        is_guideline_at_fault=is_guideline_at_fault,
        note=note,
    )
    session.add(decision)
    session.flush()
    detail: dict[str, Any] = {"note": note, "is_guideline_at_fault": is_guideline_at_fault}
    if comparison is not None:
        detail["rating"] = comparison.rating
    _note(session, "pair.adjudicated", pair, by, detail)
    return decision


def own_decision(session: Session, pair_id: uuid.UUID, person_id: uuid.UUID) -> Comparison | None:
    """The answer that the person gave to the pair as an adjudicator."""
    return session.scalar(
        select(Comparison).where(
            Comparison.pair_id == pair_id,
            Comparison.annotator_id == person_id,
            Comparison.role == AnswerRole.ADJUDICATOR,
        )
    )


def _answer(
    session: Session, project: Project, pair: Pair, by: Person, said: ExpertIn
) -> Comparison:
    before = own_decision(session, pair.id, by.id)
    if before is None:
        return answer_as(session, project, pair, by, said, role=AnswerRole.ADJUDICATOR)
    return change_comparison(
        session, before.id, by.id, rating=said.rating, flags=said.flags, comment=said.comment
    )


def send_back(
    session: Session,
    project: Project,
    pair: Pair,
    comparison_id: uuid.UUID,
    *,
    by: Person,
    words: str,
) -> Rework:
    """Ask the author of an answer to think again, who may then change it at any time.

    The pair leaves the queue until an answer to it changes or comes. Raises NotFound, Invalid.
    """
    comparison = session.get(Comparison, comparison_id)
    if (
        comparison is None
        or comparison.pair_id != pair.id
        or comparison.role is not AnswerRole.ANNOTATOR
    ):
        raise NotFound("There is no such answer to this pair.")
    (message,) = send(
        session,
        project,
        sender=by,
        is_staff=True,
        to=[comparison.annotator_id],
        body=words,
        comparison_id=comparison.id,
    )
    rework = Rework(
        project_id=project.id, comparison_id=comparison.id, message_id=message.id, asked_by=by.id
    )
    session.add_all(
        [
            rework,
            Adjudication(
                project_id=project.id, pair_id=pair.id, by_id=by.id, note="Sent an answer back."
            ),
        ]
    )
    session.flush()
    _note(session, "answer.sent_back", pair, by, {"words": words.strip()})
    return rework


def n_waiting(session: Session, project: Project) -> int:
    """How many answers were sent back and not changed since."""
    found = _waiting(project, func.count(func.distinct(Rework.comparison_id)))
    return session.scalar(found) or 0


def _waiting(
    project: Project, what: ColumnElement[Any] | InstrumentedAttribute[Any]
) -> Select[Any]:
    """`what` of the answers that were sent back and not changed since."""
    return (
        select(what)
        .select_from(Rework)
        .join(Comparison, Comparison.id == Rework.comparison_id)
        .where(Rework.project_id == project.id, Rework.created_at > Comparison.updated_at)
    )


def _note(session: Session, what: str, pair: Pair, by: Person, detail: dict[str, Any]) -> None:
    record_event(
        session,
        what,
        actor_id=by.id,
        project_id=pair.project_id,
        subject=f"pair {pair.id}",
        detail=detail,
    )
