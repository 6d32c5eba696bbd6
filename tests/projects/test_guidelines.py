"""Guidelines are followed by a next version and never edited."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, Invalid
from app.projects.difference import differences
from app.projects.service import add_guideline_version
from app.tables.accounts import Role
from app.tables.projects import GuidelineVersion
from tests.support import Browsing, join, make_person, make_project


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_difference_spells_both_texts(before: str, after: str) -> None:
    pieces = differences(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == after


def test_a_difference_is_told_by_words() -> None:
    pieces = differences("Prefer the longer answer.", "Prefer the better answer.")
    assert [(p.kind, p.text) for p in pieces if p.kind != "same"] == [
        ("removed", "longer"),
        ("added", "better"),
    ]


def test_versions_are_numbered_and_every_member_reads_the_current_one(
    browsing: Browsing, session: Session
) -> None:
    alice, bob, project = make_person(session), make_person(session, "bob"), make_project(session)
    join(session, project, alice, Role.ADMIN)
    join(session, project, bob, Role.ANNOTATOR)
    browsing.sign_in(alice)
    guidelines = "/projects/garden/guidelines"
    browsing.post(guidelines, {"markdown": "Prefer the **longer** answer.", "after": "0"})
    form = {
        "markdown": "Prefer the **better** answer.",
        "after": "1",
        "change_note": "Length is not quality",
    }
    assert browsing.post(guidelines, form).status_code == 303
    page = browsing.sign_in(bob).get(guidelines).text
    assert "Version 2" in page
    assert "<strong>better</strong>" in page
    assert "Length is not quality" in page
    assert "Write a new version" not in page
    assert "<strong>longer</strong>" in browsing.get(f"{guidelines}/1").text
    changes = browsing.get(f"{guidelines}/2/changes").text
    assert "<del>longer</del><ins>better</ins>" in changes
    assert browsing.get(f"{guidelines}/3").status_code == 404


def test_a_preview_shows_the_text_and_saves_nothing(browsing: Browsing, session: Session) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ADMIN)
    form = {"markdown": "**Bold** <script>alert(1)</script>", "action": "preview"}
    page = browsing.sign_in(alice).post("/projects/garden/guidelines", form).text
    assert "<strong>Bold</strong>" in page
    assert "<script>alert" not in page
    assert session.scalars(select(GuidelineVersion)).all() == []


def test_a_version_that_came_meanwhile_is_shown_and_nothing_typed_is_lost(
    browsing: Browsing, session: Session
) -> None:
    alice, project = make_person(session), make_project(session)
    join(session, project, alice, Role.ADMIN)
    add_guideline_version(session, project, markdown="From bob.", created_by=None)
    browsing.sign_in(alice)
    form = {"markdown": "From alice.", "after": "0"}
    response = browsing.post("/projects/garden/guidelines", form)
    assert response.status_code == 409
    assert "Someone saved version 1" in response.text
    assert "From alice.</textarea>" in response.text
    assert "<del>bob</del>" in response.text
    form["after"] = response.text.split('name="after" value="')[1].split('"')[0]
    assert browsing.post("/projects/garden/guidelines", form).status_code == 303


def test_an_empty_an_unchanged_and_an_overlong_text_are_refused(session: Session) -> None:
    project = make_project(session)
    add_guideline_version(session, project, markdown="Prefer the better.", created_by=None)
    for text in ["  ", " Prefer the better.\r\n", "x" * 200_001, "nul \x00"]:
        with pytest.raises(Invalid):
            add_guideline_version(session, project, markdown=text, created_by=None)
    with pytest.raises(Conflict):
        add_guideline_version(session, project, markdown="New.", created_by=None, after=0)
