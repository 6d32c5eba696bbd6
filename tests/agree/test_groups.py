"""Groups of people: who is in which, and what is read and written by group."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.groups import add_group, groups_by_person, groups_of, set_groups
from app.agree.patterns import Filter
from app.agree.service import by_group, compare_groups, overview
from app.datasets.queries import groups_by_pseudonym
from app.datasets.service import freeze
from app.errors import Conflict, Invalid, NotFound
from app.tables.accounts import AuditEvent, Person, Role
from app.tables.groups import PersonGroup
from app.tables.home import Message
from app.tables.projects import Project
from tests.datasets.support import add_pairs, answer
from tests.support import Browsing, join, make_person, make_project


@pytest.fixture
def world(session: Session) -> tuple[Project, list[Person], PersonGroup]:
    """Experts alice and bob agree on all of twelve pairs; carol chooses the other side."""
    project = make_project(session)
    people = [make_person(session, name) for name in ("alice", "bob", "carol")]
    for person in people:
        join(session, project, person, Role.ANNOTATOR)
    experts = add_group(session, project, "Experts", by=None)
    for person in people[:2]:
        set_groups(session, project, person, [experts.id], by=None)
    for number, pair in enumerate(add_pairs(session, project, 12)):
        rating = 2 if number % 2 else 7
        answer(session, pair, people[0], rating)
        answer(session, pair, people[1], rating)
        answer(session, pair, people[2], 9 - rating)
    session.commit()
    return project, people, experts


def test_agreement_is_read_by_group_with_the_weeks_and_versions_of_it(
    session: Session, world: tuple[Project, list[Person], PersonGroup]
) -> None:
    project, _, experts = world
    found = overview(session, project, Filter(group=experts.id))
    assert found.whole.reading.n_ratings == 24
    assert found.whole.reading.raw_side_agreement == 1.0
    assert [one.figures.reading.n_ratings for one in found.weeks] == [24]
    assert found.wide.low is None
    every, expert = by_group(session, project)
    assert (every.name, expert.name) == ("Everyone", "Experts")
    assert every.figures.reading.raw_side_agreement == pytest.approx(1 / 3)
    assert expert.figures.reading.alpha == pytest.approx(1.0)
    foreign = add_group(session, make_project(session, "aside"), "Experts", by=None)
    assert overview(session, project, Filter(group=foreign.id)).whole.reading.n_ratings == 0


def test_a_group_reads_the_same_as_the_streamed_state_where_everyone_is_in_it(
    session: Session, world: tuple[Project, list[Person], PersonGroup]
) -> None:
    project, people, experts = world
    set_groups(session, project, people[2], [experts.id], by=None)
    mine, every = (
        overview(session, project, Filter(group=one)).whole for one in (experts.id, None)
    )
    assert mine.reading.alpha == pytest.approx(every.reading.alpha, abs=1e-9)
    assert mine.raw_range == every.raw_range


def test_a_set_names_the_groups_of_each_annotator_by_the_name_in_its_lines(
    session: Session, world: tuple[Project, list[Person], PersonGroup]
) -> None:
    project, people, experts = world
    crowd = add_group(session, project, "Crowd A", by=None)
    set_groups(session, project, people[0], [experts.id, crowd.id], by=None)
    frozen = freeze(session, project)
    named = sorted(groups_by_pseudonym(session, frozen.id).values())
    assert named == [[], ["Crowd A", "Experts"], ["Experts"]]
    assert [one.name for one in groups_by_person(session, project.id)[people[0].id]] == [
        "Crowd A",
        "Experts",
    ]


def test_names_are_one_a_project_and_every_change_stands_in_the_trail(
    session: Session, world: tuple[Project, list[Person], PersonGroup]
) -> None:
    project, people, experts = world
    with pytest.raises(Conflict, match="of that name"):
        add_group(session, project, " experts ", by=None)
    with pytest.raises(Invalid, match="1 to 60"):
        add_group(session, project, " ", by=None)
    foreign = add_group(session, make_project(session, "aside"), "Others", by=None)
    with pytest.raises(NotFound):
        set_groups(session, project, people[0], [foreign.id], by=None)
    set_groups(session, project, people[0], [], by=people[2].id)
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    assert (event.action, event.subject) == ("group.people_changed", "Experts")
    assert event.detail == {"added": [], "removed": ["alice"]}
    assert [n for _, n in groups_of(session, project.id)] == [1]
    assert experts.name == "Experts"


def test_an_admin_makes_fills_renames_reads_and_deletes_a_group_on_the_pages(
    session: Session, browsing: Browsing, world: tuple[Project, list[Person], PersonGroup]
) -> None:
    project, people, experts = world
    ada = make_person(session, "ada")
    join(session, project, ada, Role.ADMIN)
    session.commit()
    browsing.sign_in(ada)
    url = "/projects/garden/people/groups"
    assert browsing.post(url, {"name": "Experts"}).status_code == 409
    assert browsing.post(url, {"name": "Crowd"}).status_code == 303
    ids = [str(one.id) for one in people[1:]]
    changed = {"name": "Old hands", "people": ids}
    assert browsing.post(f"{url}/{experts.id}", changed).status_code == 303
    page = browsing.get(f"/projects/garden/people?group={experts.id}").text
    assert "carol" in page
    assert "alice@example.org" not in page
    page = browsing.get(f"/projects/garden/agree/workforce?group={experts.id}").text
    assert ">carol</a>" in page
    assert ">alice</a>" not in page
    assert "Old hands" in browsing.get(f"/projects/garden/agree?group={experts.id}").text
    stranger = "/projects/garden/agree?group=00000000-0000-0000-0000-000000000009"
    assert browsing.get(stranger).status_code == 404
    asked = {"groups": [str(experts.id)]}
    person = f"/projects/garden/people/{people[0].id}/groups"
    assert browsing.post(person, asked).status_code == 303
    assert "Old hands" in browsing.get(f"/projects/garden/agree/workforce/{people[0].id}").text
    assert browsing.post(f"{url}/{experts.id}/delete").status_code == 303
    assert f"group-{experts.id}" not in browsing.get(url).text
    browsing.sign_in(people[0])
    assert browsing.get(url).status_code == 403


def test_staff_write_to_a_group_or_to_all_annotators_at_once(
    session: Session, browsing: Browsing, world: tuple[Project, list[Person], PersonGroup]
) -> None:
    project, people, experts = world
    rita = make_person(session, "rita")
    join(session, project, rita, Role.RESEARCHER)
    session.commit()
    browsing.sign_in(rita)
    new = "/projects/garden/messages/new"
    page = browsing.get(f"{new}?group={experts.id}").text
    assert str(people[0].id) in page
    assert str(people[2].id) not in page
    page = browsing.get(f"{new}?to_all=annotators").text
    assert all(str(one.id) in page for one in people)
    sent = {"to": [str(one.id) for one in people], "body": "Thank you all."}
    assert browsing.post("/projects/garden/messages", sent).status_code == 303
    session.expire_all()
    assert len(session.scalars(select(Message)).all()) == 3


def test_two_groups_are_set_against_each_other_without_those_in_both(
    session: Session, browsing: Browsing, world: tuple[Project, list[Person], PersonGroup]
) -> None:
    project, people, experts = world
    crowd = add_group(session, project, "Crowd", by=None)
    set_groups(session, project, people[2], [crowd.id], by=None)
    found = compare_groups(session, project, experts, crowd).found
    assert (found.n, found.same_side) == (12, 0.0)
    assert found.kappa == pytest.approx(-1.0)
    # Bob is in both now: what remains is alice with carol, on the same pairs.
    set_groups(session, project, people[1], [experts.id, crowd.id], by=None)
    assert compare_groups(session, project, experts, crowd).found == found
    set_groups(session, project, people[2], [experts.id, crowd.id], by=None)
    assert compare_groups(session, project, experts, crowd).found.n == 0
    set_groups(session, project, people[2], [crowd.id], by=None)
    admin = make_person(session, "ada")
    join(session, project, admin, Role.ADMIN)
    session.commit()
    page = browsing.sign_in(admin).get("/projects/garden/agree/groups").text
    assert "Crowd with Experts <b>0%</b>" in page
    url = f"/api/v1/projects/garden/agreement/two-groups.csv?one={experts.id}&other={crowd.id}"
    assert "Experts,Crowd,12,-1.0" in browsing.get(url).text
