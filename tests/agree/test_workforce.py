"""The workforce and each person's page: evidence apart, decisions by people, the same numbers."""

import csv
import io

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agree.person import portrait
from app.agree.workforce import survey
from app.datasets.service import export_lines, freeze
from app.tables.accounts import AuditEvent, Membership, Person, Role
from app.tables.collect import Comparison
from app.tables.projects import Project
from benchmarks.people import world
from tests.agree.test_pages import words
from tests.agree.world_in_tables import write_answers
from tests.support import Browsing, join, make_person, make_project

URL = "/projects/garden/agree"


@pytest.fixture
def admin(session: Session) -> Person:
    return make_person(session, "ada")


@pytest.fixture
def project(session: Session, browsing: Browsing, admin: Person) -> Project:
    project = make_project(session)
    join(session, project, admin, Role.ADMIN)
    session.commit()
    browsing.sign_in(admin)
    return project


def fill(session: Session, project: Project, n_each: int = 60) -> list[Person]:
    """Twelve people, the first of whom always gives one and the same rating."""
    people, _ = write_answers(
        session, project, world(1, n_each, ("straight",), n_people=12).answers
    )
    session.commit()
    return people


def test_a_straight_liner_is_found_by_evidence_of_its_own_kind_and_nobody_else(
    session: Session, project: Project
) -> None:
    people = fill(session, project)
    found = survey(session, project)
    flagged = {row.person.id: {one.kind.value for one in row.findings} for row in found.rows}
    assert {"sameness", "agreement"} <= flagged[people[0].id]
    assert [who for who, kinds in flagged.items() if kinds] == [people[0].id]
    assert found.rows[0].person.id == people[0].id
    assert (found.n, found.is_all) == (720, True)
    assert found.biases.position is not None
    assert found.biases.length is not None


def test_the_page_says_how_many_answers_it_rests_on_and_what_goes_unseen(
    session: Session, project: Project, browsing: Browsing
) -> None:
    people = fill(session, project)
    page = words(browsing.get(f"{URL}/workforce").text)
    assert "12 people, all 720 answers" in page
    assert "Nobody is excluded by it" in page
    one = words(browsing.get(f"{URL}/workforce/{people[0].id}").text)
    assert "Gave one and the same rating in 60 of 60 answers" in one
    assert "would be flagged about" in one
    table = browsing.get("/api/v1/projects/garden/agreement/workforce.csv").text
    rows = list(csv.DictReader(io.StringIO(table)))
    assert {row["person"]: row["is_sameness_flagged"] for row in rows}[people[0].name] == "True"


def test_few_answers_say_how_many_are_needed_and_no_figure(
    session: Session, project: Project, browsing: Browsing
) -> None:
    people = fill(session, project, n_each=6)
    assert "needs 20 shared answers, has 6" in words(browsing.get(f"{URL}/workforce").text)
    browsing.sign_in(people[3])
    page = words(browsing.get(f"{URL}/mine").text)
    assert "needs 20 overlapping answers, has" in page
    assert "Reliability" not in page
    assert "Correlation with the others" not in page


def test_an_exclusion_has_a_reason_leaves_answers_out_of_the_next_set_and_can_be_undone(
    session: Session, project: Project, browsing: Browsing
) -> None:
    people = fill(session, project, n_each=20)
    url = f"{URL}/workforce/{people[0].id}"
    assert browsing.post(f"{url}/exclude", {"reason": "  "}).status_code == 422
    said = browsing.post(f"{url}/exclude", {"reason": "The same cell 20 times."})
    assert said.status_code == 303
    assert browsing.post(f"{url}/exclude", {"reason": "Again."}).status_code == 409
    without = freeze(session, project)
    assert without.n_comparisons == 220
    assert without.n_annotators == 11
    session.commit()
    assert browsing.get("/api/v1/projects/garden/agreement").json()["n_ratings"] == 220
    browsing.post(f"{url}/lift", {"reason": "It was a broken keyboard."})
    session.expire_all()
    assert freeze(session, project).n_comparisons == 240
    assert len(list(export_lines(session, without))) == 220
    events = session.scalars(select(AuditEvent).where(AuditEvent.action.like("answers.%"))).all()
    assert [(one.action, one.detail["reason"]) for one in events] == [
        ("answers.excluded", "The same cell 20 times."),
        ("answers.included_again", "It was a broken keyboard."),
    ]


