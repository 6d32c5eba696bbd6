"""Streamed agreement on flags, and by guideline version: always what the answers say."""

import random
import uuid
from collections import Counter
from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.agree.patterns import Filter, Patterns, flag_patterns, patterns_by_week
from app.agree.upkeep import catch_up, catch_up_flags, mark_stale
from app.projects.service import add_guideline_version
from app.tables.agree import EVERY_VERSION, AgreementPattern, AgreementProgress, AgreementUnit
from app.tables.agree import Exclusion as Excluded
from app.tables.base import utc_now
from app.tables.collect import AnswerRole, Comparison, FlagAnswer, Pair
from app.tables.projects import Flag, FlagKind, FlagScope, Project
from benchmarks.people import world
from tests.agree.world_in_tables import write_answers
from tests.datasets.support import answer_flag, make_flag
from tests.support import make_person, make_project

SEED = 5
KINDS = [
    ("rude", FlagScope.COMPLETION, FlagKind.YES_NO),
    ("apt", FlagScope.COMPARISON, FlagKind.YES_NO_NA),
    ("hard", FlagScope.PROMPT, FlagKind.RATING_7),
]
VALUES: dict[FlagKind, list[int | None]] = {
    FlagKind.YES_NO: [0, 1],
    FlagKind.YES_NO_NA: [0, 1, None],
    FlagKind.RATING_7: [1, 2, 3, 4, 5, 6, 7],
}
Units = dict[object, Counter[int]]


def said(
    rng: random.Random, session: Session, flags: list[Flag], comparison: Comparison, pair: Pair
) -> None:
    """Some flags of an answer, each left out now and then."""
    for flag in flags:
        sides = [pair.completion_a_id, pair.completion_b_id]
        for side in sides if flag.scope is FlagScope.COMPLETION else [None]:
            if rng.random() < 0.7:
                answer_flag(session, comparison, flag, rng.choice(VALUES[flag.kind]), side)


def counted(
    session: Session, project: Project, version: uuid.UUID
) -> tuple[Counter[object], Counter[object]]:
    """(week, counts) of the ratings, and (flag, week, counts), straight from the answers."""
    rows = session.execute(
        select(Comparison, FlagAnswer)
        .join(Pair, Pair.id == Comparison.pair_id)
        .outerjoin(FlagAnswer, FlagAnswer.comparison_id == Comparison.id)
        .where(
            Comparison.project_id == project.id,
            ~Comparison.is_retest,
            ~Pair.is_gold,
            Comparison.role == AnswerRole.ANNOTATOR,
            Comparison.annotator_id.not_in(
                select(Excluded.person_id).where(Excluded.lifted_at.is_(None))
            ),
        )
    ).all()
    first, units = {}, {}
    for comparison, flag in rows:
        if version not in (EVERY_VERSION, comparison.guideline_version_id):
            continue
        answers = {(comparison.pair_id, None, None): comparison.rating}
        if flag is not None:
            value = 8 if flag.value is None else flag.value
            answers[comparison.pair_id, flag.flag_id, flag.completion_id] = value
        for unit, value in answers.items():
            key = comparison.id
            units.setdefault(unit, {})[key] = value
            first[unit] = min(first.get(unit, comparison.created_at), comparison.created_at)
    patterns: tuple[Counter[object], Counter[object]] = (Counter(), Counter())
    for unit, given in units.items():
        at = first[unit].date()
        week, counts = at - timedelta(days=at.weekday()), Counter(given.values())
        cells = tuple(counts[k] for k in range(9))
        if unit[1] is None:
            patterns[0][week, cells[1:]] += 1
        else:
            patterns[1][unit[1], week, cells] += 1
    return patterns


def streamed(found: Patterns) -> Counter[tuple[int, ...]]:
    return Counter(
        {tuple(row): n for row, n in zip(found.counts.tolist(), found.times.tolist(), strict=True)}
    )


