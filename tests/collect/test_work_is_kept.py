"""Drafts stand by their version, time goes to controls once, and changes end with their window."""

import json
import threading
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.collect.forms import NewAnswerForm
from app.collect.service import (
    TimeIn,
    change_comparison,
    check_times,
    draft_of,
    record_comparison,
    save_draft,
    skip,
)
from app.db import session_scope
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.tables.base import utc_now
from app.tables.collect import Assignment, Comparison
from app.tables.projects import FlagScope
from app.tables.work import Control, ControlTime, Draft
from tests.collect.worlds import expire, lease, make_flag, make_world
from tests.support import Browsing

URL = "/projects/garden/collect"


def keep(session: Session, assignment: Assignment, version: int, **fields: str) -> tuple[int, bool]:
    standing = save_draft(
        session,
        assignment.id,
        assignment.annotator_id,
        version=version,
        content=json.dumps(fields),
        project_id=assignment.project_id,
    )
    session.commit()
    return standing.version, standing.is_saved


def say(session: Session, assignment: Assignment, **values: object) -> Comparison:
    given = {"rating": 3, "seconds": 10.0, "idempotency_key": "a key", **values}
    said = record_comparison(
        session,
        assignment_id=assignment.id,
        annotator_id=assignment.annotator_id,
        **given,  # type: ignore[arg-type]
    )
    session.commit()
    return said


