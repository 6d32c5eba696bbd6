"""Whatever a few people do in whatever order, the queue keeps its rules and every answer.

Hypothesis chooses the deeds, a small model in plain Python says what must come of them, and a real
Postgres does them.
"""

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.collect.service import (
    Nothing,
    Why,
    change_comparison,
    lease_ahead,
    next_assignment,
    put_down,
    record_comparison,
    release,
    skip,
    sweep_expired,
)
from app.collect.skips import unskip
from app.errors import Conflict
from app.tables.collect import Assignment, AssignmentState, Comparison, Pair
from tests.collect.worlds import RUN_OUT, broken_rules, make_annotators, make_pairs
from tests.support import make_project

PEOPLE, N_PAIRS = range(3), 3
LEASED, DONE = AssignmentState.LEASED, AssignmentState.DONE
EXPIRED, SKIPPED = AssignmentState.EXPIRED, AssignmentState.SKIPPED

Person = st.sampled_from(PEOPLE)
Rating = st.integers(1, 8)


@dataclass
class Had:
    """One person's dealings with one pair, as the model has them."""

    person: int
    pair: uuid.UUID
    state: AssignmentState = LEASED
    slot: int = 0
    is_run_out: bool = False
    is_surplus: bool = False
    ratings: list[int] = field(default_factory=list)


def has(*states: AssignmentState) -> Callable[["Queue"], bool]:
    return lambda queue: any(one.state in states for one in queue.had.values())


def spread(session: Session, pair_id: uuid.UUID, place: int) -> uuid.UUID:
    """Lay a pair's id into the `place`th part of all ids, so that a seed draws the same part."""
    inside = uuid.UUID(int=(place << 126) + (1 << 125) + (uuid.uuid4().int >> 8))
    session.execute(update(Pair).where(Pair.id == pair_id).values(id=inside))
    return inside


