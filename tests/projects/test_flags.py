"""The flags of a project, made by hand and in sets."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, Invalid
from app.projects.flags import (
    FlagValues,
    archive_flag,
    free_letters,
    move_flag,
    page_keys,
    reserved_in,
    restore_flag,
)
from app.projects.presets import PRESETS
from app.projects.queries import flags_of
from app.projects.service import RESERVED_KEYS, add_flag, add_preset, change_flag
from app.tables.accounts import Role
from app.tables.projects import Flag, FlagKind, FlagScope, Project
from tests.support import Browsing, join, make_person, make_project


def add(session: Session, project: Project, label: str, **values: Any) -> Flag:
    wanted = FlagValues(**{"label": label, "scope": FlagScope.COMPLETION, **values})
    return add_flag(session, project, wanted, by=None)


def test_a_flag_made_on_the_page_stands_in_the_list_and_in_the_api(
    browsing: Browsing, session: Session
) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.RESEARCHER)
    browsing.sign_in(alice)
    assert "No flags yet" in browsing.get("/projects/garden/flags").text
    closed = {"label": "Closed domain", "scope": "prompt", "polarity": "neutral"}
    browsing.post("/projects/garden/flags", closed)
    condition = session.scalars(select(Flag)).one()
    form = {"label": "Makes things up!", "shortcut": "M", "condition": str(condition.id)}
    assert browsing.post("/projects/garden/flags", form).status_code == 303
    page = browsing.get("/projects/garden/flags").text
    assert "only after “Closed domain”" in page
    answer = browsing.get("/api/v1/projects/garden").json()
    assert [flag["key"] for flag in answer["flags"]] == ["closed_domain", "makes_things_up"]
    assert answer["flags"][1]["condition"] == "closed_domain"
    assert answer["flags"][1]["shortcut"] == "m"
    assert answer["guidelines"] is None


@pytest.mark.parametrize(
    ("form", "field", "sentence"),
    [
        ({"label": ""}, "label", "Give the flag a label"),
        ({"label": "rude"}, "label", "Another flag has this label"),
        ({"label": "New", "shortcut": "s"}, "shortcut", "uses S itself"),
        ({"label": "New", "shortcut": "r"}, "shortcut", "has the letter R already"),
        ({"label": "New", "shortcut": "7"}, "shortcut", "one letter from a to z"),
        ({"label": "New", "condition": "not an id"}, "condition", "Choose another flag"),
    ],
)
def test_a_wrong_flag_is_refused_beside_its_field(
    browsing: Browsing, session: Session, form: dict[str, str], field: str, sentence: str
) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ADMIN)
    add(session, project, "Rude", shortcut="r")
    response = browsing.sign_in(alice).post(
        "/projects/garden/flags", {"help_text": "typed by alice", **form}
    )
    assert response.status_code == 422
    assert sentence in response.text
    assert f'id="{field}-error"' in response.text
    assert "typed by alice" in response.text


def test_flags_never_wait_for_each_other_or_for_what_is_not_known_yet(session: Session) -> None:
    project = make_project(session)
    first = add(session, project, "First")
    second = add(session, project, "Second", condition=first.id)
    with pytest.raises(Invalid, match="wait for each other"):
        change_flag(
            session,
            project,
            first,
            FlagValues("First", FlagScope.COMPLETION, condition=second.id),
            by=None,
        )
    with pytest.raises(Invalid, match="cannot wait"):
        add(session, project, "Third", scope=FlagScope.PROMPT, condition=first.id)
    rating = add(session, project, "Rating", kind=FlagKind.RATING_7)
    with pytest.raises(Invalid, match="yes or no"):
        add(session, project, "Fourth", condition=rating.id)
    other = add(session, make_project(session, "kitchen"), "Elsewhere")
    with pytest.raises(Invalid, match="of this project"):
        add(session, project, "Fifth", condition=other.id)


def test_a_flag_that_another_waits_for_is_not_archived(session: Session) -> None:
    project = make_project(session)
    first = add(session, project, "First", shortcut="x")
    second = add(session, project, "Second", condition=first.id)
    with pytest.raises(Conflict, match="Second"):
        archive_flag(session, project, first, by=None)
    archive_flag(session, project, second, by=None)
    archive_flag(session, project, first, by=None)
    with pytest.raises(Conflict):
        restore_flag(session, project, second, by=None)
    add(session, project, "Third", shortcut="x")
    restore_flag(session, project, first, by=None)
    assert first.shortcut == ""


@pytest.mark.parametrize(
    "other", [{"kind": FlagKind.RATING_7}, {"scope": FlagScope.COMPARISON}], ids=["kind", "scope"]
)
def test_a_flag_that_another_waits_for_goes_on_asking_the_same(
    session: Session, other: dict[str, Any]
) -> None:
    project = make_project(session)
    first = add(session, project, "First")
    second = add(session, project, "Second", condition=first.id)
    values = FlagValues(**{"label": "First", "scope": FlagScope.COMPLETION, **other})
    with pytest.raises(Conflict, match="“Second” is asked only after this flag"):
        change_flag(session, project, first, values, by=None)
    renamed = FlagValues("New words", FlagScope.COMPLETION, help_text="Why it matters.")
    assert change_flag(session, project, first, renamed, by=None).label == "New words"
    archive_flag(session, project, second, by=None)
    change_flag(session, project, first, values, by=None)
    with pytest.raises(Conflict, match="asks something else"):
        restore_flag(session, project, second, by=None)


def test_flags_move_among_those_about_the_same_thing(browsing: Browsing, session: Session) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ADMIN)
    for label in "pqr":
        add(session, project, label)
    prompt = add(session, project, "about the prompt", scope=FlagScope.PROMPT)
    browsing.sign_in(alice)
    r = session.scalars(select(Flag).where(Flag.key == "r")).one()
    browsing.post(f"/projects/garden/flags/{r.id}/move", {"places": "-1"})
    session.expire_all()
    assert [flag.label for flag in flags_of(session, project.id)] == [prompt.label, "p", "r", "q"]
    move_flag(session, project, prompt, places=-1, by=None)
    assert flags_of(session, project.id)[0] is prompt


@pytest.mark.parametrize("key", PRESETS)
def test_a_preset_is_added_once_however_often_it_is_asked_for(session: Session, key: str) -> None:
    project = make_project(session)
    n = len(PRESETS[key].flags)
    assert add_preset(session, project, key, by=None) == n
    assert add_preset(session, project, key, by=None) == 0
    assert len(flags_of(session, project.id)) == n


def test_all_presets_fit_beside_each_other(session: Session) -> None:
    project = make_project(session)
    for key in PRESETS:
        assert add_preset(session, project, key, by=None) == len(PRESETS[key].flags)
    letters = [flag.shortcut for flag in flags_of(session, project.id) if flag.shortcut]
    assert len(letters) == len(set(letters))
    assert not set(letters) & RESERVED_KEYS
    made_up = session.scalars(select(Flag).where(Flag.key == "hallucination")).one()
    closed = session.scalars(select(Flag).where(Flag.key == "prompt_closed_domain")).one()
    assert made_up.condition_flag_id == closed.id


def test_no_key_of_the_page_is_a_flags_key_whatever_was_saved_before(session: Session) -> None:
    project = make_project(session)
    add(session, project, "Marked", shortcut="m")
    old = add(session, project, "Old")
    twin = add(session, project, "Twin")
    # As an earlier version allowed it, or another way in.
    old.shortcut, twin.shortcut = "d", "m"
    flags = flags_of(session, project.id)

    def keys() -> dict[str, str]:
        found = page_keys(flags, reserved_in(project))
        return {flag.label: found[flag.id] for flag in flags}

    assert keys() == {"Marked": "m", "Old": ".a", "Twin": ".b"}
    project.is_span_on = True
    assert keys() == {"Marked": ".a", "Old": ".b", "Twin": ".c"}
    assert "m" not in free_letters(session, project)
    with pytest.raises(Invalid, match="uses M itself"):
        add(session, project, "New", shortcut="m")
    project.is_talk_on = True
    assert not set("mwnxt") & set(free_letters(session, project))


def test_the_flags_page_says_which_key_a_flag_has_and_why(
    session: Session, browsing: Browsing
) -> None:
    project = make_project(session)
    add(session, project, "Marked", shortcut="m")
    owner = make_person(session, "olive", is_owner=True)
    project.is_span_on = True
    session.commit()
    page = browsing.sign_in(owner).get("/projects/garden/flags").text
    assert "uses M itself now" in page


def test_a_preset_leaves_alone_a_flag_that_was_archived_on_purpose(session: Session) -> None:
    project = make_project(session)
    add_preset(session, project, "helpsteer_2", by=None)
    verbosity = session.scalars(select(Flag).where(Flag.key == "verbosity")).one()
    archive_flag(session, project, verbosity, by=None)
    assert add_preset(session, project, "helpsteer_2", by=None) == 0
    assert verbosity.is_archived
