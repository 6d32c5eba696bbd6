"""Verdicts on pages: the diverging first, noisy kept apart, and answers that name nobody."""

import csv
import io

import numpy as np
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.agree.opinions import Show, every_verdict, list_verdicts
from app.tables.accounts import Person, Role
from app.tables.collect import Comparison
from app.tables.projects import Project
from benchmarks.people import world
from tests.agree.test_pages import words
from tests.agree.world_in_tables import write_answers
from tests.support import Browsing, join, make_person, make_project

URL = "/projects/garden/agree/verdicts"


@pytest.fixture
def project(session: Session, browsing: Browsing) -> Project:
    project = make_project(session)
    staff = make_person(session, "rita")
    join(session, project, staff, Role.RESEARCHER)
    session.commit()
    browsing.sign_in(staff)
    return project


def fill(session: Session, project: Project) -> tuple[list[Person], set[object]]:
    """Answers to pairs a quarter of which divide people; those pairs' ids."""
    drawn = world(4, 60, n_people=12, overlap=6, diverging=0.25)
    people, pairs = write_answers(session, project, drawn.answers)
    session.commit()
    return people, {pairs[k] for k in np.flatnonzero(drawn.is_diverging)}


def test_diverging_pairs_come_first_and_most_of_them_truly_divide_people(
    session: Session, project: Project
) -> None:
    _, dividing = fill(session, project)
    every, is_all = every_verdict(session, project)
    kinds = [(one.is_diverging, one.is_noisy) for one in every]
    assert is_all
    assert (True, True) not in kinds
    assert kinds == sorted(kinds, reverse=True)
    found = [one.pair_id in dividing for one in every if one.is_diverging]
    assert np.mean(found) > 0.6
    assert all(sum(one.posterior) == pytest.approx(1) for one in every)
    shown = list_verdicts(session, project, Show.DIVERGING, 0)
    assert shown.n_shown == len(found) == shown.n_diverging


def test_the_pages_show_the_posterior_and_the_answers_and_name_nobody(
    session: Session, project: Project, browsing: Browsing
) -> None:
    people, _ = fill(session, project)
    page = browsing.get(URL)
    assert "diverging" in page.text
    first = every_verdict(session, project)[0][0]
    session.execute(
        update(Comparison).where(Comparison.pair_id == first.pair_id).values(comment="<i>Hm.</i>")
    )
    session.commit()
    pair = browsing.get(f"{URL}/{first.pair_id}").text
    assert "The next person who reads prefers A with a chance of" in pair
    assert words(pair).count("Someone:") == 6
    assert "&lt;i&gt;Hm.&lt;/i&gt;" in pair
    assert not any(f">{one.name}<" in pair or str(one.id) in pair for one in people)
    table = browsing.get("/api/v1/projects/garden/agreement/verdicts.csv").text
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows[0]["pair_id"] == str(first.pair_id)
    assert float(rows[0]["p8"]) == pytest.approx(first.posterior[7])


def test_one_answer_gives_no_verdict_and_another_projects_pair_no_page(
    session: Session, project: Project, browsing: Browsing
) -> None:
    assert "No pair has two answers yet" in browsing.get(URL).text
    write_answers(session, project, world(1, 4, n_people=4, overlap=1).answers)
    other = make_project(session, "orchard")
    _, foreign = write_answers(
        session, other, world(1, 4, n_people=3).answers, names=("x", "y", "z")
    )
    session.commit()
    mine = session.scalars(
        select(Comparison.pair_id).where(Comparison.project_id == project.id)
    ).first()
    said = browsing.get(f"{URL}/{mine}").text
    assert "Undefined: a verdict needs two answers, this pair has 1." in said
    assert browsing.get(f"{URL}/{foreign[0]}").status_code == 404
    table = "/api/v1/projects/{}/agreement/verdicts/{}.csv"
    assert browsing.get(table.format("garden", mine)).text.split() == ["rating,chance"]
    assert browsing.get(table.format("garden", foreign[0])).status_code == 404