def agrees(session: Session, project: Project, versions: list[uuid.UUID]) -> bool:
    session.expire_all()
    catch_up(session, project.id)
    for version in [EVERY_VERSION, *versions]:
        chosen = Filter(version=version)
        ratings, flags = counted(session, project, version)
        assert ratings == Counter(
            {
                (week, cells): n
                for week, one in patterns_by_week(session, project.id, chosen).items()
                for cells, n in streamed(one).items()
            }
        )
        assert flags == Counter(
            {
                (flag_id, week, cells): n
                for flag_id, weeks in flag_patterns(session, project.id, chosen).items()
                for week, one in weeks.items()
                for cells, n in streamed(one).items()
            }
        )
    return True


def test_ratings_and_flags_equal_the_batch_after_any_order_of_answers_edits_and_exclusions(
    session: Session,
) -> None:
    project, rng = make_project(session), random.Random(SEED)
    owner = make_person(session, "olive", is_owner=True)
    versions = [
        add_guideline_version(session, project, markdown=f"V{k}", created_by=owner.id).id
        for k in (1, 2)
    ]
    flags = [make_flag(session, project, key, scope=s, kind=k) for key, s, k in KINDS]
    answers = world(1, 20, n_people=6).answers
    people, pairs = write_answers(session, project, answers, version_ids=versions)
    comparisons = list(session.scalars(select(Comparison)))
    late = comparisons[::4]
    for one in late:  # so that pairs have answers under both versions
        one.guideline_version_id = versions[0]
    for one in comparisons:
        said(rng, session, flags, one, session.get_one(Pair, one.pair_id))
    session.commit()
    catch_up_flags(session, project.id)
    assert agrees(session, project, versions)
    for _ in range(30):
        pair = session.get_one(Pair, rng.choice(pairs))
        mine = list(session.scalars(select(Comparison).where(Comparison.pair_id == pair.id)))
        what = rng.choice(["flags", "flags", "rating", "delete", "gold", "exclude", "version"])
        if what == "gold":
            pair.is_gold = not pair.is_gold
        elif what == "exclude":
            _exclude_or_lift(session, project, rng.choice(people).id)
        elif mine and what == "flags":  # as the compare page does: a version, then other flags
            mine[0].revision += 1
            session.execute(delete(FlagAnswer).where(FlagAnswer.comparison_id == mine[0].id))
            said(rng, session, flags, mine[0], pair)
        elif mine and what == "rating":
            mine[0].rating = rng.randint(1, 8)
        elif mine and what == "version":
            mine[0].guideline_version_id = rng.choice(versions)
        elif mine:
            session.execute(delete(Comparison).where(Comparison.id == mine[-1].id))
        session.commit()
        if rng.random() < 0.4:
            assert agrees(session, project, versions)
    assert agrees(session, project, versions)
    assert min(session.scalars(select(AgreementPattern.n))) > 0


def _exclude_or_lift(session: Session, project: Project, person: uuid.UUID) -> None:
    standing = session.scalar(
        select(Excluded).where(Excluded.person_id == person, Excluded.lifted_at.is_(None))
    )
    if standing is None:
        session.add(Excluded(project_id=project.id, person_id=person, reason="Slept."))
    else:
        standing.lifted_at = utc_now()
    mark_stale(session, project.id, person)


def test_a_state_whose_progress_is_deleted_is_counted_anew(session: Session) -> None:
    project = make_project(session)
    write_answers(session, project, world(1, 10, n_people=3).answers)
    assert catch_up(session, project.id) == 10
    session.execute(delete(AgreementProgress))
    assert not session.scalars(select(AgreementUnit)).all()
    assert not session.scalars(select(AgreementPattern)).all()
    assert catch_up(session, project.id) == 10
    assert agrees(session, project, [])


def test_an_answer_to_a_flag_that_is_changed_or_deleted_by_itself_is_counted_anew(
    session: Session,
) -> None:
    project = make_project(session)
    flag = make_flag(session, project)
    write_answers(session, project, world(1, 5, n_people=3).answers)
    for one in session.scalars(select(Comparison)):
        answer_flag(session, one, flag, 0)
    catch_up_flags(session, project.id)
    one, other = session.scalars(select(FlagAnswer.comparison_id).limit(2))
    session.execute(update(FlagAnswer).where(FlagAnswer.comparison_id == one).values(value=1))
    session.execute(delete(FlagAnswer).where(FlagAnswer.comparison_id == other))
    assert agrees(session, project, [])
