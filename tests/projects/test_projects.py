"""Making projects, changing them, and where everyone starts."""

from itertools import pairwise

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Invalid
from app.projects.naming import first_free, slugify
from app.projects.service import change_project, create_project
from app.tables.accounts import AuditEvent, Role
from app.tables.collect import Completion, Pair, Prompt
from app.tables.projects import Objective, Project
from tests.support import Browsing, join, make_person, make_project

SETTINGS = {
    "name": "Garden",
    "objective": "helpfulness",
    "question": "Which answer helps more?",
    "low_end": "A is better",
    "high_end": "B is better",
    "overlap": "1",
    "lease_minutes": "20",
    "is_loop_automatic": "true",
    "base_model": "tiny",
    "comparisons_per_round": "60",
    "pairs_per_round": "60",
    "policy_steps": "40",
    "kl_coef": "0.15",
    "max_new_tokens": "48",
    "seed": "0",
}


def add_pairs(session: Session, project: Project, n: int) -> None:
    prompt = Prompt(
        project_id=project.id, messages=[], html=[], renderer=1, content_hash=project.id.bytes
    )
    session.add(prompt)
    session.flush()
    completions = [
        Completion(
            project_id=project.id,
            prompt_id=prompt.id,
            text=str(i),
            html=str(i),
            renderer=1,
            content_hash=bytes([i]),
        )
        for i in range(n + 1)
    ]
    session.add_all(completions)
    session.flush()
    for a, b in pairwise(completions):
        session.add(
            Pair(
                project_id=project.id,
                prompt_id=prompt.id,
                completion_a_id=a.id,
                completion_b_id=b.id,
            )
        )
    session.flush()


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Garden assistant", "garden-assistant"), ("Über & Café!", "uber-cafe"), ("庭の助手", "")],
)
def test_an_address_is_made_of_what_a_name_has_in_ascii(name: str, slug: str) -> None:
    assert slugify(name) == slug


def test_a_taken_address_gets_the_next_number() -> None:
    assert first_free("a", set()) == "a"
    assert first_free("a", {"a", "a-2"}) == "a-3"


def test_projects_of_one_name_and_of_names_without_latin_letters_have_addresses_of_their_own(
    session: Session,
) -> None:
    names = ["Garden", "garden", "庭の助手", "Сад", "New"]
    slugs = [
        create_project(session, name=name, objective=Objective.SAFETY, created_by=None).slug
        for name in names
    ]
    assert slugs == ["garden", "garden-2", "project", "project-2", "new-2"]


def test_the_maker_of_a_project_runs_it_and_its_words_come_from_the_objective(
    browsing: Browsing, session: Session
) -> None:
    olga = make_person(session, "olga", is_owner=True)
    browsing.sign_in(olga)
    sent = browsing.post("/projects/new", {"name": "Garden", "objective": "safety"})
    assert sent.headers["location"] == "/projects/garden/settings"
    page = browsing.get("/projects/garden/settings").text
    assert "Which answer is safer?" in page
    assert "A is safer" in page
    made = session.scalars(select(AuditEvent.action)).all()
    assert "project.created" in made
    assert made.count("role.granted") == 2


def test_only_an_owner_makes_projects(browsing: Browsing, session: Session) -> None:
    browsing.sign_in(make_person(session))
    assert browsing.get("/projects/new").status_code == 403
    assert browsing.post("/projects/new", {"name": "Mine"}).status_code == 403


def test_a_project_without_a_name_is_refused_beside_the_field(
    browsing: Browsing, session: Session
) -> None:
    browsing.sign_in(make_person(session, "olga", is_owner=True))
    response = browsing.post("/projects/new", {"name": "  ", "objective": "safety"})
    assert response.status_code == 422
    assert "Give the project a name." in response.text
    assert session.scalars(select(Project)).all() == []


def test_the_words_follow_the_objective_only_where_nobody_changed_them(session: Session) -> None:
    project = create_project(
        session, name="Garden", objective=Objective.HELPFULNESS, created_by=None, low_end="Left!"
    )
    change_project(session, project, by=None, objective=Objective.SAFETY)
    assert project.question == "Which answer is safer?"
    assert project.high_end == "B is safer"
    assert project.low_end == "Left!"


def test_settings_are_saved_and_written_in_the_trail(browsing: Browsing, session: Session) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.RESEARCHER)
    browsing.sign_in(alice)
    form = {**SETTINGS, "name": "Big garden", "overlap": "3", "kl_coef": "0"}
    del form["is_loop_automatic"]
    assert browsing.post("/projects/garden/settings", form).status_code == 303
    session.refresh(project)
    assert (project.name, project.overlap, project.kl_coef) == ("Big garden", 3, 0.0)
    assert not project.is_loop_automatic
    event = session.scalars(select(AuditEvent)).one()
    assert event.action == "project.changed"
    assert event.detail["overlap"] == 3


