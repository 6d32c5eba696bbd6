"""What comes next is drawn from a mixture, with the chance that it had."""

import random
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.collect import draws
from app.collect.pairing import Mixture, draw_fresh, draw_special
from app.collect.service import (
    Nothing,
    Why,
    next_assignment,
    record_comparison,
    release,
    skip,
    sweep_expired,
)
from app.datasets.service import freeze
from app.tables.collect import Assignment, Comparison, Draw, Pair
from app.tables.datasets import PreferenceRow
from app.tables.projects import Project
from tests.collect.worlds import (
    broken_rules,
    expire,
    lease,
    make_world,
)


def answer(session: Session, assignment: Assignment, rating: int = 3) -> Comparison:
    comparison = record_comparison(
        session,
        assignment_id=assignment.id,
        annotator_id=assignment.annotator_id,
        rating=rating,
        seconds=1.0,
        idempotency_key=str(assignment.id),
    )
    session.commit()
    return comparison


def work(session: Session, project: Project, annotator_id: uuid.UUID, seed: int, n: int) -> Counter:
    """Answer up to `n` pairs in a row; how many came from each draw."""
    rng = random.Random(seed)
    found: Counter[Draw] = Counter()
    for _ in range(n):
        given = next_assignment(session, project, annotator_id, rng)
        if isinstance(given, Nothing):
            break
        found[given.draw] += 1
        answer(session, given)
    return found


def age(session: Session, days: int) -> None:
    """Let everything have been answered `days` earlier; commits."""
    session.execute(update(Assignment).values(ended_at=Assignment.ended_at - timedelta(days=days)))
    session.commit()


def mark(session: Session, pairs: list[Pair], **values: object) -> None:
    for pair in pairs:
        for column, value in values.items():
            setattr(pair, column, value)
    session.commit()


def test_a_mixture_keeps_an_honest_quarter_and_no_more_than_there_is() -> None:
    assert Mixture().priority == 0.75
    assert Mixture(0.25, 0.15, 0.05, 0.03, 0.02).priority == pytest.approx(0.5)
    with pytest.raises(ValueError, match="25%"):
        Mixture(uniform=0.2)
    with pytest.raises(ValueError, match="add up to 110%"):
        Mixture(uniform=0.5, gold=0.6)
    with pytest.raises(ValueError, match="0 to 100%"):
        Mixture(gold=-0.1)
    with pytest.raises(ValueError, match="0 to 100%"):
        Mixture(gold=float("nan"))
    Mixture(0.3, 0.3, 0.3, 0.05, 0.05)  # adds up to 1 but for rounding


def test_special_parts_have_their_share_and_ordinary_ones_their_chance_among_themselves() -> None:
    mixture = Mixture(uniform=0.3, overlap=0.2, gold=0.1, retest=0.06, audit=0.04)
    specials = [draw_special((i + 0.5) / 1000, mixture) for i in range(1000)]
    assert Counter(one.name for one in specials if one) == {"gold": 100, "retest": 60, "audit": 40}
    assert {one.probability for one in specials if one} == {0.1, 0.06, 0.04}
    fresh = [draw_fresh((i + 0.5) / 800, mixture) for i in range(800)]
    assert Counter(one.name for one in fresh) == {"uniform": 300, "overlap": 200, "priority": 300}
    chances = {one.name: one.probability for one in fresh}
    assert chances == pytest.approx({"uniform": 3 / 8, "overlap": 2 / 8, "priority": 3 / 8})
    assert draw_fresh(1 - 1e-17, Mixture(uniform=1.0)).name == "uniform"


