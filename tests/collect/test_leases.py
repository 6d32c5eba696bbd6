"""Who gets which pair, and what becomes of it when they leave."""

import random
import threading
import uuid
from collections import Counter

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.collect.pairing import is_flipped
from app.collect.service import (
    Nothing,
    Why,
    assign,
    next_assignment,
    record_comparison,
    release,
    renew_lease,
    skip,
    sweep_expired,
)
from app.db import session_scope
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.tables.accounts import Membership
from app.tables.collect import Assignment, AssignmentState, Comparison, Draw, Pair
from app.tables.projects import Project
from tests.collect.worlds import (
    RUN_OUT,
    broken_rules,
    expire,
    lease,
    make_annotators,
    make_pairs,
    make_world,
)
from tests.support import make_project


def answer(session: Session, assignment: Assignment, rating: int = 3, key: str = "k") -> Comparison:
    comparison = record_comparison(
        session,
        assignment_id=assignment.id,
        annotator_id=assignment.annotator_id,
        rating=rating,
        seconds=1.5,
        idempotency_key=key,
    )
    session.commit()
    return comparison


def why(session: Session, project: Project, annotator_id: uuid.UUID) -> Why:
    found = next_assignment(session, project, annotator_id)
    session.commit()
    assert isinstance(found, Nothing)
    return found.why