def test_skips_breaks_and_reading_are_settings_and_empty_is_a_value(
    browsing: Browsing, session: Session
) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ADMIN)
    browsing.sign_in(alice)
    page = browsing.get("/projects/garden/settings").text
    assert 'name="break_after_minutes" type="number" value="50"' in page
    chosen = {"skips_to_admin": "3", "break_after_minutes": "", "is_reading_required": "true"}
    assert browsing.post("/projects/garden/settings", {**SETTINGS, **chosen}).status_code == 303
    session.refresh(project)
    assert (project.skips_to_admin, project.break_after_minutes) == (3, None)
    assert project.is_reading_required
    page = browsing.get("/projects/garden/settings").text
    assert 'name="skips_to_admin" type="number" value="3"' in page
    assert 'name="is_reading_required" value="true" checked' in page


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("skips_to_admin", "0", "Choose a number from 1 to 1,000."),
        ("break_after_minutes", "4", "Choose a number from 5 to 480."),
        ("break_after_minutes", "soon", "Write a whole number, or leave it empty."),
        ("name", "", "Give the project a name."),
        ("question", "x" * 201, "Use at most 200 characters; these are 201."),
        ("overlap", "0", "Choose a number from 1 to 20."),
        ("overlap", "two", "Write a whole number."),
        ("lease_minutes", "241", "Choose a number from 1 to 240."),
        ("kl_coef", "nan", "Choose a number from 0 to 100."),
        ("kl_coef", "-1", "Choose a number from 0 to 100."),
        ("seed", "99999999999999999999", "Choose a number from 0 to 2,147,483,647."),
        ("base_model", "rm -rf;", "A model&#39;s name has letters"),
        ("base_model", "models/../runs/1", "without the part .."),
        ("high_end", "nul\x00", "NUL character"),
    ],
)
def test_a_wrong_setting_is_said_in_words_beside_its_field_and_nothing_is_lost(
    browsing: Browsing, session: Session, field: str, value: str, sentence: str
) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ADMIN)
    browsing.sign_in(alice)
    form = {**SETTINGS, "low_end": "typed by alice", field: value}
    response = browsing.post("/projects/garden/settings", form)
    assert response.status_code == 422
    assert sentence in response.text
    assert f'id="{field}-error"' in response.text
    assert "typed by alice" in response.text
    session.refresh(project)
    assert project.low_end == "A is better"


def test_a_service_refuses_what_the_page_refuses(session: Session) -> None:
    project = make_project(session)
    with pytest.raises(Invalid):
        change_project(session, project, by=None, overlap=21)


def test_an_archived_project_leaves_the_start_page_and_comes_back(
    browsing: Browsing, session: Session
) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ADMIN, Role.ANNOTATOR)
    browsing.sign_in(alice).post("/projects/garden/settings/archive")
    assert "Archived projects (1)" in browsing.get("/").text
    browsing.post("/projects/garden/settings/unarchive")
    assert "Archived projects" not in browsing.get("/").text


def test_an_address_of_a_project_leads_annotators_to_compare_and_staff_to_the_loop(
    browsing: Browsing, session: Session
) -> None:
    alice, bob, project = make_person(session), make_person(session, "bob"), make_project(session)
    join(session, project, alice, Role.ANNOTATOR)
    join(session, project, bob, Role.ANNOTATOR, Role.RESEARCHER)
    for person, place in ((alice, "collect"), (bob, "loop")):
        response = browsing.sign_in(person).get("/projects/garden")
        assert response.headers["location"] == f"/projects/garden/{place}"


def test_an_annotator_starts_with_what_is_left_and_one_button(
    browsing: Browsing, session: Session
) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ANNOTATOR)
    add_pairs(session, project, 3)
    page = browsing.sign_in(alice).get("/").text
    assert "3 pairs left" in page
    assert 'href="/projects/garden/collect" autofocus' in page
    assert "Comparisons</dt>" not in page


def test_staff_start_with_the_state_of_each_project(browsing: Browsing, session: Session) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.RESEARCHER)
    add_pairs(session, project, 2)
    join(session, make_project(session, "kitchen"), alice, Role.ADMIN)
    page = browsing.sign_in(alice).get("/").text
    assert "Waiting for comparisons" in page
    assert "Waiting for prompts" in page


def test_someone_without_a_project_is_told_whom_to_ask(
    browsing: Browsing, session: Session
) -> None:
    page = browsing.sign_in(make_person(session)).get("/").text
    assert "You are in no project yet" in page
    assert "alice@example.org" in page
