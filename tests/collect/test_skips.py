"""Skips with a reason from the list, taken back within a minute, and pairs that all skip."""

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.collect.service import Nothing, Why, next_assignment, release
from app.collect.skips import (
    close_pair,
    last_skip,
    n_stuck,
    put_back,
    skip_for,
    stuck_pairs,
    unskip,
)
from app.errors import Conflict, Invalid, NotFound
from app.projects.service import change_project
from app.projects.skipping import add_reason, reasons_of, set_reason_archived
from app.tables.accounts import Role
from app.tables.base import utc_now
from app.tables.collect import Assignment, AssignmentState, Pair
from app.tables.projects import Project
from tests.collect.worlds import broken_rules, lease, make_world
from tests.support import Browsing, join, make_person, make_project

URL = "/projects/garden/collect"


def reason_id(session: Session, project: Project, label: str) -> uuid.UUID:
    return next(one.id for one in reasons_of(session, project.id) if one.label == label)


def skip_all(session: Session, project: Project, annotator_id: uuid.UUID) -> None:
    chosen = reason_id(session, project, "The prompt makes no sense")
    while not isinstance(found := next_assignment(session, project, annotator_id), Nothing):
        skip_for(session, found.id, annotator_id, project_id=project.id, reason_id=chosen, words="")
    session.commit()


