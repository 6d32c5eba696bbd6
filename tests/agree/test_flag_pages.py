"""Agreement on flags as pages and CSV: filtered, and one flag over time."""

import csv
import io
import random

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.groups import add_group, groups_of, set_groups
from app.agree.alpha import Level
from app.agree.queries import versions_of
from app.agree.reading import flag_figures
from app.projects.service import add_guideline_version
from app.tables.accounts import Person, Role
from app.tables.collect import Comparison
from app.tables.projects import Flag, FlagKind, FlagScope, Project
from benchmarks.people import world
from tests.agree.world_in_tables import write_answers
from tests.datasets.support import answer_flag, make_flag
from tests.support import Browsing, join, make_person, make_project


def rows_of(browsing: Browsing, address: str) -> list[dict[str, str]]:
    found = browsing.client.get(f"/api/v1/projects/garden/agreement/{address}")
    assert found.status_code == 200
    return list(csv.DictReader(io.StringIO(found.text)))


@pytest.fixture
def garden(session: Session, browsing: Browsing) -> tuple[Project, Flag]:
    """Three people over six weeks; under the second version they agree on what is rude."""
    project, owner = make_project(session, "garden"), make_person(session, "olive")
    join(session, project, owner, Role.ADMIN)
    versions = [
        add_guideline_version(session, project, markdown=f"V{k}", created_by=owner.id).id
        for k in (1, 2)
    ]
    people, _ = write_answers(
        session, project, world(1, 60, n_people=3).answers, version_ids=versions, names=["alice"]
    )
    group = add_group(session, project, "Experts", by=None)
    set_groups(session, project, people[0], [group.id], by=None)
    rude = make_flag(session, project, "rude", scope=FlagScope.COMPARISON)
    make_flag(session, project, "hard", scope=FlagScope.PROMPT, kind=FlagKind.RATING_7, position=1)
    rng = random.Random(1)
    for one in session.scalars(select(Comparison).order_by(Comparison.created_at)):
        is_late = one.guideline_version_id == versions[1]
        answer_flag(session, one, rude, one.pair_id.bytes[0] % 2 if is_late else rng.randint(0, 1))
    session.commit()
    browsing.sign_in(owner)
    return project, rude


def test_flags_are_filtered_as_ratings_are_and_the_weeks_of_one_add_up_to_it(
    session: Session, browsing: Browsing, garden: tuple[Project, Flag]
) -> None:
    project, rude = garden
    whole, never = rows_of(browsing, "flags.csv")
    n = len(session.scalars(select(Comparison)).all())
    assert (whole["n_answers"], never["n_answers"], never["alpha"]) == (str(n), "0", "")
    weeks = rows_of(browsing, f"flag-weeks.csv?flag={rude.id}")
    assert len(weeks) >= 6
    assert sum(int(one["n_answers"]) for one in weeks) == n
    versions = [one.id for one in versions_of(session, project.id)]
    early, late = (rows_of(browsing, f"flags.csv?version={one}")[0] for one in versions)
    assert float(early["alpha"]) < 0.4
    assert float(late["alpha"]) == pytest.approx(1.0)
    assert int(early["n_answers"]) + int(late["n_answers"]) == n
    since = weeks[3]["week"]
    later = rows_of(browsing, f"flags.csv?since={since}")[0]
    assert int(later["n_answers"]) == sum(int(one["n_answers"]) for one in weeks[3:])


def test_the_page_draws_one_flag_over_time_and_says_what_is_missing(
    session: Session, browsing: Browsing, garden: tuple[Project, Flag]
) -> None:
    project, rude = garden
    page = browsing.client.get("/projects/garden/agree/flags")
    assert page.status_code == 200
    assert f"{rude.label} over time" in page.text
    assert page.text.count("<svg") >= 4  # two charts, each wide and narrow
    assert f"flag-weeks.csv?flag={rude.id}" in page.text
    other = session.scalars(select(Flag).where(Flag.key == "hard")).one()
    assert "Nobody has answered this flag yet." in (
        browsing.client.get(f"/projects/garden/agree/flags?flag={other.id}").text
    )
    assert browsing.client.get(f"/projects/garden/agree/flags?flag={project.id}").status_code == 404
    assert browsing.client.get("/projects/garden/agree/flags?flag=no").status_code == 422


def test_of_a_group_only_the_answers_of_its_people_to_flags_are_read(
    session: Session, browsing: Browsing, garden: tuple[Project, Flag]
) -> None:
    project, _ = garden
    group = groups_of(session, project.id)[0][0]
    row = rows_of(browsing, f"flags.csv?group={group.id}")[0]
    alice = session.scalars(select(Person).where(Person.name == "alice")).one()
    mine = session.scalars(select(Comparison).where(Comparison.annotator_id == alice.id)).all()
    assert (row["n_answers"], row["n_shared"], row["alpha"]) == (str(len(mine)), "0", "")


def test_the_interval_of_a_share_holds_it_and_narrows_with_what_was_judged() -> None:
    counts, values = np.array([[3, 0], [1, 2], [0, 3]]), np.array([0.0, 1.0])
    few, many = (
        flag_figures(counts, np.array([8, 4, 8]) * k, Level.NOMINAL, values) for k in (1, 100)
    )
    for one in (few, many):
        assert one.share is not None
        assert one.share_range.low is not None
        assert one.share_range.high is not None
        assert one.share_range.low < one.share < one.share_range.high
        assert one.alpha_range.low is not None
    assert many.share_range.high - many.share_range.low < 0.06  # type: ignore[operator]
