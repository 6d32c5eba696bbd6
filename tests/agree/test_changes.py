"""What agreement did when the guidelines changed, on their own page, for staff."""

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy.orm import Session

from app.agree.changes import effects_of_changes
from app.agree.intervals import Interval, difference_interval
from app.agree.patterns import Filter
from app.agree.service import by_version
from app.tables.projects import Project
from benchmarks.people import world
from tests.agree.test_pages import fill, project, words
from tests.support import Browsing

__all__ = ["project"]


def test_the_guidelines_tell_staff_what_agreement_did_before_and_after_and_nobody_else(
    session: Session, project: Project, browsing: Browsing
) -> None:
    """The first version's answers are all but random, the second's are those of readers."""
    rows = world(5, 60, n_people=12).answers
    half = len(rows.pairs) // 2
    choices = rows.choices.copy()
    choices[:half] = np.random.default_rng(0).integers(0, 8, half)
    people, _ = fill(session, project, replace(rows, choices=choices))
    found = effects_of_changes(session, project)[2]
    assert found.before.alpha is not None
    assert found.after.alpha is not None
    assert found.difference == pytest.approx(found.after.alpha - found.before.alpha)
    assert found.is_clear
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < found.difference < found.high
    cut = by_version(session, project, Filter())[1].figures.reading
    assert (found.after.alpha, found.after.low) == (cut.alpha, cut.alpha_range.low)
    session.commit()
    guidelines = "/projects/garden/guidelines"
    for page in ("", "/2/changes"):
        said = words(browsing.get(guidelines + page).text)
        assert f"Alpha rose by {found.difference:.2f}" in said
        assert "which chance may do" not in said
    assert "Agreement before and after" not in browsing.get(f"{guidelines}/1").text
    browsing.sign_in(people[0])
    assert "lpha" not in words(browsing.get(guidelines).text)


def test_without_answers_under_each_version_the_change_of_agreement_is_undefined() -> None:
    none = np.zeros((0, 8), dtype=np.int64), np.zeros(0, dtype=np.int64)
    some = np.eye(8, dtype=np.int64) * 2, np.full(8, 5)
    assert difference_interval(none, some).low is None
    assert difference_interval(some, some) == Interval(0.0, 0.0)
