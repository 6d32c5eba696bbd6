"""The queue's settings, in the browser of an admin or a researcher."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.tables.accounts import Person, Role
from app.tables.projects import Project
from tests.collect.worlds import make_world
from tests.support import Browsing, join, make_person

FORM = {
    "uniform_share": "30", "overlap_share": "15", "gold_share": "5", "retest_share": "3",
    "audit_share": "2.5%", "overlap_answers": "3", "retest_days": "7", "kept_policies": "2",
    "languages": "English, de", "most_a_day": "300", "most_in_total": "", "most_share": "12.5",
}  # fmt: skip


@pytest.fixture
def project(session: Session) -> Project:
    project, _ = make_world(session, "alice")
    rita = make_person(session, "rita")
    join(session, project, rita, Role.RESEARCHER)
    join(session, project, make_person(session, "olive"), Role.ADMIN)
    session.commit()
    return project


def by_name(session: Session, name: str) -> Person:
    return session.scalars(select(Person).where(Person.name == name)).one()


def test_shares_and_limits_are_saved_and_shown(
    browsing: Browsing, session: Session, project: Project
) -> None:
    rita = browsing.sign_in(by_name(session, "rita"))
    url = f"/projects/{project.slug}/queue"
    assert rita.post(url, FORM).status_code == 303
    session.expire_all()
    assert (project.uniform_share, project.overlap_share, project.audit_share) == (0.3, 0.15, 0.025)
    assert (project.languages, project.most_a_day, project.most_in_total) == (
        ["de", "en"],
        300,
        None,
    )
    assert project.most_share == 0.125
    page = rita.get(url).text
    assert "44.5% as saved" in page
    assert 'value="12.5"' in page
    assert 'value="English, German"' in page


def test_what_cannot_be_is_refused_in_words_beside_its_field(
    browsing: Browsing, session: Session, project: Project
) -> None:
    rita = browsing.sign_in(by_name(session, "rita"))
    for field, typed, said in (
        ("uniform_share", "20", "At least 25% are drawn at random"),
        ("gold_share", "60", "The shares add up to 110.5%"),
        ("gold_share", "nan", "Write a number from 0 to 100."),
        ("retest_days", "7.5", "Write a whole number from 0 to 365."),
        ("overlap_answers", "", "Write a whole number from 2 to 20."),
        ("most_a_day", "0", "Write a whole number from 1 to 10,000,000."),
        ("most_share", "0", "Leave it empty for no limit"),
        ("languages", "Elvish", "“Elvish” is not a language"),
    ):
        refused = rita.post(f"/projects/{project.slug}/queue", {**FORM, field: typed})
        assert refused.status_code == 422
        assert said in refused.text
    session.expire_all()
    assert project.uniform_share == 0.25


def test_admins_ask_for_qualifications_and_researchers_read_them(
    browsing: Browsing, session: Session, project: Project
) -> None:
    url = f"/projects/{project.slug}/queue"
    olive = browsing.sign_in(by_name(session, "olive"))
    assert olive.post(f"{url}/qualifications", {"name": "Training"}).status_code == 303
    again = olive.post(f"{url}/qualifications", {"name": "training"})
    assert again.status_code == 422
    assert "of that name" in again.text
    page = olive.get(url).text
    assert "held by 0" in page
    number = page.split("/queue/qualifications/")[1][:36]
    olive.post(f"{url}/qualifications/{number}")
    assert "not asked for" in olive.get(url).text
    rita = browsing.sign_in(by_name(session, "rita"))
    assert "Training" in rita.get(url).text
    assert rita.post(f"{url}/qualifications", {"name": "x"}).status_code == 403


def test_annotators_have_no_business_here(
    browsing: Browsing, session: Session, project: Project
) -> None:
    alice = browsing.sign_in(by_name(session, "alice"))
    assert alice.get(f"/projects/{project.slug}/queue").status_code == 403
