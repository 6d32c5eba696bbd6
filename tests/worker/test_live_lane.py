"""The live reward model in the worker: from an answer to new priorities, whatever is killed."""

import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.answers import change_comparison
from app.tables.accounts import Person, Role
from app.tables.agree import Exclusion
from app.tables.base import utc_now
from app.tables.collect import Comparison, Pair
from app.tables.datasets import PreferenceRow, Split
from app.tables.kinds import PromptAssignment, PromptKind, RankingComparison
from app.tables.projects import Project
from app.tables.runs import RewardRun
from app.tables.scores import CompletionScore, LiveReward
from tests.support import join, make_person
from tests.worker.live_world import answer, make_baskets, train
from tests.worker.workers import QUICK
from worker import live
from worker.live import LiveLane
from worker.select import answers
from worker.select.pool import FRONT


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveLane]:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(live, "SETTLE_SECONDS", 0.0)
    found = LiveLane("alice", replace(QUICK, lease=20))
    yield found
    found.speaker.stop()


def turn_until_idle(lane: LiveLane) -> None:
    for _ in range(50):
        if not lane.turn():
            return
    raise AssertionError("the lane did not come to rest")


def priorities(session: Session) -> dict[str, tuple[float, float | None]]:
    session.expire_all()
    pairs = session.scalars(select(Pair).where(Pair.n_taken == 0)).all()
    session.commit()
    return {str(one.id): (one.priority, one.reward_chance) for one in pairs}


def state(session: Session) -> LiveReward:
    session.expire_all()
    found = session.scalars(select(LiveReward)).one()
    session.commit()
    return found


@pytest.mark.slow
def test_answers_move_the_open_pairs_and_can_be_taken_back(
    session: Session, lane: LiveLane
) -> None:
    project, ada = make_baskets(session)
    answer(session, project, ada, 40)
    run = train(session, project)
    turn_until_idle(lane)
    begun = priorities(session)
    assert len([one for one, _ in begun.values() if one > 1]) == live_front(begun)
    assert all(chance is not None for _, chance in begun.values())
    pair = session.scalars(select(Pair).where(Pair.n_taken == 0).limit(1)).one()
    assert pair.reward_standard_error is not None
    assert pair.reward_standard_error > 0
    scores = session.scalars(select(CompletionScore)).all()
    assert {one.reward_run_id for one in scores} == {run.id}
    assert all(one.standard_error is not None for one in scores)
    assert state(session).n_answers == 0

    given = answer(session, project, ada, 6, is_wrong=True)
    turn_until_idle(lane)
    after = priorities(session)
    assert state(session).n_answers == 6
    assert state(session).n_judged == 6
    assert state(session).n_ranked == len(after)
    assert any(said != begun[one] for one, said in after.items())

    changed_and_taken_back(session, lane, given)
    answer_of_training(session, run)
    turn_until_idle(lane)
    assert (state(session).n_answers, state(session).n_unlearnt) == (7, 1)
    killed_and_made_anew(session, lane)
    excluded_and_back(session, lane)

    # The next training knows them all.
    train(session, project)
    turn_until_idle(lane)
    newest = session.scalars(select(RewardRun).where(RewardRun.is_live)).one()
    states = {one.reward_run_id: one for one in session.scalars(select(LiveReward))}
    assert states[newest.id].n_answers == 0


def changed_and_taken_back(session: Session, lane: LiveLane, given: list[Comparison]) -> None:
    after = priorities(session)
    # Changed to what the model thinks, the answers pull no more; saying so twice changes nothing.
    for one in given:
        change_comparison(session, one.id, one.annotator_id, rating=9 - one.rating)
    session.commit()
    turn_until_idle(lane)
    changed = priorities(session)
    assert state(session).n_answers == 6
    assert any(said != after[one] for one, said in changed.items())


def killed_and_made_anew(session: Session, lane: LiveLane) -> None:
    # A killed child is made anew from the tables, and says the same.
    child = lane.speaker._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    before = priorities(session)
    project, ada = session.scalars(select(Project)).one(), session.scalars(select(Person)).one()
    answer(session, project, ada, 1)
    lane_survives(lane)
    assert (state(session).n_answers, state(session).n_unlearnt) == (8, 1)
    closest = [abs(chance - before[one][1]) for one, (_, chance) in priorities(session).items()]
    assert sum(closest) / len(closest) < 0.05


