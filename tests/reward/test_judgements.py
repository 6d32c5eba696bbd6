"""What runs say of held-out comparisons: recorded, surprising, side by side, on pages."""

import json
import random

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.accounts.groups import add_group, set_groups
from app.datasets.service import freeze
from app.reward import account, judgements
from app.reward.paired import Couple, contest
from app.tables.accounts import Person, Role
from app.tables.collect import Pair, Prompt
from app.tables.datasets import PreferenceRow, PreferenceSet
from app.tables.projects import Project
from app.tables.runs import Judgement, RewardRun
from tests.datasets.support import add_pairs, answer
from tests.loop.worlds import add_reward, make_staff, write_artefact
from tests.support import Browsing, join, make_person

N = 24


@pytest.fixture
def world(session: Session, browsing: Browsing) -> tuple[Project, PreferenceSet]:
    """A set of 24 answers by alice about gardens and kitchens; its researcher is signed in."""
    project, person = make_staff(session)
    alice = make_person(session, "alice")
    pairs = add_pairs(session, project, N)
    for number, pair in enumerate(pairs):
        prompt = session.get_one(Prompt, pair.prompt_id)
        prompt.metadata_ = {"topic": ["garden", "kitchen"][number % 2], "id": str(number)}
        answer(session, pair, alice)
    frozen = freeze(session, project)
    session.commit()
    browsing.sign_in(person)
    return project, frozen


def judged(
    session: Session, project: Project, frozen: PreferenceSet, number: int, margins: list[float]
) -> RewardRun:
    """A finished run whose artefact says `margins` of the set's rows; recorded."""
    run = add_reward(session, project, number, preference_set_id=frozen.id)
    rows = session.scalars(
        select(PreferenceRow)
        .where(PreferenceRow.preference_set_id == frozen.id)
        .order_by(PreferenceRow.position)
    ).all()
    lines = [
        {"pair": str(row.pair_id), "annotator": row.annotator_hash, "margin": margin,
         "probability": 1 / (1 + np.exp(-margin))}
        for row, margin in zip(rows, margins, strict=True)
    ]  # fmt: skip
    strange = [{"pair": "elsewhere", "margin": 1}, lines[0], {**lines[1], "margin": None}]
    text = "".join(json.dumps(line) + "\n" for line in [*lines, *strange]) + "{torn"
    write_artefact(run, {"held_out.jsonl": text})
    assert judgements.record(session, run) == N
    session.commit()
    return run


def test_a_runs_judgements_are_recorded_once_each_and_again_without_harm(
    session: Session, world: tuple[Project, PreferenceSet]
) -> None:
    project, frozen = world
    run = judged(session, project, frozen, 2, [0.1 * k for k in range(N)])
    assert judgements.record(session, run) == N
    margins = session.scalars(
        select(Judgement.margin).where(Judgement.run_id == run.id).order_by(Judgement.position)
    ).all()
    assert margins == pytest.approx([0.1 * k for k in range(N)])
    elsewhere = add_reward(session, project, 9)
    assert judgements.record(session, elsewhere) == 0


def test_the_least_likely_answers_come_first_and_lead_to_their_pair(
    session: Session, world: tuple[Project, PreferenceSet], browsing: Browsing
) -> None:
    project, frozen = world
    run = judged(session, project, frozen, 2, [-3.0, 1.0, -5.0, *([2.0] * (N - 3))])
    found = judgements.list_surprises(session, run, 2)
    assert [one.margin for one in found] == [-5.0, -3.0]
    page = browsing.get(f"/projects/garden/reward/{run.id}").text
    assert f"/projects/garden/agree/verdicts/{found[0].pair_id}" in page
    assert f"/projects/garden/datasets/prompts/{found[0].prompt_id}" in page
    assert browsing.get(f"/projects/garden/agree/verdicts/{found[0].pair_id}").status_code == 200


