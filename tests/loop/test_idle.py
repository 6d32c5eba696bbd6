"""What is counted while nothing is due, so that nobody waits for it."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.agree.patterns import Filter
from app.agree.service import overview
from app.loop.idle import keep_up
from app.tables.agree import AgreementPattern, AgreementProgress
from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.cost import WorkDay
from app.tables.projects import Project
from benchmarks.people import world
from tests.agree.world_in_tables import write_answers
from tests.support import make_project


def answered(session: Session) -> Project:
    project = make_project(session)
    write_answers(session, project, world(3, 40, n_people=6).answers)
    return project


def test_an_idle_worker_counts_what_was_answered_before_anyone_looks(session: Session) -> None:
    project = answered(session)
    assert keep_up(session) == project
    progress = session.get_one(AgreementProgress, project.id)
    assert progress.wide_n == session.scalar(select(func.count()).select_from(Comparison))
    assert session.scalar(select(func.count()).select_from(AgreementPattern))
    assert session.scalar(select(func.count()).select_from(WorkDay))


def test_nothing_is_counted_where_nobody_answered_or_all_is_counted(session: Session) -> None:
    assert keep_up(session) is None
    make_project(session, "empty")
    assert keep_up(session) is None
    answered(session)
    assert keep_up(session) is not None
    assert keep_up(session) is None


def test_a_changed_answer_is_taken_in_once_the_project_is_a_minute_behind(session: Session) -> None:
    project = answered(session)
    keep_up(session)
    one = session.scalars(select(Comparison).limit(1)).one()
    one.rating = 9 - one.rating
    session.flush()
    assert keep_up(session) is None
    progress = session.get_one(AgreementProgress, project.id)
    progress.caught_up_to = utc_now() - timedelta(minutes=2)
    session.flush()
    assert keep_up(session) == project
    assert keep_up(session) is None


def test_a_filter_does_not_have_the_wide_interval_drawn_anew(session: Session) -> None:
    project = answered(session)
    whole = overview(session, project, Filter())
    progress = session.get_one(AgreementProgress, project.id)
    progress.wide_low = 0.123
    later = Filter(since=(utc_now() + timedelta(days=30)).date())
    assert overview(session, project, later).wide.low == 0.123
    assert overview(session, project, Filter()).wide.high == whole.wide.high