def test_a_pair_drawn_for_overlap_gets_more_answers_than_the_others(session: Session) -> None:
    project, people = make_world(
        session, "alice", "bob", "carol", n_pairs=60, overlap_share=0.2, overlap_answers=3
    )
    for seed, person in enumerate(people):
        work(session, project, person.id, seed, 100)
    pairs = session.scalars(select(Pair)).all()
    overlapping = {pair.id for pair in pairs if pair.overlap == 3}
    assert 5 <= len(overlapping) <= 22
    assert all(pair.n_taken == pair.overlap for pair in pairs)
    rows = session.scalars(select(Assignment)).all()
    assert {row.pair_id for row in rows if row.draw is Draw.OVERLAP} == overlapping
    chances = [row.draw_probability for row in rows if row.draw is Draw.OVERLAP]
    assert chances == pytest.approx([0.2] * 3 * len(overlapping))
    assert broken_rules(session) == []


def test_gold_comes_by_its_share_looks_like_any_other_and_takes_no_room(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=140, gold_share=0.2)
    gold = list(session.scalars(select(Pair).limit(40)))
    mark(session, gold, is_gold=True)
    found = work(session, project, alice.id, 1, 100)
    assert 10 <= found[Draw.GOLD] <= 32
    rows = session.scalars(select(Assignment).where(Assignment.draw == Draw.GOLD)).all()
    assert {row.pair_id for row in rows} <= {pair.id for pair in gold}
    assert {row.draw_probability for row in rows} == {0.2}
    assert len({row.is_flipped for row in rows}) == 2
    assert {pair.n_taken for pair in gold} == {0}
    assert broken_rules(session) == []


def test_gold_never_comes_alone_when_ordinary_work_is_done(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=6, gold_share=0.7)
    mark(session, list(session.scalars(select(Pair).limit(5))), is_gold=True)
    work(session, project, alice.id, 3, 50)
    for seed in range(20):
        found = next_assignment(session, project, alice.id, random.Random(seed))
        assert isinstance(found, Nothing)
        assert found.why is Why.DONE


def test_ones_own_pair_comes_again_swapped_after_the_wait_and_only_once(session: Session) -> None:
    project, (alice, bob) = make_world(
        session, "alice", "bob", n_pairs=60, retest_share=0.3, retest_days=7
    )
    assert work(session, project, alice.id, 1, 20)[Draw.RETEST] == 0
    age(session, 6)
    assert work(session, project, alice.id, 2, 10)[Draw.RETEST] == 0
    age(session, 2)
    assert work(session, project, bob.id, 3, 5)[Draw.RETEST] == 0
    assert work(session, project, alice.id, 4, 40)[Draw.RETEST] > 5
    session.expire_all()
    again = session.scalars(select(Assignment).where(Assignment.is_retest)).all()
    first = {row.pair_id: row for row in session.scalars(select(Assignment)) if not row.is_retest}
    assert all(row.draw is Draw.RETEST and row.draw_probability == 0.3 for row in again)
    assert all(row.is_flipped != first[row.pair_id].is_flipped for row in again)
    assert all(first[row.pair_id].annotator_id == row.annotator_id for row in again)
    assert len({row.pair_id for row in again}) == len(again)
    assert {pair.n_taken for pair in session.scalars(select(Pair))} <= {0, 1}
    assert broken_rules(session) == []


def retest(session: Session, project: Project, annotator_id: uuid.UUID) -> Assignment:
    given = next(
        given
        for seed in range(200)
        if (draw := draw_special(random.Random(seed).random(), draws.mixture_of(project)))
        and draw.name == Draw.RETEST
        and (given := next_assignment(session, project, annotator_id, random.Random(seed)))
    )
    assert isinstance(given, Assignment)
    assert given.is_retest
    session.commit()
    return given


def test_a_retest_is_no_independent_answer_of_a_preference_set(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=12, retest_share=0.3)
    work(session, project, alice.id, 1, 4)
    age(session, 8)
    second = answer(session, retest(session, project, alice.id), rating=7)
    assert second.is_retest
    assert not second.is_surplus
    frozen = freeze(session, project, created_by=None)
    rows = session.scalars(
        select(PreferenceRow).where(PreferenceRow.preference_set_id == frozen.id)
    ).all()
    assert len(rows) == 4
    assert second.id not in {row.comparison_id for row in rows}
    assert {row.draw for row in rows} <= {"uniform", "priority"}
    assert all(0 < row.draw_probability <= 1 for row in rows)


