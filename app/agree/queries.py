"""What the pages of agreement read beside the patterns: named people, retests, pairs."""

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session, aliased

from app.collect.left_out import left_out_people
from app.tables.accounts import Membership, Person, Role
from app.tables.agree import AgreementProgress
from app.tables.collect import AnswerRole, Comparison, Pair, Prompt
from app.tables.projects import GuidelineVersion

Integers = NDArray[np.int64]


def versions_of(session: Session, project_id: uuid.UUID) -> Sequence[GuidelineVersion]:
    """The project's guideline versions, oldest first."""
    return session.scalars(
        select(GuidelineVersion)
        .where(GuidelineVersion.project_id == project_id)
        .order_by(GuidelineVersion.number)
    ).all()


def fresh_answers(project_id: uuid.UUID) -> list[Any]:
    """The conditions on `Comparison` and `Pair` that agreement is read under."""
    return [
        Comparison.project_id == project_id,
        Comparison.is_retest.is_(False),
        Comparison.role == AnswerRole.ANNOTATOR,
        Pair.is_gold.is_(False),
        Comparison.annotator_id.not_in(left_out_people(project_id)),
    ]


def shared_sample(
    session: Session, project_id: uuid.UUID, n_pairs: int
) -> Sequence[Row[uuid.UUID, uuid.UUID, int]]:
    """(pair, person, rating) of up to `n_pairs` pairs that two or more answered.

    Pairs' ids are random, so the first by id are a random sample; the same one while none is added.
    """
    sample = text(
        """
        select u.pair_id from agreement_unit u
        where u.project_id = :project and not u.is_of_flags and exists (
            select from agreement_pattern p where p.id = any(u.patterns) and p.is_whole
            and (select sum(c) from unnest(p.counts) c) >= 2
        )
        order by u.pair_id limit :n
        """
    )
    pairs = list(session.scalars(sample, {"project": project_id, "n": n_pairs}))
    return session.execute(
        select(Comparison.pair_id, Comparison.annotator_id, Comparison.rating)
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(Comparison.pair_id.in_(pairs), *fresh_answers(project_id))
    ).all()


def progress_of(session: Session, project_id: uuid.UUID) -> AgreementProgress | None:
    return session.get(AgreementProgress, project_id, populate_existing=True)


def people_with_answers(session: Session, project_id: uuid.UUID) -> Sequence[Person]:
    """Everyone who answered in the project, by name."""
    answered = select(Comparison.annotator_id).where(Comparison.project_id == project_id).distinct()
    return session.scalars(
        select(Person).where(Person.id.in_(answered)).order_by(func.lower(Person.name), Person.id)
    ).all()


def ratings_of_two(
    session: Session, project_id: uuid.UUID, one: uuid.UUID, other: uuid.UUID
) -> tuple[Integers, Integers]:
    """The canonical ratings, 1 to 8, that two people gave to the pairs that both answered."""
    theirs = aliased(Comparison)
    rows = session.execute(
        select(Comparison.rating, theirs.rating)
        .join(theirs, theirs.pair_id == Comparison.pair_id)
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(
            Comparison.project_id == project_id,
            Comparison.annotator_id == one,
            theirs.annotator_id == other,
            Comparison.is_retest.is_(False),
            theirs.is_retest.is_(False),
            Comparison.role == AnswerRole.ANNOTATOR,
            theirs.role == AnswerRole.ANNOTATOR,
            Pair.is_gold.is_(False),
        )
    ).all()
    both = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def retests(session: Session, project_id: uuid.UUID) -> Sequence[Row[uuid.UUID, int, int]]:
    """(annotator_id, first, again) of every pair that someone answered a second time."""
    again = aliased(Comparison)
    return session.execute(
        select(Comparison.annotator_id, Comparison.rating, again.rating.label("again"))
        .join(
            again,
            (again.pair_id == Comparison.pair_id)
            & (again.annotator_id == Comparison.annotator_id)
            & again.is_retest,
        )
        .where(Comparison.project_id == project_id, Comparison.is_retest.is_(False))
    ).all()


def n_annotators(session: Session, project_id: uuid.UUID) -> int:
    found = select(func.count()).where(
        Membership.project_id == project_id, Membership.role == Role.ANNOTATOR
    )
    return session.scalar(found) or 0


def n_answers(session: Session, pair_id: uuid.UUID) -> int:
    """How many answers a pair has, retests left out."""
    found = select(func.count()).where(
        Comparison.pair_id == pair_id, Comparison.is_retest.is_(False)
    )
    return session.scalar(found) or 0


def pairs_to_fix(
    session: Session, project_id: uuid.UUID, words: str, limit: int = 40
) -> Sequence[Row[uuid.UUID, int, str]]:
    """(pair_id, n_taken, end of the prompt) of pairs that may become gold items.

    Those that nobody has begun first. `words` are looked for in the last turn of the prompt.
    """
    last_turn = Prompt.messages[-1]["content"].astext
    found = (
        select(Pair.id, Pair.n_taken, func.left(last_turn, 160).label("asks"))
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .where(
            Pair.project_id == project_id,
            Pair.is_open,
            ~Pair.is_gold,
            ~Pair.is_audit,
            Pair.ranking_id.is_(None),
        )
        .order_by(Pair.n_taken, Pair.id)
        .limit(limit)
    )
    if words:
        found = found.where(last_turn.icontains(words, autoescape=True))
    return session.execute(found).all()