class Queue(RuleBasedStateMachine):
    session: Session  # given by the test

    def __init__(self) -> None:
        super().__init__()
        self.had: dict[uuid.UUID, Had] = {}

    @initialize(overlap=st.sampled_from([1, 2]))
    def begin(self, overlap: int) -> None:
        self.session.rollback()
        self.overlap = overlap
        tag = uuid.uuid4().hex[:8]
        self.project = make_project(self.session, tag, overlap=overlap)
        names = [f"{tag}-{number}" for number in PEOPLE]
        self.people = [one.id for one in make_annotators(self.session, self.project, *names)]
        made = make_pairs(self.session, self.project, N_PAIRS)
        self.pairs = [spread(self.session, pair.id, place) for place, pair in enumerate(made)]
        # What an example before this one left behind.
        sweep_expired(self.session)
        self.session.commit()

    # What the model knows.

    def taken(self, pair: uuid.UUID) -> int:
        counted = (LEASED, DONE)
        mine = [one for one in self.had.values() if one.pair == pair and one.state in counted]
        return sum(not one.is_surplus for one in mine)

    def of(self, person: int, state: AssignmentState) -> list[uuid.UUID]:
        return [k for k, one in self.had.items() if (one.person, one.state) == (person, state)]

    def held(self, person: int, slot: int) -> uuid.UUID | None:
        found = [one for one in self.of(person, LEASED) if self.had[one].slot == slot]
        assert len(found) <= 1
        return found[0] if found else None

    def free_for(self, person: int) -> set[uuid.UUID]:
        """Pairs with room that this person never had, or let run out."""
        gone = {one.pair for one in self.had.values() if one.person == person}
        gone -= {self.had[one].pair for one in self.of(person, EXPIRED)}
        return {pair for pair in self.pairs if self.taken(pair) < self.overlap} - gone

    def sweep(self) -> int:
        late = [one for one in self.had.values() if one.state is LEASED and one.is_run_out]
        for one in late:
            one.state, one.is_run_out = EXPIRED, False
        return len(late)

    def draw(self, data: st.DataObject, *states: AssignmentState) -> tuple[uuid.UUID, Had]:
        found = [(which, one) for which, one in self.had.items() if one.state in states]
        return data.draw(st.sampled_from(found))

    # What people do.

    @rule(person=Person, seed=st.integers(0, 99))
    def ask(self, person: int, seed: int) -> None:
        given = next_assignment(
            self.session, self.project, self.people[person], random.Random(seed)
        )
        self.session.commit()
        live = self.held(person, 0) or self.held(person, 1)
        if live:
            assert not isinstance(given, Nothing)
            assert given.id == live
            self.had[live].slot, self.had[live].is_run_out = 0, False
            return
        if not self.free_for(person):
            self.sweep()
        free = self.free_for(person)
        if isinstance(given, Nothing):
            assert free == set()
            own = {one.pair for one in self.had.values() if one.person == person}
            elsewhere = {one.pair for one in self.had.values() if one.state is LEASED} - own
            assert given.why is (Why.BUSY if elsewhere else Why.DONE)
            return
        assert given.pair_id in free
        known = self.had.setdefault(given.id, Had(person, given.pair_id))
        assert known.pair == given.pair_id
        known.state, known.slot, known.is_run_out = LEASED, 0, False

    @precondition(has(LEASED))
    @rule(data=st.data(), seed=st.integers(0, 99))
    def look_ahead(self, data: st.DataObject, seed: int) -> None:
        which, had = self.draw(data, LEASED)
        ahead = lease_ahead(
            self.session, self.project, self.people[had.person], page=which, rng=random.Random(seed)
        )
        self.session.commit()
        if had.slot == 1:
            page = self.held(had.person, 0)
            if page:
                self.had[page].is_run_out = False
            assert ahead is None
            return
        had.is_run_out = False
        if next_one := self.held(had.person, 1):
            assert ahead is not None
            assert ahead.id == next_one
            self.had[next_one].is_run_out = False
            return
        free = self.free_for(had.person)
        if ahead is None:
            assert free == set()
            return
        assert ahead.pair_id in free
        known = self.had.setdefault(ahead.id, Had(had.person, ahead.pair_id))
        known.state, known.slot, known.is_run_out = LEASED, 1, False

    @precondition(has(LEASED))
    @rule(person=Person)
    def rest(self, person: int) -> None:
        put_down(self.session, self.project.id, self.people[person])
        self.session.commit()
        for which in self.of(person, LEASED):
            self.had[which].state, self.had[which].is_run_out = EXPIRED, False

    @precondition(has(LEASED, EXPIRED, DONE))
    @rule(data=st.data(), rating=Rating)
    def answer(self, data: st.DataObject, rating: int) -> None:
        """In time, late or a second time, as the page's own request would come."""
        which, had = self.draw(data, LEASED, EXPIRED, DONE)
        try:
            said = record_comparison(
                self.session,
                assignment_id=which,
                annotator_id=self.people[had.person],
                rating=rating,
                seconds=1.0,
                idempotency_key=str(which),
            )
        except Conflict:
            self.session.rollback()
            assert had.state is DONE
            assert had.ratings[-1] != rating
            return
        self.session.commit()
        if had.state is DONE:
            assert had.ratings[-1] == rating
            return
        had.is_surplus = had.state is EXPIRED and self.taken(had.pair) >= self.overlap
        assert said.is_surplus == had.is_surplus
        had.state, had.ratings = DONE, [rating]

    @precondition(has(DONE))
    @rule(data=st.data(), rating=Rating)
    def change(self, data: st.DataObject, rating: int) -> None:
        which, had = self.draw(data, DONE)
        said = self.session.scalars(
            select(Comparison).where(Comparison.assignment_id == which)
        ).one()
        change_comparison(self.session, said.id, self.people[had.person], rating=rating)
        self.session.commit()
        if rating != had.ratings[-1]:
            had.ratings.append(rating)

    @precondition(has(LEASED))
    @rule(data=st.data())
    def skip_it(self, data: st.DataObject) -> None:
        which, had = self.draw(data, LEASED)
        skip(self.session, which, self.people[had.person], "not for me")
        self.session.commit()
        had.state = SKIPPED

    @precondition(has(SKIPPED))
    @rule(data=st.data())
    def take_the_skip_back(self, data: st.DataObject) -> None:
        which, had = self.draw(data, SKIPPED)
        has_room = self.taken(had.pair) < self.overlap
        try:
            unskip(self.session, which, self.people[had.person], project_id=self.project.id)
        except Conflict:
            self.session.rollback()
            assert not has_room
            return
        self.session.commit()
        assert has_room
        if held := self.held(had.person, had.slot):
            self.had[held].state = EXPIRED
        had.state, had.is_run_out = LEASED, False

    @precondition(has(LEASED))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        which, had = self.draw(data, LEASED)
        release(self.session, which, self.people[had.person])
        self.session.commit()
        had.state = EXPIRED

    @precondition(has(LEASED))
    @rule(data=st.data())
    def stay_away(self, data: st.DataObject) -> None:
        which, had = self.draw(data, LEASED)
        self.session.execute(RUN_OUT, {"id": which})
        self.session.commit()
        had.is_run_out = True

    @rule()
    def sweep_up(self) -> None:
        n = sweep_expired(self.session)
        self.session.commit()
        assert n == self.sweep()

    # What must hold after each of it.

    @invariant()
    def the_tables_are_as_the_model_has_them(self) -> None:
        self.session.expire_all()
        assert broken_rules(self.session) == []
        counted = self.session.execute(select(Pair.id, Pair.n_taken).where(Pair.id.in_(self.pairs)))
        assert dict(counted.all()) == {one: self.taken(one) for one in self.pairs}
        said = self.session.execute(
            select(Comparison.assignment_id, Comparison.rating, Comparison.revision).where(
                Comparison.project_id == self.project.id
            )
        )
        assert {which: (rating, n) for which, rating, n in said} == {
            which: (one.ratings[-1], len(one.ratings))
            for which, one in self.had.items()
            if one.ratings
        }
        places = self.session.execute(
            select(Assignment.id, Assignment.slot).where(
                Assignment.project_id == self.project.id, Assignment.state == LEASED
            )
        )
        assert dict(places.all()) == {
            which: one.slot for which, one in self.had.items() if one.state is LEASED
        }
        self.session.rollback()


def test_the_queue_keeps_its_rules_and_every_answer_whatever_people_do(session: Session) -> None:
    run_state_machine_as_test(
        type("OfThisDatabase", (Queue,), {"session": session}),
        settings=settings(
            max_examples=20,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