def test_a_reload_and_a_second_tab_get_the_same_pair_with_a_fresh_lease(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    first = lease(session, project, alice.id)
    before = first.lease_until
    again = lease(session, project, alice.id)
    assert again.id == first.id
    assert again.lease_until > before
    assert broken_rules(session) == []


def test_two_tabs_opened_at_once_hold_one_lease(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=8)
    barrier, given = threading.Barrier(4), []

    def open_tab() -> None:
        with session_scope() as own:
            barrier.wait()
            mine = next_assignment(own, own.get_one(Project, project.id), alice.id)
            assert isinstance(mine, Assignment)
            given.append(mine.id)

    tabs = [threading.Thread(target=open_tab) for _ in range(4)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert len(given) == 4
    assert len(set(given)) == 1


def test_twenty_people_racing_for_three_places_never_pass_the_overlap(session: Session) -> None:
    names = [f"person-{number}" for number in range(12)]
    project, people = make_world(session, *names, n_pairs=1, overlap=3)
    barrier, reasons = threading.Barrier(len(people)), []

    def run(annotator_id: uuid.UUID) -> None:
        with session_scope() as own:
            barrier.wait()
            found = next_assignment(own, own.get_one(Project, project.id), annotator_id)
            reasons.append(found.why if isinstance(found, Nothing) else "got it")

    racers = [threading.Thread(target=run, args=(person.id,)) for person in people]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert 1 <= reasons.count("got it") <= 3
    assert broken_rules(session) == []


def test_what_others_began_is_finished_before_something_fresh(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=5, overlap=2)
    first = lease(session, project, alice.id)
    assert lease(session, project, bob.id).pair_id == first.pair_id


def test_a_later_answer_shares_the_draw_of_the_one_that_began_the_pair(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", overlap=2)
    first = next_assignment(session, project, alice.id, random.Random(1))
    session.commit()
    second = next_assignment(session, project, bob.id, random.Random(2))
    assert isinstance(first, Assignment)
    assert isinstance(second, Assignment)
    assert (first.draw, first.draw_probability) == (second.draw, second.draw_probability)


def test_about_a_quarter_is_drawn_uniformly_and_the_rest_by_priority(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=60)
    session.execute(text("update pair set priority = random()"))
    session.commit()
    order = list(session.scalars(select(Pair.id).order_by(Pair.priority.desc(), Pair.id)))
    rng, draws = random.Random(5), Counter()
    for n in range(40):
        mine = next_assignment(session, project, alice.id, rng)
        assert isinstance(mine, Assignment)
        draws[mine.draw] += 1
        assert mine.draw_probability == {Draw.UNIFORM: 0.25, Draw.PRIORITY: 0.75}[mine.draw]
        if mine.draw is Draw.PRIORITY:
            assert mine.pair_id == order[0]
        order.remove(mine.pair_id)
        answer(session, mine, key=str(n))
    assert set(draws) == {Draw.UNIFORM, Draw.PRIORITY}
    assert draws[Draw.UNIFORM] < draws[Draw.PRIORITY]


def test_the_claim_throws_the_same_coin_as_the_arithmetic(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=24, seed=7)
    coins = []
    for n in range(24):
        mine = lease(session, project, alice.id)
        assert mine.is_flipped == is_flipped(alice.id, mine.pair_id, 7)
        coins.append(mine.is_flipped)
        answer(session, mine, key=str(n))
    assert set(coins) == {True, False}


def test_nothing_is_five_different_things(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=1)
    empty = make_project(session, "empty")
    assert why(session, empty, alice.id) is Why.EMPTY
    mine = lease(session, project, alice.id)
    assert why(session, project, bob.id) is Why.BUSY
    answer(session, mine)
    assert why(session, project, bob.id) is Why.DONE
    assert why(session, project, alice.id) is Why.DONE
    session.execute(
        text("update membership set is_paused = true where person_id = :id"), {"id": bob.id}
    )
    assert session.scalar(select(Membership.is_paused).where(Membership.person_id == bob.id))
    assert why(session, project, bob.id) is Why.PAUSED


def test_a_lease_that_ran_out_goes_to_someone_else(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=1)
    first = lease(session, project, alice.id)
    assert why(session, project, bob.id) is Why.BUSY
    expire(session, first.id)
    second = lease(session, project, bob.id)
    assert second.pair_id == first.pair_id
    session.refresh(first)
    assert first.state is AssignmentState.EXPIRED
    assert broken_rules(session) == []


def test_who_comes_back_after_the_lease_gets_the_same_pair_where_there_is_room(
    session: Session,
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=9)
    first = lease(session, project, alice.id)
    expire(session, first.id)
    assert sweep_expired(session) == 1
    session.commit()
    assert lease(session, project, alice.id).id == first.id
    assert broken_rules(session) == []


def test_a_sweep_with_nothing_to_take_back_takes_nothing(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    lease(session, project, alice.id)
    assert sweep_expired(session) == 0


def test_a_skipped_pair_goes_to_others_and_never_back(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=1)
    mine = lease(session, project, alice.id)
    skip(session, mine.id, alice.id, "I cannot judge this")
    skip(session, mine.id, alice.id, "Again")
    session.commit()
    assert mine.skip_reason == "I cannot judge this"
    assert why(session, project, alice.id) is Why.DONE
    assert lease(session, project, bob.id).pair_id == mine.pair_id
    assert broken_rules(session) == []


def test_a_skip_without_a_reason_is_refused(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    with pytest.raises(Invalid, match="Say why"):
        skip(session, lease(session, project, alice.id).id, alice.id, "  ")


def test_a_released_pair_may_come_back_to_the_same_person(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=1)
    mine = lease(session, project, alice.id)
    release(session, mine.id, alice.id)
    session.commit()
    assert broken_rules(session) == []
    assert lease(session, project, alice.id).id == mine.id


def test_a_lease_is_renewed_while_its_page_is_open_and_not_after_it_has_ended(
    session: Session,
) -> None:
    project, (alice,) = make_world(session, "alice")
    mine = lease(session, project, alice.id)
    assert renew_lease(session, mine.id, alice.id)
    answer(session, mine)
    assert not renew_lease(session, mine.id, alice.id)


def test_someone_elses_assignment_is_refused_in_words(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob")
    mine = lease(session, project, alice.id)
    for verb in (
        lambda: skip(session, mine.id, bob.id, "why"),
        lambda: release(session, mine.id, bob.id),
        lambda: renew_lease(session, mine.id, bob.id),
    ):
        with pytest.raises(Forbidden, match="given to someone else"):
            verb()
    with pytest.raises(NotFound):
        release(session, uuid.uuid4(), alice.id)


def test_a_named_pair_can_be_assigned_while_there_is_room(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=1)
    (pair,) = session.scalars(select(Pair).where(Pair.project_id == project.id))
    assign(session, pair.id, alice.id)
    with pytest.raises(Conflict, match="already"):
        assign(session, pair.id, alice.id)
    with pytest.raises(Conflict, match="all the answers"):
        assign(session, pair.id, bob.id)
    session.commit()
    assert broken_rules(session) == []


def test_many_people_at_once_break_no_rule_and_lose_no_answer(session: Session) -> None:
    project, people = make_world(session, *"abcdef", n_pairs=14, overlap=2)
    accepted: list[uuid.UUID] = []

    def work(annotator_id: uuid.UUID, seed: int) -> None:
        rng = random.Random(seed)
        for step in range(24):
            with session_scope() as own:
                mine = next_assignment(own, own.get_one(Project, project.id), annotator_id, rng)
            if isinstance(mine, Nothing):
                continue
            with session_scope() as own:
                deed = rng.random()
                if deed < 0.1:
                    skip(own, mine.id, annotator_id, "too hard")
                elif deed < 0.2:
                    release(own, mine.id, annotator_id)
                elif deed < 0.35:
                    own.execute(RUN_OUT, {"id": mine.id})
                    sweep_expired(own)
                if deed >= 0.2:
                    said = record_comparison(
                        own,
                        assignment_id=mine.id,
                        annotator_id=annotator_id,
                        rating=rng.randint(1, 8),
                        seconds=1.0,
                        idempotency_key=f"{annotator_id} {step}",
                    )
                    accepted.append(said.id)

    threads = [
        threading.Thread(target=work, args=(person.id, seed)) for seed, person in enumerate(people)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken_rules(session) == []
    assert sorted(session.scalars(select(Comparison.id))) == sorted(accepted)
    assert len(accepted) >= 28


def test_more_pairs_can_come_while_people_work(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=1)
    answer(session, lease(session, project, alice.id))
    assert why(session, project, alice.id) is Why.DONE
    other = make_project(session, "other")
    make_annotators(session, other, "carol")
    make_pairs(session, other, 1)
    assert why(session, project, alice.id) is Why.DONE
