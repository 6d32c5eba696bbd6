"""Drift toward the reward model: from stored scores to the pages, the same for whom it is about."""

import csv
import io
import uuid

import numpy as np
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.agree.answers import Answers
from app.agree.evidence import Kind
from app.agree.logistic import sigmoid
from app.agree.workforce import survey
from app.datasets.service import freeze
from app.tables.accounts import Person, Role
from app.tables.collect import Pair
from app.tables.projects import Project
from app.tables.runs import RewardRun
from app.tables.scores import CompletionScore
from tests.agree.test_pages import words
from tests.agree.world_in_tables import write_answers
from tests.support import Browsing, join, make_person, make_project

URL = "/projects/garden/agree"
N_PEOPLE, N_EACH = 4, 200


def write_followers(session: Session, project: Project) -> tuple[list[Person], RewardRun]:
    """Four people with a pair each at a time; the first comes to answer as run 2 would.

    Run 1 scored fewer of the pairs, the other way round.
    """
    rng = np.random.default_rng(3)
    m = N_PEOPLE * N_EACH
    people, order = np.arange(m) % N_PEOPLE, np.arange(m) // N_PEOPLE
    margin = rng.normal(size=m)
    chance = sigmoid(np.where(people == 0, 4.0 * order / N_EACH - 0.5, 0.8))
    is_a = (rng.random(m) < chance) == (margin > 0)
    flipped = rng.random(m) < 0.5
    answers = Answers(np.arange(m), people, np.where(is_a, 1, 6), flipped, m, N_PEOPLE)
    found, pairs = write_answers(session, project, answers)
    frozen = freeze(session, project)
    runs = [
        RewardRun(
            project_id=project.id, number=number, objective=project.objective,
            preference_set_id=frozen.id, base_model="tiny", configuration={}, is_live=number == 1,
        )
        for number in (1, 2)
    ]  # fmt: skip
    session.add_all(runs)
    session.flush()
    score(session, runs[0].id, pairs[: m // 2], -margin)
    score(session, runs[1].id, pairs, margin)
    session.commit()
    return found, runs[1]


def score(
    session: Session,
    run: uuid.UUID,
    pairs: list[uuid.UUID],
    margin: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    sides = {one.id: one for one in session.scalars(select(Pair).where(Pair.id.in_(pairs)))}
    rows = []
    for k, pair in enumerate(pairs):
        for key, value in (
            (sides[pair].completion_a_id, float(margin[k])),
            (sides[pair].completion_b_id, 0.0),
        ):
            rows.append({"reward_run_id": run, "completion_id": key, "score": value})
    session.execute(insert(CompletionScore), rows)


def test_who_comes_to_answer_as_the_reward_model_is_found_and_reads_the_same_as_the_admin(
    session: Session, browsing: Browsing
) -> None:
    ada = make_person(session, "ada")
    project = make_project(session)
    join(session, project, ada, Role.ADMIN)
    people, run = write_followers(session, project)
    assert run.number == 2
    found = {row.person.id: row.evidence[Kind.DRIFT] for row in survey(session, project).rows}
    assert [who for who, one in found.items() if one.is_flagged] == [people[0].id]
    drifted = found[people[0].id]
    assert drifted.statistic is not None
    assert 2 < drifted.statistic < 6
    # The answers of the last day may still be changed, and say nothing yet.
    assert N_EACH - 10 < drifted.n < N_EACH

    browsing.sign_in(ada)
    assert "Drift to the model" in words(browsing.get(f"{URL}/workforce").text)
    table = browsing.get("/api/v1/projects/garden/agreement/workforce.csv").text
    rows = {row["person"]: row for row in csv.DictReader(io.StringIO(table))}
    assert rows[people[0].name]["is_drift_flagged"] == "True"
    by_admin = words(browsing.get(f"{URL}/workforce/{people[0].id}").text)
    assert drifted.says in by_admin
    assert "reward run 2 prefers" in by_admin
    assert "mostly go unseen" in by_admin
    browsing.sign_in(people[0])
    assert drifted.says in words(browsing.get(f"{URL}/mine").text)


def test_without_scores_the_page_says_that_nothing_about_following_a_model_is_visible(
    session: Session,
) -> None:
    project = make_project(session)
    answers = Answers(np.arange(6), np.arange(6) % 2, np.full(6, 3), np.zeros(6, bool), 6, 2)
    write_answers(session, project, answers)
    found = [row.evidence[Kind.DRIFT] for row in survey(session, project).rows]
    assert {(one.n, one.statistic, one.is_flagged) for one in found} == {(0, None, False)}
    assert all("No reward run has scored" in one.says for one in found)
