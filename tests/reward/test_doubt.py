"""What the run's page says of standard errors and of the live last layer; for staff alone."""

import uuid

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.reward.doubt import interval
from app.tables.accounts import Role
from app.tables.base import utc_now
from app.tables.collect import Completion, Pair
from app.tables.projects import Project
from app.tables.runs import RewardRun
from app.tables.scores import CompletionScore, LiveReward
from tests.loop.worlds import add_prompts, add_reward, make_staff
from tests.support import Browsing, join, make_person

DOUBT = {"mean_standard_error": 0.4321, "ece": 0.0456, "n_heads": 5}


def make_run(session: Session, browsing: Browsing) -> RewardRun:
    """A live run that knows what it does not know, with open pairs; its researcher is signed in."""
    project, person = make_staff(session)
    pairs = add_prompts(session, project, 7)
    for index, pair in enumerate(pairs):
        pair.priority, pair.reward_chance = 2 - index / 10, 0.8
        pair.reward_standard_error = 0.5
    run = add_reward(session, project, 3)
    run.is_live = True
    run.report = {**run.report, "uncertainty": DOUBT}
    session.commit()
    browsing.sign_in(person)
    return run


def add_live(session: Session, run: RewardRun, **values: object) -> None:
    row = LiveReward(reward_run_id=run.id, worker="alice", lease_until=utc_now(), **values)
    session.add(row)
    session.commit()


def test_an_interval_is_that_of_the_log_odds() -> None:
    low, high = interval(0.5, 1.0)
    assert (low, high) == pytest.approx((0.1235, 0.8765), abs=1e-4)
    assert interval(0.9, 0.0) == pytest.approx((0.9, 0.9))
    assert 0 <= interval(0.0, 1e6)[0] <= interval(1.0, 1e6)[1] <= 1


def test_the_page_says_how_sure_it_is_and_how_it_did_since(
    session: Session, browsing: Browsing
) -> None:
    run = make_run(session, browsing)
    url = f"/projects/garden/reward/{run.id}"
    page = browsing.get(url).text
    for words in ("How sure it is", "0.43", "0.046", "heads", "Asked next", "0.60 to 0.91"):
        assert words in page
    assert page.count("Question ") == 5
    assert "Since its training" not in page
    add_live(session, run, n_ranked=7)
    assert "No answer since" in browsing.get(url).text
    row = session.scalars(select(LiveReward)).one()
    row.n_answers, row.n_unlearnt, row.n_judged, row.n_right = 12, 1, 10, 7.5
    row.log_loss_sum, row.update_ms, row.updated_at = 5.0, 0.31, utc_now()
    session.commit()
    page = browsing.get(url).text
    for words in (
        "learnt 12 new or changed answers and taken back 1 of the training", "0.750", "n 10",
        "0.500", "0.31", "7 open pairs are ordered",
    ):  # fmt: skip
        assert words in page


def test_a_run_without_a_posterior_says_nothing_of_it(session: Session, browsing: Browsing) -> None:
    run = make_run(session, browsing)
    run.report = {**run.report, "uncertainty": None}
    session.commit()
    assert "How sure it is" not in browsing.get(f"/projects/garden/reward/{run.id}").text


def test_scores_come_as_csv_and_to_staff_alone(session: Session, browsing: Browsing) -> None:
    run = make_run(session, browsing)
    pair = session.scalars(select(Pair)).first()
    assert pair is not None
    for completion, score, error in (
        (pair.completion_a_id, 1.5, 0.25), (pair.completion_b_id, -1.0, None),
    ):  # fmt: skip
        session.add(
            CompletionScore(
                reward_run_id=run.id, completion_id=completion, score=score, standard_error=error
            )
        )
    session.commit()
    url = f"/api/v1/projects/garden/reward-runs/{run.id}/scores.csv"
    lines = browsing.get(url).text.split()
    assert lines == [
        "completion,score,standard_error",
        f"{pair.completion_a_id},1.5,0.25",
        f"{pair.completion_b_id},-1.0,",
    ]
    bob = make_person(session, "bob")
    project_id = session.scalars(select(Completion.project_id)).first()
    assert isinstance(project_id, uuid.UUID)
    join(session, session.get_one(Project, project_id), bob, Role.ANNOTATOR)
    session.commit()
    browsing.sign_in(bob)
    assert browsing.get(url).status_code == 403
    assert browsing.get(f"/projects/garden/reward/{run.id}").status_code == 403