def test_an_older_draft_never_overwrites_a_newer_one(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    mine = lease(session, project, alice.id)
    assert keep(session, mine, 2, comment="two") == (2, True)
    assert keep(session, mine, 1, comment="one") == (2, False)
    assert keep(session, mine, 2, comment="other") == (2, False)
    assert keep(session, mine, 2, comment="two") == (2, True)
    assert keep(session, mine, 5, comment="five") == (5, True)
    # Also within the moment in which the pair was handed out.
    assert draft_of(session, mine) == (5, {"comment": "five"})


def test_of_drafts_that_arrive_at_once_the_newest_stands(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    mine = lease(session, project, alice.id)
    barrier, who = threading.Barrier(4), (mine.id, alice.id, project.id)

    def write(version: int) -> None:
        barrier.wait()
        with session_scope() as own:
            save_draft(
                own,
                who[0],
                who[1],
                version=version,
                content=json.dumps({"comment": str(version)}),
                project_id=who[2],
            )

    threads = [threading.Thread(target=write, args=(n,)) for n in (4, 1, 3, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.execute(select(Draft.version, Draft.content)).all() == [(4, {"comment": "4"})]


def test_a_draft_of_an_ended_pair_is_refused_and_swept_with_the_next_one(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    first = lease(session, project, alice.id)
    keep(session, first, 1, comment="half")
    expire(session, first.id)
    assert keep(session, first, 2, comment="late") == (2, True)
    say(session, first)
    with pytest.raises(Conflict, match="answered or skipped"):
        keep(session, first, 3, comment="later still")
    session.rollback()
    second = lease(session, project, alice.id)
    keep(session, second, 1, comment="next")
    assert session.scalars(select(Draft.assignment_id)).all() == [second.id]
    skip(session, second.id, alice.id, "seen before")
    session.commit()
    with pytest.raises(Conflict):
        keep(session, second, 2, comment="skipped")


def test_nobody_saves_or_learns_a_draft_of_someone_else(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob")
    mine = lease(session, project, alice.id)
    keep(session, mine, 1, comment="private")
    values = {"version": 9, "content": "{}", "project_id": project.id}
    with pytest.raises(Forbidden):
        save_draft(session, mine.id, bob.id, **values)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        save_draft(session, uuid.uuid4(), alice.id, **values)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        save_draft(session, mine.id, alice.id, **{**values, "project_id": uuid.uuid4()})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "content"),
    [
        *((0, "{}"), (2**31, "{}"), (1, "[1]"), (1, "{"), (1, '{"a": NaN}')),
        *((1, '{"a": "\\u0000"}'), (1, '{"a": "\\ud800"}'), (1, "[" * 100_000)),
        (1, json.dumps({"a": "x" * 200_001})),
    ],
)
def test_a_bent_draft_is_refused(session: Session, version: int, content: str) -> None:
    project, (alice,) = make_world(session, "alice")
    mine = lease(session, project, alice.id)
    with pytest.raises(Invalid):
        save_draft(
            session, mine.id, alice.id, version=version, content=content, project_id=project.id
        )


def test_active_time_goes_to_the_controls_in_the_canonical_frame(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    rude = make_flag(session, project, "Rude", scope=FlagScope.COMPLETION)
    mine = lease(session, project, alice.id)
    form = NewAnswerForm(
        assignment_id=mine.id,
        idempotency_key="a key",
        seconds=10.0,
        times=f"prompt:2,left:4,rating:1.5,flag.{rude.id}.right:0.5,flag.{uuid.uuid4()}:0.1",
    )
    times = check_times(form.control_times(True), claimed=form.seconds, seconds=10.0)
    said = say(session, mine, times=times)
    # Sent again, it is not counted again.
    say(session, mine, times=times)
    rows = session.scalars(select(ControlTime).where(ControlTime.comparison_id == said.id)).all()
    assert {(row.control, row.side, row.seconds) for row in rows} == {
        (Control.PROMPT, None, 2.0),
        (Control.COMPLETION, "B", 4.0),
        (Control.RATING, None, 1.5),
        (Control.FLAG, "A", 0.5),
    }


def test_times_are_parts_of_the_whole_and_shrink_with_it() -> None:
    parts = [TimeIn(Control.PROMPT, None, None, 6.0), TimeIn(Control.RATING, None, None, 2.0)]
    assert check_times(parts, claimed=8.0, seconds=8.0) == parts
    # A page that claims more time than it was open for is believed in proportion.
    assert [one.seconds for one in check_times(parts, claimed=8.0, seconds=4.0)] == [3.0, 1.0]
    assert check_times(parts, claimed=None, seconds=120.0) == ()
    for wrong in (
        [TimeIn(Control.PROMPT, None, None, -1.0)],
        [TimeIn(Control.PROMPT, None, None, float("nan"))],
        [*parts, TimeIn(Control.COMMENT, None, None, 1.0)],
        [parts[1], parts[1]],
    ):
        with pytest.raises(Invalid):
            check_times(wrong, claimed=8.0, seconds=8.0)


@pytest.mark.parametrize("times", ["nose:1", "left", "left:x", "flag.17:1", "flag.17.up:1"])
def test_a_time_for_what_the_page_does_not_have_is_refused(times: str) -> None:
    form = NewAnswerForm(assignment_id=uuid.uuid4(), idempotency_key="a key", times=times)
    with pytest.raises(Invalid):
        form.control_times(False)


@pytest.mark.parametrize(
    ("hours", "age", "words"),
    [
        (None, 9_000, ""),
        (24, 23, ""),
        (24, 25, "for 24 hours"),
        (1, 2, "an hour"),
        (0, 0, "stands"),
    ],
)
def test_an_answer_can_be_changed_within_the_projects_window(
    session: Session, hours: int | None, age: int, words: str
) -> None:
    project, (alice,) = make_world(session, "alice", undo_hours=hours)
    said = say(session, lease(session, project, alice.id))
    said.created_at = utc_now() - timedelta(hours=age)
    session.commit()
    # The same again is no change, whenever it comes.
    change_comparison(session, said.id, alice.id, rating=3, after=1)
    if not words:
        assert change_comparison(session, said.id, alice.id, rating=6, after=1).revision == 2
        return
    with pytest.raises(Forbidden, match=words):
        change_comparison(session, said.id, alice.id, rating=6, after=1)


def test_the_page_brings_a_draft_back_and_says_which_version_stands(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice")
    mine = lease(session, project, alice.id)
    session.execute(text("update assignment set created_at = created_at - interval '1 minute'"))
    session.commit()
    browsing.sign_in(alice)
    sent = {"assignment_id": str(mine.id), "version": "3", "content": '{"comment": "<half>"}'}
    assert browsing.post(f"{URL}/drafts", sent).json() == {"version": 3, "is_saved": True}
    older = browsing.post(f"{URL}/drafts", {**sent, "version": "2", "content": "{}"}).json()
    assert older == {"version": 3, "is_saved": False, "content": {"comment": "<half>"}}
    page = browsing.get(URL).text
    assert 'data-version="3"' in page
    assert "u003chalf" in page
    assert "<half>" not in page
    assert browsing.post(f"{URL}/drafts", {**sent, "version": "x"}).status_code == 422


def test_the_way_back_to_a_pair_leads_to_the_answer_as_it_was_given(
    session: Session, browsing: Browsing
) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob")
    mine = lease(session, project, alice.id)
    browsing.sign_in(alice)
    assert browsing.get(f"{URL}/pairs/{mine.id}").headers["location"] == URL
    said = say(session, mine)
    response = browsing.get(f"{URL}/pairs/{mine.id}")
    assert response.headers["location"] == f"{URL}/answers/{said.id}"
    browsing.sign_in(bob)
    assert browsing.get(f"{URL}/pairs/{mine.id}").status_code == 403


def test_a_refusal_comes_as_a_problem_to_whoever_asks_for_one(
    session: Session, browsing: Browsing
) -> None:
    make_world(session, "alice")
    asked = {"Accept": "application/problem+json"}
    response = browsing.client.post(f"{URL}/answers", headers=asked)
    assert (response.status_code, response.json()["title"]) == (401, "Please sign in")
