"""What work costs: the days that are kept up to date, wages, and the admins' page."""

import csv
import io
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from app.accounts.qualifications import add_qualification, set_held, set_required
from app.agree.cost.charts import headline
from app.agree.cost.service import Worth, costs
from app.agree.cost.upkeep import catch_up_work
from app.agree.cost.wages import set_wages
from app.errors import Invalid
from app.projects.flags import FlagValues, add_flag
from app.tables.accounts import AuditEvent, Membership, Person, Role
from app.tables.base import utc_now
from app.tables.collect import Comparison, FlagAnswer, Pair
from app.tables.cost import WorkControl, WorkDay
from app.tables.projects import Flag, FlagScope, Project
from app.tables.studies import Study, StudyKind
from app.tables.work import Control, ControlTime
from benchmarks.people import world
from tests.agree.test_pages import words
from tests.agree.world_in_tables import write_answers
from tests.loop.worlds import add_reward
from tests.support import Browsing, join, make_person, make_project

URL, API = "/projects/garden/agree/cost", "/api/v1/projects/garden/agreement/cost"
DIRECT = text(
    """
    select count(*) as n, sum(seconds) as seconds, sum(seconds * seconds) as squares,
        count(distinct (annotator_id, (created_at at time zone 'UTC')::date)) as days
    from comparison where project_id = :project
    """
)


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


def fill(session: Session, project: Project, n_each: int = 30) -> list[Person]:
    """Twelve people over six weeks; each answer spends 2 s on a flag and 20 s on reading."""
    people, _ = write_answers(session, project, world(1, n_each, n_people=12).answers)
    flag = add_flag(session, project, FlagValues("Rude", FlagScope.COMPARISON), by=None)
    ids = session.scalars(select(Comparison.id)).all()
    time_on(session, ids, Control.FLAG, 2.0, flag)
    time_on(session, ids, Control.COMPLETION, 20.0)
    answered = [
        {"comparison_id": one, "flag_id": flag.id, "value": k % 2} for k, one in enumerate(ids)
    ]
    session.execute(insert(FlagAnswer), answered[::2])
    session.commit()
    return people


def time_on(
    session: Session,
    ids: list[uuid.UUID],
    control: Control,
    seconds: float,
    flag: Flag | None = None,
) -> None:
    rows = [
        {
            "comparison_id": one,
            "control": control,
            "flag_id": flag.id if flag else None,
            "seconds": seconds,
        }
        for one in ids
    ]
    session.execute(insert(ControlTime), rows)


def agrees(session: Session, project: Project) -> bool:
    session.expire_all()
    catch_up_work(session, project.id)
    direct = session.execute(DIRECT, {"project": project.id}).one()
    kept = session.execute(
        select(
            func.sum(WorkDay.n), func.sum(WorkDay.seconds), func.sum(WorkDay.squares), func.count()
        )
    ).one()
    assert kept[0] == direct.n
    assert kept[1] == pytest.approx(direct.seconds)
    assert kept[2] == pytest.approx(direct.squares)
    assert kept[3] == direct.days
    return True


def test_the_days_equal_the_answers_after_any_order_of_answers_edits_and_deletions(
    session: Session, project: Project
) -> None:
    fill(session, project)
    assert catch_up_work(session, project.id) == -1
    assert agrees(session, project)
    session.commit()
    assert catch_up_work(session, project.id) == 0
    write_answers(
        session, project, world(2, 10, n_people=5).answers, names=list("abcde"),
        start=utc_now(), days=0,
    )  # fmt: skip
    assert agrees(session, project)
    ids = session.scalars(select(Comparison.id).limit(7)).all()
    session.execute(update(Comparison).where(Comparison.id.in_(ids)).values(seconds=99.0))
    assert agrees(session, project)
    pair = session.scalars(select(Pair.id).limit(1)).one()
    session.execute(delete(Comparison).where(Comparison.pair_id == pair))
    assert agrees(session, project)
    gold = session.scalars(select(Comparison.pair_id).limit(1)).one()
    session.execute(update(Pair).where(Pair.id == gold).values(is_gold=True))
    assert agrees(session, project)
    n_gold = session.scalar(select(func.count()).where(Comparison.pair_id == gold))
    n, fresh = session.execute(select(func.sum(WorkDay.n), func.sum(WorkDay.n_fresh))).one()
    assert n - fresh == n_gold


def test_a_flag_costs_the_time_on_it_over_the_answers_it_got(
    session: Session, project: Project
) -> None:
    people = fill(session, project)
    by = make_person(session, "ada").id
    set_wages(session, project, currency="eur", usual=36.0, own={people[0].id: 72.0}, by=by)
    found = costs(session, project)
    parts = {one.name: one for one in found.buttons}
    # 2 s on the flag in each of 360 answers, every other one answers it; one of twelve earns twice.
    assert parts["Rude"].seconds_each == pytest.approx(4.0)
    assert parts["Rude"].each.value == pytest.approx(0.04 * 13 / 12)
    assert parts["Rude"].share == pytest.approx(2 / 22)
    assert parts["Reading the answers"].each.value == pytest.approx(0.20 * 13 / 12)
    flag_rows = select(func.sum(WorkControl.n_given)).where(WorkControl.control == Control.FLAG)
    assert session.scalar(flag_rows) == 180
    seconds = session.scalar(select(func.sum(Comparison.seconds)))
    own = session.scalar(
        select(func.sum(Comparison.seconds)).where(Comparison.annotator_id == people[0].id)
    )
    assert found.total == pytest.approx((seconds + own) * 0.01)
    assert found.each.value == pytest.approx(found.total / 360)
    assert found.each.low is not None
    assert found.each.low < found.each.value < found.each.high
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "wages.changed")).one()
    assert event.detail["per_hour"] == 36.0


