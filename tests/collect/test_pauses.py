"""Rests that annotators take, and pauses that admins make: who said so, since when, until when."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.service import pause
from app.collect.service import Nothing, Why, next_assignment
from app.tables.accounts import AuditEvent, Membership, Role
from app.tables.base import utc_now
from app.tables.collect import Comparison
from tests.collect.test_mixture import answer
from tests.collect.worlds import broken_rules, lease, make_world
from tests.support import Browsing, join, make_person

URL = "/projects/garden/collect"


def test_a_person_rests_until_a_day_and_comes_back_at_will(
    session: Session, browsing: Browsing
) -> None:
    _, (alice,) = make_world(session, "alice", is_ranking_on=True, is_talk_on=True)
    browsing.sign_in(alice)
    assert browsing.post(f"{URL}/pauses", {"until": "yesterday"}).status_code == 422
    assert browsing.post(f"{URL}/pauses", {"until": "2020-01-01"}).status_code == 422
    day = (utc_now() + timedelta(days=3)).date()
    assert browsing.post(f"{URL}/pauses", {"until": day.isoformat()}).status_code == 303
    for place in (URL, f"{URL}/kinds/rank", f"{URL}/talk"):
        assert "You are taking a rest" in browsing.get(place).text
    assert "Come back now" in browsing.get("/").text
    assert browsing.post(f"{URL}/resumptions").status_code == 303
    assert "You are taking a rest" not in browsing.get(URL).text


def test_a_rest_without_a_day_lasts_until_the_person_comes_back(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice")
    browsing.sign_in(alice)
    assert browsing.post(f"{URL}/pauses").status_code == 303
    found = next_assignment(session, project, alice.id)
    assert isinstance(found, Nothing)
    session.rollback()
    assert browsing.post(f"{URL}/resumptions").status_code == 303
    assert lease(session, project, alice.id)


def test_whoever_leaves_gives_their_pair_back_and_their_answers_stay(
    session: Session, browsing: Browsing
) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=2)
    answer(session, lease(session, project, alice.id))
    held = lease(session, project, alice.id)
    browsing.sign_in(alice)
    assert "Leave Garden?" in browsing.get(f"{URL}/leave").text
    assert browsing.post(f"{URL}/leave").status_code == 303
    assert browsing.get(URL).status_code == 404
    assert "answers" in browsing.get("/history").text
    assert browsing.get("/consents/garden/withdraw").status_code == 200
    session.expire_all()
    assert lease(session, project, bob.id).pair_id == held.pair_id
    assert session.scalars(select(Comparison.annotator_id)).all() == [alice.id]
    assert "annotator.left" in session.scalars(select(AuditEvent.action)).all()
    assert broken_rules(session) == []


def test_a_rest_that_is_over_reads_as_over_on_every_page(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice")
    ruth = make_person(session, "ruth")
    join(session, project, ruth, Role.ADMIN)
    answer(session, lease(session, project, alice.id))
    held = session.scalars(select(Membership).where(Membership.person_id == alice.id)).one()
    held.is_paused, held.paused_by = True, alice.id
    held.paused_until = utc_now() - timedelta(hours=1)
    session.commit()
    browsing.sign_in(ruth)
    assert "paused" not in browsing.get("/projects/garden/agree/workforce").text
    page = browsing.get(f"/projects/garden/agree/workforce/{alice.id}").text
    assert "Resume comparing" not in page
    browsing.sign_in(alice)
    assert ">paused<" not in browsing.get("/account").text


def test_a_rest_ends_by_itself_on_its_day(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    held = session.scalars(select(Membership).where(Membership.person_id == alice.id)).one()
    held.is_paused, held.paused_by = True, alice.id
    held.paused_until = utc_now() + timedelta(hours=1)
    session.commit()
    found = next_assignment(session, project, alice.id)
    assert isinstance(found, Nothing)
    assert found.why is Why.PAUSED
    held.paused_until = utc_now() - timedelta(hours=1)
    session.commit()
    assert lease(session, project, alice.id)


def test_an_admins_pause_says_who_and_only_they_end_it(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice")
    ruth = make_person(session, "ruth")
    join(session, project, ruth, Role.ADMIN)
    pause(session, project_id=project.id, person=alice, by=ruth.id)
    session.commit()
    browsing.sign_in(alice)
    page = browsing.get(URL).text
    assert "ruth paused it for you on" in page
    assert "Come back now" not in page
    assert browsing.post(f"{URL}/resumptions").status_code == 403
    day = (utc_now() + timedelta(days=3)).date().isoformat()
    assert browsing.post(f"{URL}/pauses", {"until": day}).status_code == 409
