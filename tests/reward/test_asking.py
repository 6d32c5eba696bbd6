"""The page where a reward run is asked for, and what a run's page says it was asked for."""

import typing
from dataclasses import fields

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs, runs
from app.loop.facts import read_facts
from app.reward import service
from app.reward.asking import LOSSES
from app.reward.forms import LengthWay, LossName, ReliabilityWay, RunIn
from app.tables.jobs import JobKind
from app.tables.projects import Objective, Polarity, Project
from app.tables.runs import RewardRun, RunState
from tests.datasets.support import make_flag
from tests.loop.worlds import add_reward, add_set, make_staff
from tests.support import Browsing
from worker import stages
from worker.reward.configuration import RewardConfiguration
from worker.reward.length import parse_length
from worker.reward.reliability import Reliability
from worker.reward.strength import Loss

ASK = "/projects/garden/reward/ask"


@pytest.fixture
def project(session: Session, browsing: Browsing) -> Project:
    """A project with a flag about completions, whose researcher is signed in."""
    project, person = make_staff(session)
    make_flag(session, project, "harmful", polarity=Polarity.BAD)
    make_flag(session, project, "kind", polarity=Polarity.NEUTRAL)
    session.commit()
    browsing.sign_in(person)
    return project


def test_the_page_knows_the_words_that_the_trainer_knows() -> None:
    losses = typing.get_args(LossName)
    assert set(losses) == {"auto", *Loss} == set(LOSSES)
    assert set(typing.get_args(ReliabilityWay)) == set(Reliability)
    for way in typing.get_args(LengthWay):
        parse_length(way)
    known = {one.name for one in fields(RewardConfiguration)} | {"lora"}
    assert set(RunIn.model_fields) - known == {"preference_set", "is_trial"}


def test_without_a_set_there_is_nothing_to_ask_for_and_with_one_a_plain_run_is_as_the_loops(
    session: Session, browsing: Browsing, project: Project
) -> None:
    assert "No preference set yet" in browsing.get(ASK).text
    add_set(session, project, 1)
    session.commit()
    assert f'href="{ASK}"' in browsing.get("/projects/garden/reward").text
    page = browsing.get(ASK).text
    for words in ("less “Harmful” is better", "more “Kind” is better", "less “Kind” is better"):
        assert words in page
    assert "more “Harmful”" not in page
    done = browsing.post(ASK, {"preference_set": "1", "learns": "answers", "goes_live": "true"})
    run = session.scalars(select(RewardRun)).one()
    assert done.headers["location"] == f"/projects/garden/reward/{run.id}"
    assert run.configuration == service.default_configuration(project, 216)
    page = browsing.get(done.headers["location"]).text
    assert "what people preferred; loss: soft targets</dd>" in page
    assert "a trial" not in page


def test_a_safety_run_with_heads_and_settings_is_asked_for_and_says_so(
    session: Session, browsing: Browsing, project: Project
) -> None:
    add_set(session, project, 1)
    session.commit()
    asked = {
        "preference_set": "1", "learns": "flag", "flag": "harmful", "safety_flag": "harmful",
        "attributes": ["kind", "harmful"], "loss": "auto", "lora": "8", "ensemble": "4",
        "length": "covariate", "epochs": "2.5", "seed": "0",
    }  # fmt: skip
    done = browsing.post(ASK, asked)
    run = session.scalars(select(RewardRun)).one()
    assert run.objective is Objective.SAFETY
    wanted = {"objective": "safety", "flag": "harmful", "safety_flag": "harmful", "seed": 0,
              "attributes": "kind,harmful", "loss": "auto", "lora": 8, "ensemble": 4,
              "length": "covariate", "epochs": 2.5, "is_trial": True}  # fmt: skip
    assert wanted.items() <= run.configuration.items()
    page = browsing.get(done.headers["location"]).text
    for words in (
        "the one with less “Harmful”", "a safety head on the same network",
        "a head for each attribute: “Kind”, “Harmful”", "rank 8", "an ensemble of 4 heads",
        "a trial, which does not go live by itself",
    ):  # fmt: skip
        assert words in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"learns": "flag"}, "Choose the flag"),
        ({"epochs": "many"}, "Give a number from 0.01 to 100"),
        ({"epochs": "nan"}, "Give a number from 0.01 to 100"),
        ({"lora": "0"}, "Give a whole number from 1 to 1,024"),
        ({"ensemble": "1"}, "One head disagrees with nobody"),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field_and_what_was_typed_stays(
    session: Session, browsing: Browsing, project: Project, typed: dict[str, str], said: str
) -> None:
    add_set(session, project, 1)
    session.commit()
    refused = browsing.post(ASK, {"seed": "41", **typed})
    assert refused.status_code == 422
    assert said in refused.text
    assert 'value="41"' in refused.text
    assert "Nothing is asked for yet" in refused.text
    assert session.scalars(select(RewardRun)).all() == []


def test_a_second_run_is_refused_while_one_waits_and_leaves_no_run_without_a_job(
    session: Session, browsing: Browsing, project: Project
) -> None:
    add_set(session, project, 1)
    session.commit()
    assert browsing.post(ASK, {}).status_code == 303
    refused = browsing.post(ASK, {})
    assert refused.status_code == 409
    assert "already waits" in refused.text
    assert len(session.scalars(select(RewardRun)).all()) == 1


def test_a_trial_neither_goes_live_nor_counts_as_the_loops_and_its_trainer_is_not_told(
    session: Session, project: Project
) -> None:
    frozen = add_set(session, project, 1)
    run = service.request_run(session, project, frozen, configuration={"is_trial": True})
    claim = jobs.claim(session, "loom-1")
    assert claim is not None
    told = stages.STAGES[JobKind.REWARD].prepare(session, claim, stages.job_folder(claim))
    assert "--seed" in told
    assert "--is-trial" not in told
    service.start(session, claim)
    service.publish(session, claim, runs.Outcome("x", "y", {"eval": {"accuracy": 0.9}}))
    assert run.state is RunState.FINISHED
    assert not run.is_live
    assert not read_facts(session, project).is_set_trained
    run.configuration = {}
    session.flush()
    assert read_facts(session, project).is_set_trained


def test_what_a_flag_says_and_what_people_preferred_are_not_held_against_each_other(
    session: Session, browsing: Browsing, project: Project
) -> None:
    one = add_reward(session, project, 1)
    two = add_reward(session, project, 2, configuration={"flag": "harmful"})
    session.commit()
    assert (
        "They answer different questions"
        in browsing.get(f"/projects/garden/reward/{one.id}?with={two.id}").text
    )


def test_heads_beside_the_models_own_stand_on_its_page_with_how_well_they_do(
    session: Session, browsing: Browsing, project: Project
) -> None:
    run = add_reward(session, project, 1)
    heads = {
        "safety": {"n_train": 120, "n": 30, "accuracy": 0.93, "log_loss": 0.2},
        "kind": {"n_train": 400, "n": 60, "correlation": 0.61},
    }
    run.report = run.report | {"side_heads": heads}
    session.commit()
    page = browsing.get(f"/projects/garden/reward/{run.id}").text
    for words in ("More heads on its network", "accuracy 0.930", "Kind", "correlation 0.610"):
        assert words in page