def test_topics_are_those_keys_of_the_metadata_that_sort_prompts(
    session: Session, world: tuple[Project, PreferenceSet], browsing: Browsing
) -> None:
    project, frozen = world
    run = judged(session, project, frozen, 2, [1.0] * N)
    found = judgements.by_topic(session, run)
    assert set(found) == {"topic"}
    assert sorted(found["topic"]) == [("garden", N // 2, 1.0), ("kitchen", N // 2, 1.0)]
    page = browsing.get(f"/projects/garden/reward/{run.id}").text
    assert "Accuracy by topic" in page


def test_accuracy_by_group_of_annotators_stands_where_there_are_groups(
    session: Session, world: tuple[Project, PreferenceSet], browsing: Browsing
) -> None:
    project, frozen = world
    run = judged(session, project, frozen, 2, [1.0, -1.0] * (N // 2))
    assert judgements.by_group(session, run) == []
    alice = session.scalars(select(Person).where(Person.name == "alice")).one()
    join(session, project, alice, Role.ANNOTATOR)
    experts = add_group(session, project, "Experts", by=None)
    set_groups(session, project, alice, [experts.id], by=None)
    session.commit()
    assert judgements.by_group(session, run) == [("Experts", N, 0.5)]
    assert "Accuracy by group" in browsing.get(f"/projects/garden/reward/{run.id}").text
    address = f"/api/v1/projects/garden/reward-runs/{run.id}/account/groups.csv"
    assert "Experts,24,0.5" in browsing.get(address).text


def test_the_page_says_the_ceiling_the_alarm_and_the_next_doubling(
    session: Session, world: tuple[Project, PreferenceSet], browsing: Browsing
) -> None:
    project, frozen = world
    run = judged(session, project, frozen, 2, [1.0] * N)
    page = browsing.get(f"/projects/garden/reward/{run.id}").text
    for words in (
        "people agree with each other on 0.74", "± 0.040, 40 pairs", "An alarm",
        "The model likes length more than people do", "gap +0.36",
        "The next doubling, to 432 comparisons, is worth +1.7 points", "(+0.4 to +3.1)",
        "Accuracy by flag goes from 0.50 (rude) to 0.70 (no flag)", "012345", "confidence is 0.040",
    ):  # fmt: skip
        assert words in page, words
    for what in ("strength", "calibration", "growth", "tastes", "flags", "annotators", "topics",
                 "surprises"):  # fmt: skip
        address = f"/api/v1/projects/garden/reward-runs/{run.id}/account/{what}.csv"
        assert address in page
        assert len(browsing.get(address).text.splitlines()) > 1, what
    other = f"/api/v1/projects/garden/reward-runs/{run.id}/account/secrets.csv"
    assert browsing.get(other).status_code == 404


def test_two_runs_meet_on_the_same_pairs_with_a_paired_interval(
    session: Session, world: tuple[Project, PreferenceSet], browsing: Browsing
) -> None:
    project, frozen = world
    one = judged(session, project, frozen, 3, [1.0, -1.0] * (N // 2))
    pair = session.scalars(select(Pair).where(Pair.project_id == project.id)).first()
    assert pair is not None
    answer(session, pair, make_person(session, "bob"))
    again = freeze(session, project)
    two = add_reward(session, project, 7, preference_set_id=again.id)
    session.commit()
    rows = session.execute(
        select(PreferenceRow.pair_id, PreferenceRow.annotator_hash).where(
            PreferenceRow.preference_set_id == again.id
        )
    ).all()
    lines = [{"pair": str(pair), "annotator": who, "margin": 2.0, "probability": 0.88}
             for pair, who in rows]  # fmt: skip
    write_artefact(two, {"held_out.jsonl": "".join(json.dumps(x) + "\n" for x in lines)})
    judgements.record(session, two)
    session.commit()
    couples = judgements.list_couples(session, one, two)
    assert len(couples) == N
    page = browsing.get(f"/projects/garden/reward/{two.id}?with={one.id}").text
    assert f"On the same {N} held-out comparisons" in page
    assert "Accuracy 0.500 and 1.000: a difference of 0.500" in page
    assert ", for model 7." in page
    assert "The figures below are each on its own" in page


def test_the_paired_interval_is_narrower_than_that_of_two_strangers_and_covers_no_difference() -> (
    None
):
    stream = random.Random(0)
    base = [stream.gauss(0.5, 1) for _ in range(400)]
    couples = [Couple(str(k // 2), m, m + stream.gauss(0, 0.1)) for k, m in enumerate(base)]
    found = contest(couples)
    assert found is not None
    assert (found.n, found.n_pairs) == (400, 200)
    assert found.accuracy.low <= 0 <= found.accuracy.high
    assert not found.accuracy.is_clear
    # Two independent accuracies of .69 over 400 differ with a standard error of .033.
    assert found.accuracy.high - found.accuracy.low < 0.06
    assert found.n_both_right + found.n_only_left + found.n_only_right + found.n_both_wrong == 400
    losses = [np.logaddexp(0, -one.left) for one in couples]
    assert found.log_loss.left == pytest.approx(np.mean(losses))
    assert contest([]) is None


def test_a_run_of_an_older_report_shows_its_page_without_what_it_did_not_measure() -> None:
    run = RewardRun(number=1, accuracy=0.7, report={"eval": {"accuracy": 0.7, "n": 10}})
    assert account.ceiling(run).share is None
    assert "not known yet" in account.strength_chart(run)
    assert "It takes 64 comparisons" in account.growth_chart(run)
    assert account.alarms(run) == []
    assert account.as_table(run, "tastes") == (
        ["feature", "model", "people", "gap", "low", "high", "pairs_that_differ"], [],
    )  # fmt: skip
