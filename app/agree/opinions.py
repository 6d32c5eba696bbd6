"""Verdicts for pages: what all answers to each pair say together, and the pairs worth reading."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from app.agree.queries import fresh_answers
from app.agree.reliability import reliability
from app.agree.verdict import Verdicts, verdicts
from app.agree.workforce import Work, load_work
from app.errors import NotFound
from app.tables.collect import Comparison, Completion, Pair, Prompt
from app.tables.projects import Project

PAGE = 40


class Show(StrEnum):
    """Which pairs of two answers or more to list."""

    ALL = "all"
    DIVERGING = "diverging"
    NOISY = "noisy"


@dataclass(frozen=True)
class Verdict:
    """One pair's verdict: `posterior` [8] over ratings 1 to 8."""

    pair_id: uuid.UUID
    posterior: list[float]
    mean: float
    variance: float
    n: int
    is_diverging: bool
    is_noisy: bool
    asks: str = ""


@dataclass(frozen=True)
class Listing:
    """A page of verdicts, the most diverging first; the counts are of all of them."""

    rows: list[Verdict]
    n_judged: int
    n_diverging: int
    n_noisy: int
    n_shown: int
    is_all: bool


def every_verdict(session: Session, project: Project) -> tuple[list[Verdict], bool]:
    """All pairs that two people or more answered, the most diverging first; and if all were read.

    Answers of excluded people are left out.
    """
    work = load_work(session, project.id, is_without_excluded=True)
    if work is None:
        return [], True
    found = verdicts(work.answers, reliability(work.answers))
    order = np.lexsort((-found.variance, ~found.is_noisy, ~found.is_diverging))
    return [_verdict(work, found, int(k)) for k in order if found.n[k] >= 2], work.is_all


def _verdict(work: Work, found: Verdicts, k: int) -> Verdict:
    return Verdict(
        work.pairs[k],
        [float(one) for one in found.posterior[k]],
        float(found.mean[k]),
        float(found.variance[k]),
        int(found.n[k]),
        bool(found.is_diverging[k]),
        bool(found.is_noisy[k]),
    )


def list_verdicts(session: Session, project: Project, show: Show, page: int) -> Listing:
    """One page of verdicts, each with the end of its prompt."""
    every, is_all = every_verdict(session, project)
    chosen = [
        one
        for one in every
        if show is Show.ALL
        or (show is Show.DIVERGING and one.is_diverging)
        or (show is Show.NOISY and one.is_noisy)
    ]
    rows = chosen[page * PAGE : (page + 1) * PAGE]
    asks = prompts_of(session, [one.pair_id for one in rows])
    return Listing(
        [Verdict(**{**one.__dict__, "asks": asks.get(one.pair_id, "")}) for one in rows],
        len(every),
        sum(one.is_diverging for one in every),
        sum(one.is_noisy for one in every),
        len(chosen),
        is_all,
    )


def prompts_of(session: Session, pair_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, str]:
    """The last turn of each pair's prompt."""
    rows = session.execute(
        select(Pair.id, Prompt.messages)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .where(Pair.id.in_(pair_ids))
    )
    return {pair: messages[-1]["content"] if messages else "" for pair, messages in rows}


@dataclass(frozen=True)
class Read:
    """A pair with its answers, whose order and names say nothing about who gave them."""

    pair: Pair
    prompt: Prompt
    a: Completion
    b: Completion
    answers: Sequence[Any]
    verdict: Verdict | None


def find_pair(session: Session, project: Project, pair_id: uuid.UUID) -> Pair:
    """Raises NotFound."""
    pair = session.get(Pair, pair_id)
    if pair is None or pair.project_id != project.id:
        raise NotFound("There is no such pair in this project.")
    return pair


def read_pair(session: Session, project: Project, pair_id: uuid.UUID) -> Read:
    """Raises NotFound. The verdict is None below two answers, or beyond the newest answers."""
    a, b = aliased(Completion), aliased(Completion)
    found = session.execute(
        select(Pair, Prompt, a, b)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .join(a, a.id == Pair.completion_a_id)
        .join(b, b.id == Pair.completion_b_id)
        .where(Pair.id == pair_id, Pair.project_id == project.id)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such pair in this project.")
    answers = session.execute(
        # Ids are random, so their order is nobody's.
        select(
            Comparison.id,
            Comparison.revision,
            Comparison.rating,
            Comparison.comment,
            Comparison.is_about_equal,
            Comparison.is_both_bad,
        )
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(Comparison.pair_id == pair_id, *fresh_answers(project.id))
        .order_by(Comparison.id)
    ).all()
    every, _ = every_verdict(session, project)
    verdict = next((one for one in every if one.pair_id == pair_id), None)
    return Read(*found, answers, verdict)