def excluded_and_back(session: Session, lane: LiveLane) -> None:
    project, ada = session.scalars(select(Project)).one(), session.scalars(select(Person)).one()
    run = session.scalars(select(RewardRun)).one()
    # An excluded person's answers are taken back, those of the training among them.
    rita = make_person(session, "rita")
    session.add(Exclusion(project_id=project.id, person_id=ada.id, reason="-", by_id=rita.id))
    session.commit()
    turn_until_idle(lane)
    assert state(session).n_answers == 0
    n_trained = run.report["n_train"]
    assert state(session).n_unlearnt == n_trained
    session.scalars(select(Exclusion)).one().lifted_at = utc_now()
    session.commit()
    turn_until_idle(lane)
    assert state(session).n_answers == 8 + n_trained - 1


def live_front(pairs: dict[str, tuple[float, float | None]]) -> int:
    return min(FRONT, len(pairs))


def answer_of_training(session: Session, run: RewardRun) -> None:
    """One that the training learnt from says the opposite now."""
    row = session.scalars(
        select(PreferenceRow).where(
            PreferenceRow.preference_set_id == run.preference_set_id,
            PreferenceRow.split == Split.TRAIN,
        )
    ).first()
    assert row is not None
    one = session.get_one(Comparison, row.comparison_id)
    change_comparison(session, one.id, one.annotator_id, rating=9 - one.rating)
    session.commit()


def lane_survives(lane: LiveLane) -> None:
    from app.errors import DomainError

    try:
        turn_until_idle(lane)
    except (DomainError, OSError) as error:
        lane._put_off(error, 0.0)
        turn_until_idle(lane)


def test_two_workers_do_not_keep_one_live_model(session: Session, lane: LiveLane) -> None:
    project, ada = make_baskets(session, 4)
    answer(session, project, ada, 3)
    run = train(session, project)
    lane._look()
    assert list(lane._watches) == [run.id]
    other = LiveLane("bob", QUICK)
    other._look()
    assert not other._watches
    lane._let_go()
    other._look()
    assert list(other._watches) == [run.id]


def test_without_a_posterior_of_ratings_nothing_is_started(
    session: Session, lane: LiveLane
) -> None:
    project, ada = make_baskets(session, 4)
    answer(session, project, ada, 3)
    run = train(session, project)
    run.configuration = {"objective": "safety", "flag": "harmful"}
    session.commit()
    assert not lane.turn(), "it learnt from a flag, and not from ratings"
    run.configuration, run.report = {}, {**run.report, "uncertainty": None}
    session.commit()
    assert not lane.turn()
    assert lane.speaker._child is None


def test_an_annotator_is_believed_as_the_training_did_and_a_ranking_counts_once(
    session: Session,
) -> None:
    project, ada = make_baskets(session, 4)
    answer(session, project, ada, 8)
    run = train(session, project)
    name = session.scalars(select(PreferenceRow.annotator_hash)).first()
    belief = {"annotators": [{"annotator": name, "weight": 0.4}]}
    run.report = {**run.report, "reliability": belief}
    bob = make_person(session, "bob")
    join(session, project, bob, Role.ANNOTATOR)
    session.commit()
    answer(session, project, ada, 1)
    answer(session, project, bob, 1)
    (live_run,) = answers.live_runs(session)
    beliefs = answers.beliefs(session, live_run)
    told = answers.different(session, live_run, beliefs)
    assert sorted(one["now"]["weight"] for one in told) == [0.4, 1.0]
    # Two comparisons that follow from one ranking are one judgement.
    shown = PromptAssignment(
        project_id=project.id, prompt_id=session.scalars(select(Pair.prompt_id)).first(),
        annotator_id=ada.id, kind=PromptKind.RANK, lease_until=utc_now(),
    )  # fmt: skip
    session.add(shown)
    session.flush()
    for one in told:
        session.add(RankingComparison(comparison_id=uuid.UUID(one["id"]), ranking_id=shown.id))
    session.commit()
    told = answers.changed_since(session, live_run, beliefs, utc_now() - timedelta(minutes=5))
    new = [one["now"]["weight"] for one in told if one["trained"] is None]
    assert sorted(new) == [0.2, 0.5]