def test_a_retest_can_be_skipped_released_expire_and_be_answered_late(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=12, retest_share=0.5)
    work(session, project, alice.id, 1, 4)
    age(session, 8)
    skip(session, retest(session, project, alice.id).id, alice.id, "again")
    session.commit()
    second = retest(session, project, alice.id)
    release(session, second.id, alice.id)
    session.commit()
    assert lease(session, project, alice.id).id == second.id  # it comes back
    expire(session, second.id)
    assert sweep_expired(session) == 1
    session.commit()
    assert broken_rules(session) == []
    late = answer(session, second)
    assert (late.is_retest, late.is_surplus) == (True, False)
    assert broken_rules(session) == []


def test_audit_pairs_come_by_their_share_and_nothing_else_draws_them(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=60, audit_share=0.2)
    audits = list(session.scalars(select(Pair).limit(20)))
    mark(session, audits, is_audit=True)
    found = work(session, project, alice.id, 1, 30)
    assert 2 <= found[Draw.AUDIT] <= 13
    rows = session.scalars(select(Assignment)).all()
    ids = {pair.id for pair in audits}
    assert all((row.draw is Draw.AUDIT) == (row.pair_id in ids) for row in rows)
    # When everything else is done the rest of them still gets answered, at a chance of its own.
    work(session, project, bob.id, 2, 60)
    session.expire_all()
    assert all(pair.n_taken == 1 for pair in session.scalars(select(Pair)))
    chances = {r.draw_probability for r in session.scalars(select(Assignment)) if r.pair_id in ids}
    assert chances == {0.2, 1.0}
    assert broken_rules(session) == []


def test_without_a_share_audit_pairs_wait(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=2)
    mark(session, list(session.scalars(select(Pair))), is_audit=True)
    assert isinstance(next_assignment(session, project, alice.id), Nothing)


def test_each_special_statement_reads_a_bounded_number_of_rows(session: Session) -> None:
    project, (bob,) = make_world(session, "bob", n_pairs=80)
    session.execute(
        text(
            """
            insert into pair (id, project_id, prompt_id, completion_a_id, completion_b_id, overlap,
                is_gold, is_audit)
            select gen_random_uuid(), project_id, prompt_id, a, b, 1, n % 3 = 0, n % 3 = 1
            from (
                select one.project_id, one.prompt_id, one.id as a, other.id as b,
                    row_number() over () as n
                from completion one join completion other on one.id < other.id limit 9000
            ) x
            on conflict do nothing
            """
        )
    )
    session.execute(
        text(
            """
            insert into assignment (id, project_id, pair_id, annotator_id, state, draw,
                draw_probability, is_flipped, lease_until, ended_at)
            select gen_random_uuid(), project_id, id, :bob, 'done', 'uniform', 1, false, now(),
                now() - interval '9 days' from pair where not is_audit and random() < 0.9
            """
        ),
        {"bob": bob.id},
    )
    session.commit()
    session.execute(text("analyze"))
    values = {
        "project": project.id, "annotator": bob.id, "probability": 0.1, "point": uuid.uuid4(),
        "seed": 0, "minutes": 20, "slot": 0, "days": 7, "look": 20, "look_begun": 20,
    }  # fmt: skip
    for draw in (Draw.GOLD, Draw.RETEST, Draw.AUDIT):
        with session.begin_nested() as nothing_stays:
            plan = session.execute(
                text(f"explain (analyze, format json) {draws._STATEMENTS[draw].text}"),
                {**values, "draw": draw.value},
            ).scalar_one()
            nothing_stays.rollback()
        found = list(scans(plan[0]["Plan"]))
        assert "Seq Scan" not in {kind for kind, _ in found}, draw
        assert max(n for _, n in found) <= 2 * 20 + 1, draw


def scans(node: dict) -> Iterator[tuple[str, float]]:
    """Each scan of a table or index with the rows that it read, kept or not."""
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield node["Node Type"], read * node["Actual Loops"]
    for child in node.get("Plans", []):
        yield from scans(child)
