"""Who may answer in a project, and how much, with a sentence for whoever may not."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.accounts.qualifications import add_qualification, set_held, set_required
from app.accounts.service import set_languages
from app.collect.eligibility import forget_counts, in_words
from app.collect.kinds.leases import next_prompt
from app.collect.leases import Nothing, Why, next_assignment
from app.errors import Conflict, Invalid, NotFound
from app.tables.accounts import AuditEvent, Person, Role
from app.tables.base import utc_now
from app.tables.kinds import PromptKind
from app.tables.projects import Project
from app.tables.qualifications import QualificationGrant
from tests.collect.test_mixture import answer
from tests.collect.worlds import lease, make_world
from tests.support import Browsing, join, make_person, make_project


@pytest.fixture(autouse=True)
def counts_are_fresh() -> Iterator[None]:
    forget_counts()
    yield
    forget_counts()


def refusal(session: Session, project: Project, person: Person) -> Nothing:
    found = next_assignment(session, project, person.id)
    session.commit()
    assert isinstance(found, Nothing)
    return found


def sentence(session: Session, project: Project, person: Person) -> str:
    found = refusal(session, project, person)
    assert found.hindrance
    return found.hindrance.sentence


def test_a_person_without_the_language_is_told_which_and_where_to_add_it(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", languages=["de", "fr"])
    found = refusal(session, project, alice)
    assert found.why is Why.NOT_ELIGIBLE
    assert "French, German" in sentence(session, project, alice)
    set_languages(session, alice, "English, de")
    assert lease(session, project, alice.id)


def test_every_kind_of_feedback_asks_for_the_language(session: Session) -> None:
    project, (alice, bob) = make_world(
        session, "alice", "bob", languages=["de"], is_demonstration_on=True
    )
    refused = next_prompt(session, project, alice.id, PromptKind.DEMONSTRATE)
    assert isinstance(refused, Nothing)
    assert refused.why is Why.NOT_ELIGIBLE
    set_languages(session, bob, "German")
    given = next_prompt(session, project, bob.id, PromptKind.DEMONSTRATE)
    assert not isinstance(given, Nothing)


def test_languages_are_read_by_name_or_code_and_unknown_ones_named(session: Session) -> None:
    alice = make_person(session)
    set_languages(session, alice, " German,en , ENGLISH")
    assert alice.languages == ["de", "en"]
    with pytest.raises(Invalid, match="Klingon"):
        set_languages(session, alice, "German, Klingon")
    assert alice.languages == ["de", "en"]


def test_a_required_qualification_is_asked_for_granted_and_revoked(session: Session) -> None:
    project, (alice, olive) = make_world(session, "alice", "olive")
    training = add_qualification(session, project, " Safety  training ", by=olive.id)
    found = refusal(session, project, alice)
    assert found.why is Why.NOT_ELIGIBLE
    assert "“Safety training”" in sentence(session, project, alice)
    set_held(session, project, alice, [training.id], by=olive.id)
    mine = lease(session, project, alice.id)
    set_held(session, project, alice, [training.id], by=alice.id)  # once granted stays as it is
    assert session.scalars(select(QualificationGrant.granted_by)).all() == [olive.id]
    set_held(session, project, alice, [], by=olive.id)
    assert refusal(session, project, alice).why is Why.NOT_ELIGIBLE
    set_held(session, project, alice, [training.id], by=olive.id)
    assert lease(session, project, alice.id).id == mine.id
    set_held(session, project, alice, [], by=olive.id)
    set_required(session, project, training.id, is_required=False, by=olive.id)
    assert lease(session, project, alice.id).id == mine.id
    grants = session.scalars(select(QualificationGrant)).all()
    assert all(grant.revoked_at and grant.revoked_by == olive.id for grant in grants)
    actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
    assert actions.count("qualification.granted") == actions.count("qualification.revoked") == 2


def test_a_qualification_has_one_name_and_belongs_to_one_project(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    training = add_qualification(session, project, "Training", by=None)
    with pytest.raises(Conflict, match="of that name"):
        add_qualification(session, project, "training", by=None)
    with pytest.raises(Invalid, match="1 to 80"):
        add_qualification(session, project, "  ", by=None)
    other = make_project(session, "orchard")
    with pytest.raises(NotFound):
        set_held(session, other, alice, [training.id], by=None)
    with pytest.raises(NotFound):
        set_required(session, other, training.id, is_required=False, by=None)


def test_a_day_is_full_for_one_person_and_opens_again(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=6, most_a_day=2)
    for _ in range(2):
        answer(session, lease(session, project, alice.id))
    found = refusal(session, project, alice)
    assert found.why is Why.LIMIT_REACHED
    assert found.hindrance
    assert found.hindrance.opens_at
    assert timedelta(hours=23) < found.hindrance.opens_at - utc_now() <= timedelta(hours=24)
    assert lease(session, project, bob.id)
    session.execute(
        text(
            "update comparison set created_at = created_at - interval '25 hours' where id ="
            " (select id from comparison order by created_at limit 1)"
        )
    )
    assert lease(session, project, alice.id)


def test_a_pair_that_was_open_when_the_limit_was_set_may_be_finished(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    answer(session, lease(session, project, alice.id))
    mine = lease(session, project, alice.id)
    project.most_a_day = 1
    assert lease(session, project, alice.id).id == mine.id


def test_one_person_gives_so_many_in_total(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=6, most_in_total=2)
    for _ in range(2):
        answer(session, lease(session, project, alice.id))
    assert "the 2 answers" in sentence(session, project, alice)


def test_one_person_gives_no_more_than_a_share(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.collect.eligibility.SHARE_COUNTS_FROM", 2)
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=12, most_share=0.5)
    for _ in range(2):
        answer(session, lease(session, project, alice.id))
    forget_counts()
    assert "No one person gives more than 50%" in sentence(session, project, alice)
    for _ in range(2):
        answer(session, lease(session, project, bob.id))
    project.most_share = 0.75
    forget_counts()
    answer(session, lease(session, project, alice.id))  # 2 of 4, and 3 are her share


def test_the_time_until_then_is_rounded_up() -> None:
    now = utc_now()
    assert in_words(now + timedelta(seconds=5), now) == "in 1 minute"
    assert in_words(now + timedelta(minutes=40, seconds=1), now) == "in 41 minutes"
    assert in_words(now + timedelta(hours=3, minutes=1), now) == "in 4 hours"


def test_the_page_and_the_api_say_why(browsing: Browsing, session: Session) -> None:
    project, (alice,) = make_world(session, "alice", languages=["de"])
    alice_is_in = browsing.sign_in(alice)
    page = alice_is_in.get(f"/projects/{project.slug}/collect")
    assert "Its texts are in German" in page.text
    assert "/account#languages-section" in page.text
    saved = alice_is_in.post("/account/languages", {"languages": "Dutch, German"})
    assert saved.status_code == 303
    assert "Dutch, German" in alice_is_in.get("/account").text
    refused = alice_is_in.post("/account/languages", {"languages": "Dutch, Klingon"})
    assert refused.status_code == 422
    assert "“Klingon” is not a language" in refused.text
    assert 'id="answer"' in alice_is_in.get(f"/projects/{project.slug}/collect").text


def test_an_admin_grants_and_revokes_on_the_page_of_people(
    browsing: Browsing, session: Session
) -> None:
    project, (alice,) = make_world(session, "alice")
    admin = make_person(session, "olive")
    join(session, project, admin, Role.ADMIN)
    training = add_qualification(session, project, "Safety <training>", by=admin.id)
    session.commit()
    olive = browsing.sign_in(admin)
    people = f"/projects/{project.slug}/people"
    olive.post(f"{people}/{alice.id}/qualifications", {"held": str(training.id)})
    page = olive.get(people).text
    assert "Granted by olive" in page
    assert "Safety &lt;training&gt;" in page
    olive.post(f"{people}/{alice.id}/qualifications")
    assert "Granted by olive" not in olive.get(people).text
