"""What the loop reads from the tables."""

import pytest
from sqlalchemy.orm import Session

from app.collect.service import FlagIn, change_comparison
from app.datasets.queries import count_unfrozen
from app.datasets.service import freeze
from app.errors import Conflict
from app.loop.facts import read_facts
from app.tables.jobs import JobKind, JobState
from tests.datasets.support import add_pairs, answer, make_flag
from tests.loop.worlds import add_job
from tests.support import make_person, make_project


def test_a_changed_answer_counts_once_as_new_until_it_is_frozen(session: Session) -> None:
    project, alice = make_project(session), make_person(session, "alice")
    flag = make_flag(session, project)
    first, second, _ = (answer(session, pair, alice) for pair in add_pairs(session, project, 3))
    freeze(session, project)
    session.commit()
    assert read_facts(session, project).n_new_comparisons == 0

    for rating in (7, 8):
        change_comparison(session, first.id, alice.id, rating=rating)
    change_comparison(session, second.id, alice.id, rating=2, flags=[FlagIn(flag.id, "A", 1)])
    assert count_unfrozen(session, project.id) == 2
    assert read_facts(session, project).n_new_comparisons == 2

    assert freeze(session, project).number == 2
    assert read_facts(session, project).n_new_comparisons == 0


def test_a_change_that_no_freeze_would_see_is_not_counted(session: Session) -> None:
    project, alice = make_project(session), make_person(session, "alice")
    (pair,) = add_pairs(session, project, 1)
    first = answer(session, pair, alice)
    freeze(session, project)
    change_comparison(session, first.id, alice.id, rating=2, comment="Because.")
    assert first.revision == 2
    assert read_facts(session, project).n_new_comparisons == 0
    with pytest.raises(Conflict, match="since preference set 1"):
        freeze(session, project)


def test_replies_in_a_conversation_are_no_steps_of_the_loop(session: Session) -> None:
    project = make_project(session)
    add_job(session, project, JobKind.REPLY)
    add_job(session, project, JobKind.REPLY, state=JobState.FAILED)
    facts = read_facts(session, project)
    assert facts.jobs == ()
    assert facts.held == ()
