"""From an invitation to the first pair: the steps in order, and nothing handed out before them."""

from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.consent import add_text, give_consent, set_rules
from app.accounts.qualifications import add_qualification
from app.agree import qualifying, testing
from app.agree.gold import GoldIn, fix_answer
from app.agree.newcomers import newcomers, way_of
from app.agree.testing import Rules
from app.agree.way_in import Asked, Facts, State, Step, way_in
from app.collect.leases import Nothing, next_assignment
from app.errors import Conflict
from app.projects.reading import confirm_reading
from app.projects.service import add_guideline_version
from app.tables.accounts import Person, Role
from app.tables.collect import Pair
from app.tables.gold import QualificationTest, Round
from app.tables.projects import Project
from tests.collect.worlds import lease, make_world
from tests.support import Browsing, join, make_person

BARE = Facts(None, False, "", False, None, None, False)


def states(facts: Facts) -> dict[Step, State]:
    return {one.step: one.state for one in way_in(facts).places}


def test_a_project_that_asks_for_nothing_has_one_step() -> None:
    assert states(BARE) == {Step.WORK: State.NEXT}
    assert way_in(BARE).is_ready


def test_the_first_required_step_is_next_and_what_follows_waits() -> None:
    test = Asked("Reading", False, "id", n_training=1, of_training=3)
    facts = Facts("none", True, "German", False, 2, None, True, [test])
    assert list(states(facts)) == list(Step)
    assert list(states(facts).values()) == [State.NEXT, *[State.WAITS] * 5]
    facts = replace(facts, consent="given", is_speaker=True)
    assert states(facts)[Step.GUIDELINES] is State.NEXT
    facts = replace(facts, read=2)
    assert states(facts)[Step.TRAINING] is State.NEXT
    facts = replace(facts, asked=[replace(test, is_trained=True)])
    assert states(facts)[Step.QUALIFICATION] is State.NEXT
    facts = replace(facts, asked=[replace(test, is_held=True)])
    assert way_in(facts).is_ready


def test_what_is_not_required_is_open_and_keeps_nobody() -> None:
    facts = replace(BARE, consent="none", guidelines=1)
    assert list(states(facts).values()) == [State.OPTIONAL, State.OPTIONAL, State.NEXT]
    # But whoever withdrew gets no work, whatever the project requires.
    assert states(replace(facts, consent="withdrawn"))[Step.WORK] is State.WAITS


@pytest.fixture
def strict(session: Session) -> tuple[Project, Person, QualificationTest]:
    """A project with every step: consent, German, guidelines, one training item, one test item."""
    project, (alice,) = make_world(
        session, "alice", n_pairs=4, is_reading_required=True, languages=["de"]
    )
    ruth = make_person(session, "ruth")
    join(session, project, ruth, Role.ADMIN)
    add_text(session, project, "We train on it.", is_asked_again=False, by=None)
    set_rules(
        session, project, is_required=True, is_leaving_out_allowed=True, questions=(), by=None
    )
    add_guideline_version(session, project, markdown="Be fair.", created_by=ruth.id)
    asked = add_qualification(session, project, "Reading", by=ruth.id)
    rules = Rules(0.5, 3, 0, 1, is_open=False)
    test = testing.set_rules(session, project, asked.id, rules, by=ruth.id)
    pairs = session.scalars(select(Pair.id).where(Pair.project_id == project.id).limit(2)).all()
    for pair_id, round_ in zip(pairs, Round, strict=True):
        fix_answer(session, project, pair_id, GoldIn((1, 2), "So."), by=ruth.id)
        testing.place_item(session, project, asked.id, pair_id, round_=round_, by=ruth.id)
    testing.set_rules(session, project, asked.id, replace(rules, is_open=True), by=ruth.id)
    session.commit()
    return project, alice, test


def next_step(session: Session, project: Project, person: Person) -> Step:
    session.flush()
    way = way_of(session, project, person)
    # What the page calls ready is what the queue gives work to.
    given = next_assignment(session, project, person.id)
    assert way.is_ready is not isinstance(given, Nothing)
    return way.next.step


def test_the_steps_are_taken_in_order_and_the_queue_waits_for_the_last(
    session: Session, strict: tuple[Project, Person, QualificationTest]
) -> None:
    project, alice, test = strict
    assert next_step(session, project, alice) is Step.CONSENT
    with pytest.raises(Conflict, match="agree to first"):
        qualifying.start(session, project, test.id, alice)
    give_consent(session, project, alice, 1)
    assert next_step(session, project, alice) is Step.LANGUAGES
    alice.languages = ["de"]
    assert next_step(session, project, alice) is Step.GUIDELINES
    with pytest.raises(Conflict, match="guidelines"):
        qualifying.start(session, project, test.id, alice)
    confirm_reading(session, project, alice.id, 1)
    assert next_step(session, project, alice) is Step.TRAINING
    attempt = qualifying.start(session, project, test.id, alice)
    asked = qualifying.next_item(session, attempt)
    assert asked
    qualifying.answer_item(session, project, alice, asked.id, rating=8, flags=())
    assert next_step(session, project, alice) is Step.QUALIFICATION
    asked = qualifying.next_item(session, attempt)
    assert asked
    qualifying.answer_item(session, project, alice, asked.id, rating=2, flags=())
    assert next_step(session, project, alice) is Step.WORK
    assert lease(session, project, alice.id)


def test_a_newcomer_is_led_and_an_admin_sees_where_everyone_is(
    session: Session, browsing: Browsing, strict: tuple[Project, Person, QualificationTest]
) -> None:
    project, alice, _ = strict
    browsing.sign_in(alice)
    assert "/projects/garden/begin" in browsing.get("/").text
    page = browsing.get("/projects/garden/begin").text
    assert "Read and agree" in page
    assert "See how to qualify" not in page
    give_consent(session, project, alice, 1)
    alice.languages = ["de"]
    bob = make_person(session, "bob")
    join(session, project, bob, Role.ANNOTATOR)
    session.commit()
    assert "Read the guidelines" in browsing.get("/projects/garden/begin").text
    assert browsing.get("/projects/garden/people/onboarding").status_code == 403
    assert [one.way.next.step for one in newcomers(session, project)] == [
        Step.GUIDELINES,
        Step.CONSENT,
    ]
    ruth = session.scalars(select(Person).where(Person.name == "ruth")).one()
    browsing.sign_in(ruth)
    assert "At guidelines" in browsing.get("/projects/garden/people/onboarding").text
    csv = browsing.get("/projects/garden/people/onboarding.csv").text
    assert "alice,done,done,next,waits,waits,waits,False" in csv
    page = browsing.get(f"/projects/garden/agree/workforce/{alice.id}").text
    assert "guidelines is next" in page
