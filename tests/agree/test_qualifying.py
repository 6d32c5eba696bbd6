"""Qualification tests: found where they are needed, explained in training, passed by a mark."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.qualifications import add_qualification, held_in
from app.agree import qualifying
from app.agree.testing import Rules, place_item, set_rules
from app.collect.pairing import shown
from app.errors import Conflict
from app.tables.accounts import AuditEvent, Person, Role
from app.tables.base import utc_now
from app.tables.collect import Comparison, Pair
from app.tables.gold import QualificationTest, Round, TestAnswer, TestAttempt
from app.tables.projects import Project
from app.tables.qualifications import Qualification
from tests.agree.test_gold import fix, pairs_of
from tests.collect.worlds import broken_rules, make_world
from tests.support import Browsing, join, make_person

URL = "/projects/garden/agree"
World = tuple[Project, Person, Person, Qualification, QualificationTest]


@pytest.fixture
def world(session: Session) -> World:
    """A test with two training items and three test items, A accepted in all; 2 of 3 to pass."""
    project, (alice,) = make_world(session, "alice", n_pairs=8, gold_share=0.5)
    rosa = make_person(session, "rosa")
    join(session, project, rosa, Role.ADMIN)
    qualification = add_qualification(session, project, "Reading", by=rosa.id)
    rules = Rules(0.66, 2, 24, 3, is_open=False)
    test = set_rules(session, project, qualification.id, rules, by=rosa.id)
    for k, pair in enumerate(pairs_of(session, project)[:5]):
        fix(session, project, pair, 1, 2, by=rosa)
        round_ = Round.TRAINING if k < 2 else Round.TEST
        place_item(session, project, qualification.id, pair.id, round_=round_, by=rosa.id)
    opened = Rules(0.66, 2, 24, 3, is_open=True)
    set_rules(session, project, qualification.id, opened, by=rosa.id)
    session.commit()
    return project, alice, rosa, qualification, test


def take(session: Session, browsing: Browsing, test: QualificationTest, *ratings: int) -> list[str]:
    """Start a try and answer its items canonically with these ratings; where each answer led."""
    url = f"{URL}/qualify/{test.id}"
    browsing.post(url)
    led = []
    for rating in ratings:
        page = browsing.get(url).text
        found = re.search(r'name="answer_id" value="([^"]+)"', page)
        assert found is not None
        session.expire_all()
        asked = session.scalars(select(TestAnswer).where(TestAnswer.id == found[1])).one()
        values = {"answer_id": found[1], "rating": str(shown(rating, asked.is_flipped))}
        led.append(browsing.post(f"{url}/answers", values).headers["location"])
    session.expire_all()
    return led


def test_whoever_lacks_a_qualification_finds_its_test_passes_it_and_gets_pairs(
    session: Session, browsing: Browsing, world: World
) -> None:
    project, alice, _, qualification, test = world
    browsing.sign_in(alice)
    refused = browsing.get("/projects/garden/collect").text
    assert f'href="{URL}/qualify"' in refused
    assert "3 pairs, 66% right to pass" in browsing.get(f"{URL}/qualify").text
    led = take(session, browsing, test, 7, 1, 1, 2, 8)
    explained = browsing.get(led[0]).text
    assert "Not as the researchers answer" in explained
    assert "Because the guidelines say so." in explained
    assert "As the researchers answer" in browsing.get(led[1]).text
    read = {"answer_id": led[0].rpartition("/")[2], "is_read": "true"}
    onward = browsing.post(f"{URL}/qualify/{test.id}/answers", read)
    assert onward.headers["location"] == f"{URL}/qualify/{test.id}"
    assert led[2:] == [f"{URL}/qualify/{test.id}"] * 3
    page = browsing.get(f"{URL}/qualify").text
    assert "you hold it" in page
    assert "2 of 3 right" in page
    assert held_in(session, project.id)[alice.id, qualification.id].startswith("by a test, ")
    events = list(session.scalars(select(AuditEvent.action).order_by(AuditEvent.at)))
    assert events[-2:] == ["test.passed", "qualification.granted"]
    assert "collect/answers" in browsing.get("/projects/garden/collect").text
    assert session.scalars(select(Comparison)).all() == []
    assert broken_rules(session) == []


def test_who_fails_waits_keeps_the_record_and_has_no_more_tries_than_the_rule_says(
    session: Session, browsing: Browsing, world: World
) -> None:
    project, alice, rosa, qualification, test = world
    browsing.sign_in(alice)
    take(session, browsing, test, 1, 1, 8, 8, 1)
    assert "Your next try opens on" in browsing.get(f"{URL}/qualify").text
    with pytest.raises(Conflict, match="Your next try opens"):
        qualifying.start(session, project, test.id, alice)
    session.rollback()
    first = session.scalars(select(TestAttempt)).one()
    first.ended_at = utc_now() - timedelta(hours=25)
    session.commit()
    take(session, browsing, test, 8, 8, 8)
    assert "You have used all your tries" in browsing.get(f"{URL}/qualify").text
    assert browsing.post(f"{URL}/qualify/{test.id}").status_code == 409
    assert not qualifying.is_held(session, qualification.id, alice)
    tries = session.scalars(select(TestAttempt).order_by(TestAttempt.number)).all()
    assert [(one.number, one.n_right, one.is_passed) for one in tries] == [
        (1, 1, False), (2, 0, False),
    ]  # fmt: skip
    browsing.sign_in(rosa)
    record = browsing.get(f"{URL}/tests/{qualification.id}").text
    assert record.count("not passed") == 2
    assert "1 of 3" in record


def test_a_test_says_nothing_of_its_own_items_and_nothing_to_others(
    session: Session, browsing: Browsing, world: World
) -> None:
    project, alice, _, _, test = world
    bob = make_person(session, "bob")
    join(session, project, bob, Role.ANNOTATOR)
    session.commit()
    browsing.sign_in(alice)
    take(session, browsing, test, 1, 1, 8)
    said = session.scalars(select(TestAnswer).where(TestAnswer.round == Round.TEST)).all()
    answered = next(one for one in said if one.rating is not None)
    assert browsing.get(f"{URL}/qualify/{test.id}/answers/{answered.id}").status_code == 404
    waiting = next(one for one in said if one.rating is None)
    again = browsing.post(
        f"{URL}/qualify/{test.id}/answers", {"answer_id": str(answered.id), "rating": "1"}
    )
    assert again.status_code == 303
    session.expire_all()
    assert answered.rating == 8
    refused = browsing.post(
        f"{URL}/qualify/{test.id}/answers", {"answer_id": str(waiting.id), "rating": "0"}
    )
    assert refused.status_code == 422
    browsing.sign_in(bob)
    values = {"answer_id": str(waiting.id), "rating": "1"}
    assert browsing.post(f"{URL}/qualify/{test.id}/answers", values).status_code == 404
    assert browsing.get(f"{URL}/tests").status_code == 403


def test_items_of_a_test_are_not_drawn_at_work_and_come_back_when_taken_out(
    session: Session, browsing: Browsing, world: World
) -> None:
    project, _, rosa, qualification, _ = world
    pairs = pairs_of(session, project)[:5]
    assert not any(session.get_one(Pair, one.id).is_open for one in pairs)
    browsing.sign_in(rosa)
    url = f"{URL}/tests/{qualification.id}"
    out = browsing.post(f"{url}/items/{pairs[4].id}", {"round": ""})
    assert out.status_code == 409
    assert "too few items" in out.text
    rules = {"pass_share": "66", "most_tries": "", "wait_hours": "0", "n_asked": "3"}
    assert browsing.post(url, rules).status_code == 303
    assert browsing.post(f"{url}/items/{pairs[4].id}", {"round": ""}).status_code == 303
    session.expire_all()
    assert pairs[4].is_open
    test = session.scalars(select(QualificationTest)).one()
    assert (test.most_tries, test.is_open) == (None, False)
    refused = browsing.post(url, {**rules, "is_open": "true"})
    assert refused.status_code == 409
    assert "has 2 items and asks 3" in refused.text
    assert browsing.post(url, {**rules, "pass_share": "x"}).status_code == 422
    assert browsing.post(f"{URL}/gold/{pairs[3].id}/give-back").status_code == 409
