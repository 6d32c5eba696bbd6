"""The agreement state in the database: always what the answers in the tables say."""

import uuid
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app import db
from app.agree.alpha import alpha
from app.agree.coefficients import raw_side_agreement
from app.agree.patterns import Filter, read_patterns
from app.agree.reading import figures
from app.agree.upkeep import catch_up, mark_stale
from app.projects.service import add_guideline_version
from app.tables.agree import EVERY_VERSION, AgreementPattern, Exclusion
from app.tables.base import utc_now
from app.tables.collect import Assignment, AssignmentState, Comparison, Draw, Pair
from app.tables.projects import Project
from benchmarks.people import world
from tests.agree.world_in_tables import write_answers
from tests.support import make_person, make_project


def batch(session: Session, project: Project) -> np.ndarray:  # type: ignore[type-arg]
    """Counts [N, 8] straight from the answers."""
    rows = session.execute(
        select(Comparison.pair_id, Comparison.rating)
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(Comparison.project_id == project.id, ~Comparison.is_retest, ~Pair.is_gold)
    ).all()
    items = {pair: k for k, pair in enumerate(sorted({row.pair_id for row in rows}))}
    counts = np.zeros((len(items), 8), dtype=np.int64)
    for pair, rating in rows:
        counts[items[pair], rating - 1] += 1
    return counts


def agrees(session: Session, project: Project) -> bool:
    session.expire_all()
    catch_up(session, project.id)
    patterns = read_patterns(session, project.id, Filter())
    found, counts = figures(patterns.counts, patterns.times, draws=10), batch(session, project)
    assert found.reading.n_ratings == counts.sum()
    assert found.reading.n_items == len(counts)
    assert found.reading.alpha == pytest.approx(alpha(counts), abs=1e-9)
    assert found.reading.raw_side_agreement == pytest.approx(raw_side_agreement(counts), abs=1e-9)
    return True


def answer_again(session: Session, project: Project, pair: uuid.UUID, rating: int) -> None:
    """One more answer to the pair, by someone new."""
    person = make_person(session, uuid.uuid4().hex[:8])
    assignment = Assignment(
        project_id=project.id, pair_id=pair, annotator_id=person.id, draw=Draw.OVERLAP,
        draw_probability=1.0, is_flipped=False, lease_until=utc_now(),
        state=AssignmentState.DONE,
    )  # fmt: skip
    session.add(assignment)
    session.flush()
    session.add(
        Comparison(
            project_id=project.id,
            assignment_id=assignment.id,
            pair_id=pair,
            annotator_id=person.id,
            rating=rating,
            seconds=3.0,
            is_flipped=False,
            idempotency_key=str(assignment.id),
        )
    )
    session.flush()


def test_the_state_equals_the_batch_after_any_order_of_answers_edits_and_deletions(
    session: Session,
) -> None:
    project = make_project(session)
    _, pairs = write_answers(session, project, world(1, 30, n_people=6).answers)
    session.commit()
    assert agrees(session, project)
    rng = np.random.default_rng(3)
    for _ in range(25):
        pair = pairs[rng.integers(len(pairs))]
        mine = session.scalars(select(Comparison.id).where(Comparison.pair_id == pair)).all()
        what = rng.integers(4)
        if what == 0:
            answer_again(session, project, pair, int(rng.integers(1, 9)))
        elif what == 1 and mine:
            new = int(rng.integers(1, 9))
            session.execute(update(Comparison).where(Comparison.id == mine[0]).values(rating=new))
        elif what == 2 and mine:
            session.execute(delete(Comparison).where(Comparison.id == mine[-1]))
        else:
            session.execute(update(Pair).where(Pair.id == pair).values(is_gold=True))
        session.commit()
        if rng.random() < 0.4:
            assert agrees(session, project)
    assert agrees(session, project)
    lowest = session.scalar(select(func.min(AgreementPattern.n)))
    assert lowest is not None
    assert lowest > 0


def test_an_answer_that_commits_after_the_page_was_read_is_taken_in_the_next_time(
    session: Session,
) -> None:
    project = make_project(session)
    _, pairs = write_answers(session, project, world(1, 10, n_people=3).answers)
    session.commit()
    with db.get_session_factory()() as slow:
        answer_again(slow, slow.merge(project), pairs[0], 8)
        assert agrees(session, project)
        session.commit()
        slow.commit()
    assert agrees(session, project)


def test_a_retest_and_an_excluded_person_count_for_nothing_until_the_exclusion_is_lifted(
    session: Session,
) -> None:
    project = make_project(session)
    people, _ = write_answers(session, project, world(1, 20, n_people=4).answers)
    session.execute(update(Comparison).where(Comparison.rating == 8).values(is_retest=True))
    assert agrees(session, project)
    whole = batch(session, project).sum()
    exclusion = Exclusion(project_id=project.id, person_id=people[0].id, reason="Slept.")
    session.add(exclusion)
    mark_stale(session, project.id, people[0].id)
    catch_up(session, project.id)
    left = read_patterns(session, project.id, Filter())
    assert (left.counts.sum(axis=1) * left.times).sum() < whole
    exclusion.lifted_at = utc_now()
    mark_stale(session, project.id, people[0].id)
    assert agrees(session, project)


def test_versions_and_weeks_hold_the_answers_given_in_them(session: Session) -> None:
    project = make_project(session)
    owner = make_person(session, "olive", is_owner=True)
    ids = [
        add_guideline_version(session, project, markdown=f"V{k}", created_by=owner.id).id
        for k in (1, 2)
    ]
    write_answers(session, project, world(2, 30, n_people=6).answers, version_ids=ids, days=28)
    catch_up(session, project.id)
    whole = session.scalar(
        select(func.count()).select_from(Comparison).where(Comparison.project_id == project.id)
    )

    def n(chosen: Filter) -> int:
        found = read_patterns(session, project.id, chosen)
        return int((found.counts.sum(axis=1) * found.times).sum())

    assert n(Filter(ids[0])) + n(Filter(ids[1])) == n(Filter(EVERY_VERSION)) == whole
    middle = (utc_now() - timedelta(days=14)).date()
    parts = n(Filter(until=middle)) + n(Filter(since=middle + timedelta(days=1)))
    assert parts == whole
    assert 0 < n(Filter(until=middle)) < parts
