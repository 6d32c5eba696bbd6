"""What a change of an answer takes: added once, held to the time that went by, by control."""

import math
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.projects import Project
from app.tables.work import Control, ControlTime
from tests.collect.worlds import answer, make_flag, make_world
from tests.support import Browsing

COLLECT = "/projects/garden/collect"


def answered(session: Session, browsing: Browsing, **settings: object) -> Comparison:
    """An answer of five seconds, given five minutes ago; its author is signed in."""
    project, (alice,) = make_world(session, "alice", n_pairs=1, **settings)
    said = answer(session, project, alice, rating=2)
    session.execute(update(Comparison).values(updated_at=utc_now() - timedelta(minutes=5)))
    session.commit()
    browsing.sign_in(alice)
    return said


def kept(session: Session) -> dict[tuple[Control, str | None], float]:
    session.expire_all()
    return {(one.control, one.side): one.seconds for one in session.scalars(select(ControlTime))}


def test_a_change_adds_its_active_time_by_control_to_what_the_answer_took(
    session: Session, browsing: Browsing
) -> None:
    said = answered(session, browsing)
    flag = make_flag(session, session.get_one(Project, said.project_id), "Rude")
    url = f"{COLLECT}/answers/{said.id}"
    assert 'name="times"' in browsing.get(url).text
    first = {"revision": "1", "rating": "6", "seconds": "9", "times": "left:4,rating:3,comment:1"}
    for _ in range(2):
        assert browsing.post(url, first).status_code == 303
    side = "B" if said.is_flipped else "A"
    before = {
        (Control.COMPLETION, side): 4,
        (Control.RATING, None): 3,
        (Control.COMMENT, None): 1,
    }
    assert kept(session) == before
    assert said.seconds == pytest.approx(14)
    session.execute(update(Comparison).values(updated_at=utc_now() - timedelta(minutes=5)))
    session.commit()
    times = f"left:1,flag.{flag.id}.left:2"
    second = {"revision": "2", "rating": "1", "seconds": "3", "times": times}
    assert browsing.post(url, second).status_code == 303
    assert kept(session) == {**before, (Control.COMPLETION, side): 5, (Control.FLAG, side): 2}
    assert said.seconds == pytest.approx(17)


def test_a_change_is_believed_no_more_time_than_went_by_and_none_without_a_script(
    session: Session, browsing: Browsing
) -> None:
    said = answered(session, browsing)
    url = f"{COLLECT}/answers/{said.id}"
    long = {"revision": "1", "rating": "6", "seconds": "6000", "times": "left:4000,right:2000"}
    assert browsing.post(url, long).status_code == 303
    assert math.fsum(kept(session).values()) == pytest.approx(300, abs=30)
    assert said.seconds == pytest.approx(305, abs=30)
    took = said.seconds
    plain = {"revision": "2", "rating": "2", "seconds": "", "times": ""}
    assert browsing.post(url, plain).status_code == 303
    session.refresh(said)
    assert (said.revision, said.seconds) == (3, took)


def test_a_changed_rewrite_takes_time_though_the_rating_stays(
    session: Session, browsing: Browsing
) -> None:
    said = answered(session, browsing, is_rewrite_on=True)
    rating = str(9 - said.rating if said.is_flipped else said.rating)
    form = {"revision": "1", "rating": rating, "seconds": "40", "times": "rating:39"}
    url = f"{COLLECT}/answers/{said.id}"
    assert browsing.post(url, {**form, "rewrite": "Better still."}).status_code == 303
    assert kept(session) == {(Control.RATING, None): 39}
    assert said.seconds == pytest.approx(45)
