"""What a fresh installation is given to begin with."""

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.demonstration import load_demonstration
from app.tables.collect import Completion, Pair, Prompt
from app.tables.datasets import Import
from app.tables.projects import Flag, Project
from tests.support import make_project


def n_pairs(session: Session) -> dict[str, int]:
    rows = session.execute(
        select(Project.name, func.count(Pair.id))
        .outerjoin(Pair, Pair.project_id == Project.id)
        .group_by(Project.name)
    )
    return dict(rows.all())


def test_a_fresh_installation_gets_two_projects_with_pairs_and_flags(session: Session) -> None:
    assert load_demonstration() == ["Small talk", "Reading room"]
    assert n_pairs(session) == {"Small talk": 60, "Reading room": 8}
    assert session.scalar(select(func.count()).select_from(Flag)) == 5


def test_a_second_start_loads_nothing_twice(session: Session) -> None:
    load_demonstration()
    assert load_demonstration() == []


def test_a_first_start_that_was_cut_off_is_taken_up_again(session: Session) -> None:
    load_demonstration()
    room = session.scalars(select(Project).where(Project.name == "Reading room")).one()
    talk = session.scalars(select(Project).where(Project.name == "Small talk")).one()
    for table in (Pair, Completion, Prompt, Import):
        session.execute(delete(table).where(table.project_id == talk.id))
    session.delete(room)
    session.commit()
    assert load_demonstration() == ["Small talk", "Reading room"]
    assert n_pairs(session) == {"Small talk": 60, "Reading room": 8}


def test_an_installation_with_a_project_of_its_own_gets_none(session: Session) -> None:
    make_project(session)
    session.commit()
    assert load_demonstration() == []
