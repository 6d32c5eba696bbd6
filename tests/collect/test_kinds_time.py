"""Active time by control of rankings, ratings and demonstrations."""

import csv
import io
import math
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.tables.accounts import Role
from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.kinds import PromptAssignment, PromptKind
from app.tables.projects import Project
from app.tables.work import PromptControl, PromptControlTime
from tests.collect.test_kinds import URL, take, world
from tests.support import Browsing, join, make_person


def ranking(session: Session, browsing: Browsing) -> PromptAssignment:
    """A ranking on its page, open for ten minutes."""
    project, (alice,) = world(session, "alice", n=1)
    assignment = take(session, project, alice, PromptKind.RANK)
    session.execute(update(PromptAssignment).values(created_at=utc_now() - timedelta(minutes=10)))
    session.commit()
    browsing.sign_in(alice)
    return assignment


def said(assignment: PromptAssignment, ranks: str, seconds: str, times: str) -> dict[str, str]:
    choices = {f"choice.{one}": rank for one, rank in zip(assignment.shown, ranks, strict=True)}
    return {
        "assignment_id": str(assignment.id),
        "revision": "1",
        "seconds": seconds,
        "times": times,
        **choices,
    }


def kept(session: Session) -> dict[tuple[PromptControl, uuid.UUID | None], float]:
    session.expire_all()
    found = session.scalars(select(PromptControlTime))
    return {(one.control, one.completion_id): one.seconds for one in found}


def test_time_goes_to_controls_once_a_change_adds_its_own_and_the_parts_stay_within_the_whole(
    session: Session, browsing: Browsing
) -> None:
    assignment = ranking(session, browsing)
    first = assignment.shown[0]
    times = f"prompt:10,completion.{first}:20,rating.{first}:5,rating:3,comment:2"
    new = said(assignment, "123", "50", times)
    for _ in range(2):
        assert browsing.post(f"{URL}/rank/answers", new).status_code == 303
    before = {
        (PromptControl.PROMPT, None): 10,
        (PromptControl.COMPLETION, first): 20,
        (PromptControl.RATING, first): 5,
        (PromptControl.RATING, None): 3,
        (PromptControl.COMMENT, None): 2,
    }
    assert kept(session) == before
    ended = utc_now() - timedelta(minutes=5)
    session.execute(update(PromptAssignment).values(ended_at=ended))
    session.commit()
    changed = said(assignment, "321", "9", f"rating.{first}:4,completion.{first}:1")
    for _ in range(2):
        url = f"{URL}/rank/answers/{assignment.id}"
        assert browsing.post(url, changed).status_code == 303
    after = {**before, (PromptControl.RATING, first): 9, (PromptControl.COMPLETION, first): 21}
    assert kept(session) == after
    session.refresh(assignment)
    assert assignment.seconds == pytest.approx(59)
    # The pairs that follow share it, so that the price of an answer holds the change too.
    assert session.scalar(select(func.sum(Comparison.seconds))) == pytest.approx(59)


def test_no_more_time_is_believed_than_went_by(session: Session, browsing: Browsing) -> None:
    assignment = ranking(session, browsing)
    browsing.post(
        f"{URL}/rank/answers", said(assignment, "123", "6000", "prompt:4500,comment:1500")
    )
    assert math.fsum(kept(session).values()) == pytest.approx(600, abs=30)
    changed = said(assignment, "321", "500", "prompt:500")
    browsing.post(f"{URL}/rank/answers/{assignment.id}", changed)
    session.refresh(assignment)
    assert assignment.revision == 2
    assert assignment.seconds == pytest.approx(600, abs=60)
    assert math.fsum(kept(session).values()) <= (assignment.seconds or 0.0) + 0.01


@pytest.mark.parametrize(
    "times",
    [
        "prompt:90",
        "prompt:1,prompt:1",
        "prompt:-1",
        "flag:1",
        "completion:1",
        f"text.{uuid.UUID(int=1)}:1",
        f"completion.{uuid.UUID(int=1)}:1",
        "prompt:nan",
    ],
)
def test_times_that_no_page_sends_are_refused_whole(
    session: Session, browsing: Browsing, times: str
) -> None:
    assignment = ranking(session, browsing)
    new = said(assignment, "123", "50", times)
    assert browsing.post(f"{URL}/rank/answers", new).status_code == 422
    assert kept(session) == {}
    assert session.scalar(select(func.count()).select_from(Comparison)) == 0


def test_the_database_refuses_a_part_that_no_page_has(session: Session, browsing: Browsing) -> None:
    assignment = ranking(session, browsing)
    shown = assignment.shown[0]
    for control, completion_id, seconds in (
        (PromptControl.PROMPT, shown, 1.0),
        (PromptControl.COMPLETION, None, 1.0),
        (PromptControl.TEXT, None, -1.0),
    ):
        row = PromptControlTime(
            assignment_id=assignment.id,
            control=control,
            completion_id=completion_id,
            seconds=seconds,
        )
        session.add(row)
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()


def test_admins_see_the_parts_of_every_kind_beside_the_price(
    session: Session, browsing: Browsing
) -> None:
    assignment = ranking(session, browsing)
    one, other, _ = assignment.shown
    times = f"prompt:10,completion.{one}:20,completion.{other}:10"
    browsing.post(f"{URL}/rank/answers", said(assignment, "123", "50", times))
    ada = make_person(session, "ada")
    join(session, session.get_one(Project, assignment.project_id), ada, Role.ADMIN)
    session.commit()
    browsing.sign_in(ada)
    page = browsing.get("/projects/garden/agree/cost").text
    assert "Rankings, ratings and demonstrations" in page
    table = browsing.get("/api/v1/projects/garden/agreement/cost/kinds.csv").text
    rows = {row["part"]: row for row in csv.DictReader(io.StringIO(table))}
    assert float(rows["Reading the answers"]["seconds_each"]) == 30
    assert float(rows["Reading the answers"]["share_of_time"]) == pytest.approx(0.75)
    assert rows["Reading the answers"]["answers_timed"] == "1"