def test_the_person_reads_the_same_numbers_the_notes_and_the_reasons(
    session: Session, project: Project, browsing: Browsing, admin: Person
) -> None:
    people = fill(session, project)
    url = f"{URL}/workforce/{people[4].id}"
    browsing.post(f"{url}/note", {"reason": "Careful <b>work</b>."})
    browsing.post(f"{url}/pause", {"reason": "Until the guidelines are clear."})
    paused = select(Membership.is_paused).where(Membership.person_id == people[4].id)
    assert session.scalar(paused) is True
    by_admin = browsing.get(url).text
    browsing.sign_in(people[4])
    own = browsing.get(f"{URL}/mine").text
    assert "Careful &lt;b&gt;work&lt;/b&gt;." in own
    assert "Paused: Until the guidelines are clear. ada" in words(own)

    def figures(page: str) -> str:
        return words(page[page.index('aria-label="The figures"') : page.index('id="evidence-h"')])

    assert figures(own) == figures(by_admin)
    assert "/collect/answers/" in own
    assert "look into" not in own
    assert browsing.get(f"{URL}/workforce/{people[5].id}").status_code == 403
    assert browsing.post(f"{url}/resume", {"reason": "Please."}).status_code == 403
    assert browsing.get(f"{URL}/workforce").status_code == 403


def test_a_page_shows_whether_firmer_ratings_hold_more_often_and_where_one_differs(
    session: Session, project: Project, browsing: Browsing
) -> None:
    people = fill(session, project)
    firm = portrait(session, project, people[4]).firm
    assert [one.name[:5] for one in firm] == ["close", "bette", "clear", "far b"]
    assert firm[3].share is not None
    assert firm[0].share is not None
    assert firm[3].share > firm[0].share
    assert sum(one.n for one in firm) == portrait(session, project, people[4]).n_shared
    csv_url = f"/api/v1/projects/garden/agreement/people/{people[4].id}"
    by_admin = browsing.get(f"{URL}/workforce/{people[4].id}").text
    assert f"{csv_url}/history.csv" in by_admin
    assert "/agree/verdicts/" in by_admin
    browsing.sign_in(people[4])
    own = browsing.get(f"{URL}/mine").text
    assert "of the least firm answers and with" in own
    assert "Firmness" in own
    assert "how should I water ferns?" in own
    table = list(csv.DictReader(io.StringIO(browsing.get(f"{csv_url}/firm.csv").text)))
    assert [float(row["n"]) for row in table] == [one.n for one in firm]
    assert browsing.get(f"{csv_url}/differences.csv").status_code == 200
    assert browsing.get(f"{csv_url}/secrets.csv").status_code == 404
    browsing.sign_in(people[5])
    assert browsing.get(f"{csv_url}/firm.csv").status_code == 403


def test_a_difference_stands_in_the_order_that_the_person_saw(
    session: Session, project: Project
) -> None:
    people = fill(session, project)
    said = {
        one.id: 9 - one.rating if one.is_flipped else one.rating
        for one in session.scalars(
            select(Comparison).where(Comparison.annotator_id == people[4].id)
        )
    }
    found = portrait(session, project, people[4]).differences
    assert {one.comparison_id: one.rating for one in found} == {
        one.comparison_id: said[one.comparison_id] for one in found
    }
    assert all((one.rating > 4.5) != (one.rest > 4.5) for one in found if one.n_others == 1)
