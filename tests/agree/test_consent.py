"""Consent and what people say about themselves: given, kept apart, withdrawn, and what follows."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.composition import composition
from app.accounts.consent import add_text, give_consent, said_by, say, set_rules, standing_consent
from app.agree.decisions import exclude, lift
from app.agree.patterns import Filter
from app.agree.reach import reach_of
from app.agree.service import overview
from app.agree.withdrawal import Withdrawal, agree, n_left_out_of, withdraw, withdrawn_from
from app.collect.kinds.leases import Finished, next_prompt
from app.collect.kinds.queries import demonstration_rows
from app.collect.kinds.service import record_demonstration
from app.collect.leases import Nothing, Why, next_assignment
from app.datasets.queries import count_unfrozen
from app.datasets.service import export_lines, freeze
from app.errors import Conflict, Forbidden, Invalid
from app.tables.accounts import AuditEvent, Person, Role
from app.tables.base import utc_now
from app.tables.consent import Question
from app.tables.kinds import PromptAssignment, PromptKind
from app.tables.projects import Project
from app.tables.runs import Algorithm
from tests.collect.worlds import lease, make_world
from tests.datasets.support import add_pairs, answer
from tests.loop.worlds import add_policy, add_reward
from tests.support import Browsing, join, make_person, make_project
from worker.inputs import demonstration_lines

TEXT = "We train models on your answers."


def asks(session: Session, project: Project, **rules: object) -> None:
    add_text(session, project, TEXT, is_asked_again=False, by=None)
    values = {"is_required": True, "is_leaving_out_allowed": True, "questions": list(Question)}
    set_rules(session, project, by=None, **{**values, **rules})  # type: ignore[arg-type]


def test_nobody_gets_a_pair_before_agreeing_where_the_project_says_so(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    with pytest.raises(Conflict, match="Write the text first"):
        set_rules(
            session, project, is_required=True, is_leaving_out_allowed=True, questions=(), by=None
        )
    asks(session, project)
    found = next_assignment(session, project, alice.id)
    assert isinstance(found, Nothing)
    assert (found.why, found.hindrance and found.hindrance.is_consent) == (Why.NOT_ELIGIBLE, True)
    give_consent(session, project, alice, 1)
    assert lease(session, project, alice.id)


def test_a_new_text_asks_again_only_where_it_says_so(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    asks(session, project)
    give_consent(session, project, alice, 1)
    add_text(session, project, "Better words.", is_asked_again=False, by=None)
    assert lease(session, project, alice.id)
    add_text(session, project, "Another use.", is_asked_again=True, by=None)
    found = next_assignment(session, project, alice.id)
    assert isinstance(found, Nothing)
    assert found.hindrance
    assert "has changed since" in found.hindrance.sentence
    with pytest.raises(Conflict, match="has changed since"):
        give_consent(session, project, alice, 1)
    give_consent(session, project, alice, 3)
    assert lease(session, project, alice.id)


def test_what_people_say_is_checked_replaced_and_deleted_for_good(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    asks(session, project, questions=[Question.AGE, Question.LANGUAGES])
    choices = {Question.AGE: ["25-34"], Question.LANGUAGES: ["de", "en"]}
    with pytest.raises(Conflict, match="Agree"):
        say(session, project, alice, choices)
    give_consent(session, project, alice, 1)
    say(session, project, alice, {**choices, Question.GENDER: ["woman"]})
    assert said_by(session, project.id, alice.id) == choices
    with pytest.raises(Invalid, match="Age"):
        say(session, project, alice, {Question.AGE: ["25-34", "35-44"]})
    say(session, project, alice, {Question.AGE: ["unsaid", "25-34"]})
    assert said_by(session, project.id, alice.id) == {Question.AGE: ["unsaid"]}
    withdraw(session, project, alice, Withdrawal.ABOUT_ME)
    assert said_by(session, project.id, alice.id) == {}
    assert standing_consent(session, project.id, alice.id)
    # The trail says that, and never what.
    trail = str([one.detail for one in session.scalars(select(AuditEvent))])
    assert "25-34" not in trail


def test_admins_see_cells_of_ten_or_more_of_those_whose_consent_stands(session: Session) -> None:
    project = make_project(session)
    asks(session, project, questions=[Question.AGE, Question.LANGUAGES])
    people = [make_person(session, f"person-{n}") for n in range(32)]
    for n, person in enumerate(people):
        join(session, project, person, Role.ANNOTATOR)
        give_consent(session, project, person, 1)
        age = "25-34" if n < 16 else "35-44" if n < 27 else "45-54"
        languages = ["en", "de"] if n < 12 else ["en"] if n < 20 else []
        say(session, project, person, {Question.AGE: [age], Question.LANGUAGES: languages})
    age, languages = composition(session, project)
    assert (age.cells.shown, age.cells.n_hidden, age.cells.total) == ({"25 to 34": 16}, 16, 32)
    assert (languages.cells.shown, languages.cells.total) == ({}, 20)
    withdraw(session, project, people[0], Withdrawal.FUTURE)
    assert composition(session, project)[0].cells.total == 31


@pytest.fixture
def trained(session: Session) -> tuple[Project, Person, Person]:
    """Six answers of two people, frozen, and what was trained on them."""
    project, (alice, bob) = make_project(session), (make_person(session, n) for n in ("al", "bo"))
    join(session, project, alice, Role.ANNOTATOR)
    join(session, project, bob, Role.ANNOTATOR)
    pairs = add_pairs(session, project, 6)
    for pair in pairs[:4]:
        answer(session, pair, alice)
    for pair in pairs[3:]:
        answer(session, pair, bob, rating=7)
    frozen = freeze(session, project)
    reward = add_reward(session, project, 0, preference_set_id=frozen.id, started_at=utc_now())
    first = add_policy(session, project, 1, reward=None, started_at=utc_now())
    first.algorithm = Algorithm.BASE
    second = add_policy(
        session, project, 2, reward=reward, parent_id=first.id, started_at=utc_now()
    )
    add_policy(session, project, 3, reward=None, parent_id=second.id, started_at=utc_now())
    session.flush()
    return project, alice, bob


def test_a_withdrawal_names_what_the_answers_reached_and_later_sets_are_without_them(
    session: Session, trained: tuple[Project, Person, Person]
) -> None:
    project, alice, _ = trained
    found = reach_of(session, project.id, alice.id)
    assert found.n_answers == 4
    assert [(one.number, one.n) for one in found.sets] == [(1, 4)]
    assert [one.number for one in found.reward_runs] == [0]
    assert [one.number for one in found.policies] == [2, 3]
    before = overview(session, project, Filter()).whole.reading.n_ratings
    withdraw(session, project, alice, Withdrawal.ANSWERS)
    assert n_left_out_of(session, project.id, found.sets[0].id) == 1
    frozen = freeze(session, project)
    assert (frozen.number, frozen.n_comparisons, frozen.n_annotators) == (2, 3, 1)
    assert n_left_out_of(session, project.id, frozen.id) == 0
    assert all('"rating":7' in one for one in export_lines(session, frozen))
    assert overview(session, project, Filter()).whole.reading.n_ratings == before - 4
    (gone,) = withdrawn_from(session, project.id)
    assert (gone.person.id, gone.ending.value) == (alice.id, "left_out")
    assert [one.number for one in gone.reach.policies] == [2, 3]
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "answers.left_out")).one()
    assert event.actor_id == alice.id
    assert event.detail["policies"] == [2, 3]


def test_answers_stay_in_use_where_only_the_consent_is_withdrawn(
    session: Session, trained: tuple[Project, Person, Person]
) -> None:
    project, alice, _ = trained
    asks(session, project, is_required=False, is_leaving_out_allowed=False)
    with pytest.raises(Forbidden, match="does not leave answers out"):
        withdraw(session, project, alice, Withdrawal.ANSWERS)
    assert lease(session, project, alice.id)
    withdraw(session, project, alice, Withdrawal.FUTURE)
    found = next_assignment(session, project, alice.id)
    assert isinstance(found, Nothing)
    assert found.hindrance
    assert "withdrawn your consent" in found.hindrance.title
    assert count_unfrozen(session, project.id) == 0
    with pytest.raises(Conflict, match="Nothing has been answered or changed"):
        freeze(session, project)


def test_whoever_agrees_again_has_their_answers_back_and_an_admins_exclusion_is_another_matter(
    session: Session, trained: tuple[Project, Person, Person]
) -> None:
    project, alice, bob = trained
    asks(session, project)
    withdraw(session, project, alice, Withdrawal.ANSWERS)
    exclude(session, project, alice, reason="Too fast.", by=bob.id)
    agree(session, project, alice, 1)
    assert freeze(session, project).n_comparisons == 3
    lift(session, project, alice, reason="Not so.", by=bob.id)
    assert freeze(session, project).n_comparisons == 7
    assert list(withdrawn_from(session, project.id)) == []


def test_texts_of_who_withdrew_leave_every_file_too(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", is_demonstration_on=True)
    given = next_prompt(session, project, alice.id, PromptKind.DEMONSTRATE)
    assert isinstance(given, PromptAssignment)
    record_demonstration(session, given, "Words of my own.", Finished(9.0, ""))
    assert len(list(demonstration_rows(session, project.id))) == 1
    n = len(list(demonstration_lines(session, project.id)))
    withdraw(session, project, alice, Withdrawal.ANSWERS)
    assert list(demonstration_rows(session, project.id)) == []
    assert len(list(demonstration_lines(session, project.id))) == n - 1


def test_a_person_agrees_says_and_withdraws_on_pages_of_their_own(
    session: Session, browsing: Browsing
) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob")
    join(session, project, bob, Role.ADMIN)
    asks(session, project)
    session.commit()
    browsing.sign_in(alice)
    assert TEXT in browsing.get("/consents/garden").text
    assert "/projects/garden/begin" in browsing.get("/projects/garden/collect").text
    assert browsing.post("/consents/garden", {"number": 2}).status_code == 409
    assert browsing.post("/consents/garden", {"number": 1}).status_code == 303
    said = {"age": "25-34", "languages": ["de", "en"], "country": "unsaid"}
    assert browsing.post("/consents/garden/about-me", said).status_code == 303
    assert browsing.post("/consents/garden/about-me", {"age": "7"}).status_code == 422
    page = browsing.get("/consents/garden").text
    assert '<option value="25-34" selected>' in page
    assert browsing.post("/consents/garden/withdraw").status_code == 422
    assert "Nothing has been frozen" not in browsing.get("/consents/garden/withdraw").text
    assert browsing.post("/consents/garden/withdraw", {"what": "answers"}).status_code == 303
    page = browsing.get("/consents/garden").text
    assert "Your answers are left out" in page
    assert "25-34" not in page
    assert "Withdrawn on" in browsing.get("/consents").text
    browsing.sign_in(make_person(session, "carol"))
    assert browsing.get("/consents/garden").status_code == 404


def test_an_admin_writes_the_text_and_sees_no_single_person(
    session: Session, browsing: Browsing
) -> None:
    project, (alice, ada) = make_world(session, "alice", "ada")
    join(session, project, ada, Role.ADMIN)
    session.commit()
    url = "/projects/garden/people/consent"
    browsing.sign_in(ada)
    assert browsing.post(f"{url}/rules", {"is_required": "true"}).status_code == 409
    assert browsing.post(f"{url}/texts", {"markdown": TEXT}).status_code == 303
    assert browsing.post(f"{url}/texts", {"markdown": TEXT}).status_code == 422
    rules = {"is_required": "true", "is_leaving_out_allowed": "true", "questions": ["age"]}
    assert browsing.post(f"{url}/rules", rules).status_code == 303
    session.expire_all()
    give_consent(session, project, alice, 1)
    say(session, project, alice, {Question.AGE: ["55-64"]})
    withdraw(session, project, ada, Withdrawal.FUTURE)
    session.commit()
    page = browsing.get(url).text
    assert "too few have answered" in page
    assert "55" not in browsing.get(f"{url}/people.csv").text
    assert "answers stay in use" in page
    browsing.sign_in(alice)
    assert browsing.get(url).status_code == 403
