"""The start page: what is left of every kind, one's own pace, and ways to everything else."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from app.collect.home.pace import Work, in_hours, pace_chart, pace_csv, pace_of
from app.collect.kinds import PromptKind
from app.collect.kinds.leases import Finished
from app.collect.kinds.service import record_ranking
from app.collect.messages.service import send
from app.projects.service import add_guideline_version
from app.tables.base import utc_now
from tests.collect.test_kinds import make_prompts, take
from tests.collect.worlds import answer, make_world
from tests.support import Browsing


def test_the_start_page_names_every_kind_of_work_with_what_is_left(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=1, is_ranking_on=True)
    make_prompts(session, project, 2)
    page = browsing.sign_in(alice).get("/").text
    assert "1 pair left" in page
    assert "2 prompts to rank" in page
    assert "/projects/garden/collect/kinds/rank" in page
    assert "to rate" not in page


def test_where_only_another_kind_is_left_the_button_leads_there(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0, is_demonstration_on=True)
    make_prompts(session, project, 1)
    page = browsing.sign_in(alice).get("/").text
    assert "no pairs left" in page
    assert 'href="/projects/garden/collect/kinds/demonstrate" autofocus' in page


def test_pace_counts_what_was_asked_for_and_its_time_once(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", is_ranking_on=True)
    make_prompts(session, project, 1)
    answer(session, project, alice, seconds=30)
    answer(session, project, bob, seconds=500)
    ranked = take(session, project, alice, PromptKind.RANK)
    ranks = {one: place for place, one in enumerate(ranked.shown, 1)}
    record_ranking(session, ranked, ranks, Finished(seconds=60))
    session.commit()
    pace = pace_of(session, alice.id, [project.id])
    assert pace.recent == pace.week == Work(2, 90.0)
    assert pace.recent.per_hour == 80


def test_pace_tells_the_last_day_from_the_week_and_forgets_what_is_older(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=3)
    now = datetime(2026, 3, 6, 12, tzinfo=UTC)
    for hours in (23, 25, 24 * 8):
        answer(session, project, alice, seconds=60).created_at = now - timedelta(hours=hours)
    session.commit()
    pace = pace_of(session, alice.id, [project.id], now)
    assert (pace.recent.n, pace.week.n) == (1, 2)
    assert [work.n for _, work in pace.days] == [0, 0, 0, 0, 0, 2, 0]
    chart = pace_chart(pace)
    assert "2 answers in seven days, most on Thursday" in chart
    assert ">2 in 2 min</text>" in chart
    day, work = pace.days[5]
    assert pace_csv(pace).splitlines()[6] == f"{day.isoformat()},2,{work.seconds}"
    assert pace_of(session, alice.id, [], now).week == Work()


def test_an_hour_without_counted_time_has_no_rate() -> None:
    assert Work(3, 0.0).per_hour is None
    assert [in_hours(one) for one in (0, 20, 3900)] == ["", "1 min", "1 h 5 min"]


def test_the_start_page_leads_to_ones_own_answers_and_agreement(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice")
    browsing.sign_in(alice)
    assert "What you answer in a week is counted here" in browsing.get("/").text
    answer(session, project, alice, seconds=40)
    page = browsing.get("/").text
    assert "/projects/garden/collect/history" in page
    assert "/projects/garden/agree/mine" in page
    assert "1 answer in seven days" in page
    assert browsing.get("/projects/garden/agree/mine").status_code == 200
    assert utc_now().strftime("most on %A") in page


def test_the_start_page_says_what_is_new_to_read(session: Session, browsing: Browsing) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob")
    browsing.sign_in(alice)
    page = browsing.get("/").text
    assert "new to you" not in page
    assert "waits for you. <a" not in page
    add_guideline_version(session, project, markdown="Be kind.", created_by=None)
    send(session, project, sender=bob, is_staff=True, to=[alice.id], body="Hello")
    session.commit()
    page = browsing.get("/").text
    assert "/projects/garden/guidelines/since" in page
    assert "new to you" in page
    assert "A message waits for you." in page