def test_a_skip_keeps_the_reason_of_the_list_and_the_words(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    other = reason_id(session, project, "Other")
    mine = lease(session, project, alice.id)
    who = {"project_id": project.id, "reason_id": other}
    with pytest.raises(Invalid, match="needs a few words"):
        skip_for(session, mine.id, alice.id, **who, words="  ")
    skip_for(session, mine.id, alice.id, **who, words="Two prompts in one")
    assert (mine.skip_reason_id, mine.skip_reason) == (other, "Other: Two prompts in one")
    stranger = make_project(session, "meadow")
    theirs = reason_id(session, stranger, "Other")
    with pytest.raises(NotFound, match="no such reason"):
        skip_for(session, mine.id, alice.id, project_id=project.id, reason_id=theirs, words="again")


def test_a_skip_is_taken_back_within_a_minute_and_the_next_pair_waits(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    first = lease(session, project, alice.id)
    skip_for(session, first.id, alice.id, project_id=project.id, reason_id=None, words="not today")
    second = lease(session, project, alice.id)
    assert last_skip(session, project.id, alice.id) is first
    unskip(session, first.id, alice.id, project_id=project.id)
    session.commit()
    assert lease(session, project, alice.id).id == first.id
    assert (first.skip_reason, second.state) == ("", AssignmentState.EXPIRED)
    assert last_skip(session, project.id, alice.id) is None
    assert broken_rules(session) == []


def test_a_skip_is_final_after_a_minute_or_once_others_took_the_pair(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=1)
    mine = lease(session, project, alice.id)
    skip_for(session, mine.id, alice.id, project_id=project.id, reason_id=None, words="no")
    lease(session, project, bob.id)
    with pytest.raises(Conflict, match="no room left"):
        unskip(session, mine.id, alice.id, project_id=project.id)
    mine.ended_at = utc_now() - timedelta(seconds=61)
    session.commit()
    with pytest.raises(Conflict, match="within a minute"):
        unskip(session, mine.id, alice.id, project_id=project.id)
    assert broken_rules(session) == []


def test_what_all_skip_or_enough_skip_goes_to_the_admin(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=2)
    skip_all(session, project, alice.id)
    assert n_stuck(session, project) == 0
    project.skips_to_admin = 1
    assert n_stuck(session, project) == 2
    project.skips_to_admin = None
    skip_all(session, project, bob.id)
    first, second = stuck_pairs(session, project)
    assert first.reasons == [("The prompt makes no sense", 2)]
    close_pair(session, project, first.pair_id, by=alice.id)
    assert [one.pair_id for one in stuck_pairs(session, project)] == [second.pair_id]
    assert put_back(session, project, second.pair_id, by=alice.id) == 2
    session.commit()
    assert n_stuck(session, project) == 0
    assert lease(session, project, bob.id).pair_id == second.pair_id
    assert broken_rules(session) == []


def test_a_pair_that_enough_people_skipped_is_offered_to_nobody_else(session: Session) -> None:
    project, (alice, bob, carol) = make_world(session, "alice", "bob", "carol", n_pairs=1)
    project.skips_to_admin = 2
    for person in (alice, bob):
        mine = lease(session, project, person.id)
        skip_for(session, mine.id, person.id, project_id=project.id, reason_id=None, words="no")
        session.commit()
    assert next_assignment(session, project, carol.id) == Nothing(Why.DONE)
    (stuck,) = stuck_pairs(session, project)
    unskip(session, mine.id, bob.id, project_id=project.id)
    release(session, mine.id, bob.id)
    assert stuck_pairs(session, project) == []
    carols = lease(session, project, carol.id)
    assert carols.pair_id == stuck.pair_id
    skip_for(session, carols.id, carol.id, project_id=project.id, reason_id=None, words="no")
    assert not session.get_one(Pair, stuck.pair_id).is_open
    put_back(session, project, stuck.pair_id, by=alice.id)
    assert session.get_one(Pair, stuck.pair_id).is_open
    assert broken_rules(session) == []


def test_another_number_in_the_settings_holds_for_what_was_skipped_before(
    session: Session,
) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=2)
    skip_all(session, project, alice.id)
    change_project(session, project, by=alice.id, skips_to_admin=1)
    assert next_assignment(session, project, bob.id) == Nothing(Why.DONE)
    closed, _ = stuck_pairs(session, project)
    close_pair(session, project, closed.pair_id, by=alice.id)
    change_project(session, project, by=alice.id, skips_to_admin=None)
    assert lease(session, project, bob.id).pair_id != closed.pair_id
    skip_all(session, project, bob.id)
    assert not session.get_one(Pair, closed.pair_id).is_open


def test_reasons_are_unique_and_an_archived_one_is_not_offered(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0)
    with pytest.raises(Conflict, match="already in the list"):
        add_reason(session, project, " Other ", is_words_needed=True, by=alice.id)
    new = add_reason(session, project, "Too long", is_words_needed=False, by=alice.id)
    assert reasons_of(session, project.id)[-1] is new
    set_reason_archived(session, project, new.id, is_archived=True, by=alice.id)
    assert new not in reasons_of(session, project.id)
    with pytest.raises(Conflict, match="offer it again"):
        add_reason(session, project, "Too long", is_words_needed=True, by=alice.id)


def test_without_a_script_a_skip_can_be_taken_back_on_the_page(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice")
    mine = lease(session, project, alice.id)
    browsing.sign_in(alice)
    chosen = reason_id(session, project, "I have seen this before")
    form = {"assignment_id": str(mine.id), "reason": str(chosen), "other": ""}
    assert browsing.post(f"{URL}/skips", form).status_code == 303
    assert "Take it back" in browsing.get(URL).text
    assert browsing.post(f"{URL}/unskips", form).status_code == 303
    page = browsing.get(URL).text
    assert str(mine.id) in page
    assert "Take it back" not in page


def test_staff_edit_the_list_and_annotators_do_not(session: Session, browsing: Browsing) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0)
    ruth = make_person(session, "ruth")
    join(session, project, ruth, Role.ADMIN)
    session.commit()
    url = "/projects/garden/skip-reasons"
    assert browsing.sign_in(alice).get(url).status_code == 403
    browsing.sign_in(ruth)
    assert "The prompt makes no sense" in browsing.get(url).text
    assert browsing.post(url, {"label": "Too long"}).status_code == 303
    row = reason_id(session, project, "Too long")
    assert browsing.post(f"{url}/{row}/move", {"places": "-1"}).status_code == 303
    changed = {"label": "Far too long", "is_words_needed": "true"}
    assert browsing.post(f"{url}/{row}", changed).status_code == 303
    assert browsing.post(f"{url}/{row}/archive").status_code == 303
    assert "Far too long" in browsing.get(url).text
    assert session.scalar(select(func.count()).select_from(Assignment)) == 0


def test_the_admin_sees_what_all_skip_and_decides(session: Session, browsing: Browsing) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=2)
    ruth = make_person(session, "ruth")
    join(session, project, ruth, Role.ADMIN)
    session.commit()
    url = "/projects/garden/skipped"
    assert browsing.sign_in(alice).get(url).status_code == 403
    assert "No pair is skipped by all" in browsing.sign_in(ruth).get(url).text
    skip_all(session, project, alice.id)
    page = browsing.get(url).text
    assert "Skipped (2)" in page
    assert "The prompt makes no sense" in page
    assert "The left words of" in page
    first, second = (one.pair_id for one in stuck_pairs(session, project))
    assert browsing.post(f"{url}/{first}/answer").status_code == 403
    join(session, project, ruth, Role.ANNOTATOR)
    skip_all(session, project, ruth.id)
    assert browsing.post(f"{url}/{first}/close").status_code == 303
    assert browsing.post(f"{url}/{second}/put-back").status_code == 303
    assert "No pair is skipped by all" in browsing.get(url).text
