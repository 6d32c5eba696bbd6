"""The pages of agreement over plain HTTP: figures with n and intervals, filters, CSV, and gaps."""

import csv
import io
import re
from datetime import date

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agree.answers import Answers
from app.agree.charts import week_chart
from app.agree.reading import figures
from app.agree.service import Cut
from app.projects.service import add_guideline_version
from app.tables.accounts import Person, Role
from app.tables.collect import Comparison
from app.tables.projects import Project
from benchmarks.people import world
from tests.agree.world_in_tables import answer_twice, write_answers
from tests.collect.worlds import make_world
from tests.support import Browsing, join, make_person, make_project

URL, API = "/projects/garden/agree", "/api/v1/projects/garden/agreement"


def words(page: str) -> str:
    """What a reader sees, with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@pytest.fixture
def project(session: Session, browsing: Browsing) -> Project:
    """A project whose admin is signed in."""
    project = make_project(session)
    admin = make_person(session, "ada")
    join(session, project, admin, Role.ADMIN)
    session.commit()
    browsing.sign_in(admin)
    return project


def fill(
    session: Session, project: Project, answers: Answers | None = None
) -> tuple[list[Person], list[str]]:
    """Twelve people's answers under two guideline versions; the people and the versions' ids."""
    ids = [
        add_guideline_version(session, project, markdown=f"V{k}", created_by=None).id
        for k in (1, 2)
    ]
    people, _ = write_answers(
        session, project, answers or world(1, 30, n_people=12).answers, version_ids=ids
    )
    session.commit()
    return people, [str(one) for one in ids]


def test_a_new_project_says_undefined_and_what_is_needed_not_zero(
    browsing: Browsing, project: Project
) -> None:
    page = words(browsing.get(URL).text)
    assert "No pair has two answers yet, so there is no agreement to measure." in page
    assert page.count("undefined") >= 6
    assert "0.00" not in page
    assert browsing.get(API).json()["alpha"] is None
    assert "Two people have to answer first; so far 0 did." in browsing.get(f"{URL}/two").text


def test_the_page_shows_every_figure_with_its_interval_and_the_published_band(
    browsing: Browsing, project: Project, session: Session
) -> None:
    fill(session, project)
    page, found = browsing.get(URL).text, browsing.get(API).json()
    assert found["alpha_wide_low"] < found["alpha_low"] < found["alpha"] < found["alpha_high"]
    assert f"{found['alpha']:.2f}" in page
    assert f"{found['alpha_low']:.2f} to {found['alpha_high']:.2f}" in page
    assert f"{found['alpha_wide_low']:.2f} to {found['alpha_wide_high']:.2f}" in page
    for said in ("published: 0.63", "published: 0.77", "Krippendorff", "same side", "120"):
        assert said in page
    assert (found["n_pairs"], found["n_ratings"]) == (120, 360)


def test_filters_narrow_the_figures_and_the_csv_beside_each_table_holds_the_same(
    browsing: Browsing, project: Project, session: Session
) -> None:
    _, ids = fill(session, project)
    whole = browsing.get(API).json()["n_ratings"]
    parts = [browsing.get(f"{API}?version={one}").json()["n_ratings"] for one in ids]
    assert sum(parts) == whole
    assert min(parts) > 0
    page = browsing.get(f"{URL}?version={ids[0]}").text
    assert f"/weeks.csv?version={ids[0]}" in page
    rows = list(csv.DictReader(io.StringIO(browsing.get(f"{API}/versions.csv").text)))
    assert [row["version"] for row in rows] == ["Version 1", "Version 2"]
    assert [int(row["n_ratings"]) for row in rows] == parts
    weeks = csv.DictReader(io.StringIO(browsing.get(f"{API}/weeks.csv?since=2000-01-01").text))
    assert sum(int(row["n_ratings"]) for row in weeks) == whole
    refused = browsing.get(f"{URL}?since=yesterday")
    assert refused.status_code == 422
    assert "year-month-day" in refused.text


def test_two_named_people_are_compared_and_retests_set_everyone_against_themselves(
    browsing: Browsing, project: Project, session: Session
) -> None:
    people, _ = fill(session, project)
    first = session.scalars(
        select(Comparison).where(Comparison.annotator_id == people[2].id).limit(1)
    ).one()
    answer_twice(session, first, 9 - first.rating)
    session.commit()
    page = words(browsing.get(f"{URL}/two?one={people[0].id}&other={people[1].id}").text)
    assert "Weighted kappa" in page
    assert "Below 20 these figures are mostly chance." in page
    assert f"{people[2].name} 0.00 0.00 to 0.79" in page
    same = browsing.get(f"{URL}/two?one={people[0].id}&other={people[0].id}").text
    assert "Choose two different people." in same


def test_annotators_and_strangers_see_none_of_it(browsing: Browsing, session: Session) -> None:
    _, (alice,) = make_world(session, "alice")
    browsing.sign_in(alice)
    assert browsing.get(URL).status_code == 403
    assert browsing.get(f"{API}/weeks.csv").status_code == 403
    browsing.sign_in(make_person(session, "mallory"))
    assert browsing.get(URL).status_code == 404


def test_a_movement_from_week_to_week_says_when_chance_may_do_it() -> None:
    together, apart = np.eye(8, dtype=np.int64)[[0, 7]] * 2, np.array([[1, 0, 0, 0, 0, 0, 0, 1]])
    mixed = np.concatenate([together, apart])

    def chart(first: list[int], last: list[int]) -> str:
        cuts = [
            Cut("", figures(mixed, np.array(times), draws=100), week=date(2026, 3, 2 + 7 * k))
            for k, times in enumerate((first, last))
        ]
        return str(week_chart(cuts, "weeks.csv"))

    assert "in week 2, which chance may do" in chart([8, 8, 4], [8, 8, 5])
    moved = chart([60, 60, 5], [30, 30, 60])
    assert "in week 2" in moved
    assert "chance" not in moved


def test_a_handful_of_answers_is_no_dominant_side() -> None:
    one_side = np.array([[0, 2, 0, 0, 0, 0, 0, 0]])
    assert not figures(one_side, np.array([2]), draws=20).is_one_sided
    assert figures(one_side, np.array([10]), draws=20).is_one_sided