def test_without_any_wage_the_price_is_time_and_without_ones_own_it_is_left_out_and_said(
    session: Session, project: Project
) -> None:
    people = fill(session, project)
    found = costs(session, project)
    assert "hours of active time" in headline(found)
    assert "1 answer took 1.5 minutes" in headline(replace(found, n=1, seconds=90.0))
    assert "1 answer took 0.7 seconds" in headline(replace(found, n=1, seconds=0.7))
    assert (found.unit, found.total) == ("s", None)
    assert found.each.value == pytest.approx(found.seconds / 360)
    by = make_person(session, "ada").id
    set_wages(session, project, currency="USD", usual=None, own={people[3].id: 36.0}, by=by)
    found = costs(session, project)
    mine = next(one for one in found.people if one.person.id == people[3].id)
    assert found.total == pytest.approx(mine.seconds * 0.01)
    assert found.unpriced == pytest.approx(found.seconds - mine.seconds)
    for currency, usual in (("Euro", 1.0), ("EUR", -1.0)):
        with pytest.raises(Invalid):
            set_wages(session, project, currency=currency, usual=usual, own={}, by=by)


def test_only_people_who_can_still_answer_bring_the_end_nearer(
    session: Session, project: Project
) -> None:
    write_answers(
        session, project, world(1, 40, n_people=4).answers,
        start=utc_now() - timedelta(days=20), days=20,
    )  # fmt: skip
    session.execute(update(Pair).where(Pair.n_taken > 0).values(overlap=Pair.n_taken + 3))
    session.commit()
    found = costs(session, project)
    assert found.n_open == 3 * len(session.scalars(select(Pair.id)).all())
    assert found.eta.days is not None
    assert found.eta.low <= found.eta.days <= found.eta.high
    assert 15 <= found.eta.days <= 26, "160 answers at about 8 a day"
    session.execute(update(Membership).values(is_paused=True))
    session.commit()
    session.expire_all()
    paused = costs(session, project).eta
    assert (paused.days, paused.reason) == (None, "Nobody who can answer now did so lately.")


def test_the_page_prices_buttons_for_admins_alone_and_keeps_wages_as_typed(
    session: Session, project: Project, browsing: Browsing
) -> None:
    admin, rita = make_person(session, "ada"), make_person(session, "rita")
    join(session, project, admin, Role.ADMIN)
    join(session, project, rita, Role.RESEARCHER)
    join(session, make_project(session, "meadow"), admin, Role.ADMIN)
    session.commit()
    browsing.sign_in(admin)
    empty = words(browsing.get(URL.replace("garden", "meadow")).text)
    assert "Nothing was answered yet" in empty
    assert "0.00" not in empty.replace("0.05", "")
    people = fill(session, project)
    own = f"own_{people[0].id}"
    said = browsing.post(f"{URL}/wages", {"usual": "36", "currency": "eur", own: "72,50"})
    assert said.status_code == 303
    page = browsing.get(URL).text
    assert 'value="72.5"' in page
    for expected in ("The dearest flag is Rude", "EUR", "resamples whole days", "nothing is open"):
        assert expected in words(page)
    found = browsing.get(API).json()
    assert found["parts"][-1]["flag"] == "rude"
    assert found["each_low"] < found["each"] < found["each_high"]
    assert found["eta_days"] == 0
    rows = list(csv.DictReader(io.StringIO(browsing.get(f"{API}/parts.csv").text)))
    assert float(rows[-1]["each"]) == pytest.approx(found["parts"][-1]["each"])
    for table in ("weeks", "people", "days"):
        assert browsing.get(f"{API}/{table}.csv").status_code == 200
    assert browsing.get(f"{API}/nothing.csv").status_code == 404
    refused = browsing.post(f"{URL}/wages", {"usual": "much", "currency": "EUR"})
    assert refused.status_code == 422
    assert "Write a wage as a number" in refused.text
    browsing.sign_in(rita)
    assert browsing.get(URL).status_code == 403
    assert browsing.get(API).status_code == 403


def test_the_price_of_a_flag_stands_beside_what_its_answers_are_worth(
    session: Session, project: Project, browsing: Browsing
) -> None:
    fill(session, project)
    owner = make_person(session, "ada")
    join(session, project, owner, Role.ADMIN)
    flag = session.scalars(select(Flag)).one()
    assert costs(session, project).buttons[-1].worth is None
    run = add_reward(session, project, 1)
    part = {"kind": "flag", "key": flag.key, "n": 180}
    effect = {"value": 0.031, "low": 0.012, "high": 0.05}
    for parts, days in (([], 1), ([{**part, "accuracy": effect}], 0)):
        session.add(
            Study(
                project_id=project.id,
                kind=StudyKind.WORTH,
                reward_run_id=run.id,
                report={"parts": parts},
                finished_at=utc_now() - timedelta(days=days),
            )
        )
    session.commit()
    assert costs(session, project).buttons[-1].worth == Worth(0.031, 0.012, 0.05)
    browsing.sign_in(owner)
    assert "0.031 0.012 to 0.050" in words(browsing.get(URL).text)


def test_whoever_lacks_what_the_project_requires_first_counts_for_no_day_to_come(
    session: Session, project: Project
) -> None:
    people = fill(session, project)
    qualification = add_qualification(session, project, "Reading", by=None)
    set_required(session, project, qualification.id, is_required=True, by=None)
    set_held(session, project, people[0], [qualification.id], by=None)
    found = costs(session, project)
    assert [one.person.id for one in found.people if one.can_answer] == [people[0].id]
