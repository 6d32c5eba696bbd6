"""Pages, JSON and CSV of reward runs."""

import csv
import io
import math
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from app.reward.intervals import wilson
from app.settings import get_settings
from app.spreadsheet import as_csv
from app.tables.accounts import Person
from app.tables.base import utc_now
from app.tables.jobs import JobKind, JobState
from app.tables.projects import Project
from app.tables.runs import RewardRun, RunMetric, RunState
from tests.loop.worlds import (
    add_job,
    add_metrics,
    add_policy,
    add_reward,
    make_staff,
    write_artefact,
)
from tests.support import Browsing

RUNS = "/projects/garden/reward"


@pytest.fixture
def project(session: Session, browsing: Browsing) -> Project:
    """A project whose researcher is signed in."""
    project, person = make_staff(session)
    session.commit()
    browsing.sign_in(person)
    return project


def test_wilsons_interval_agrees_with_published_figures() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(0.5, 0) == (0.0, 1.0)


def test_a_run_shows_its_figures_with_n_and_interval_and_the_baseline_beside_them(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_reward(session, project, 4, accuracy=0.73)
    add_metrics(session, run)
    policy = add_policy(session, project, 1, reward=run)
    session.commit()
    page = browsing.get(f"{RUNS}/{run.id}").text
    for words in (
        "0.53 to 0.87, n 24", "0.580", "the baseline", "± 0.030 nats", "216 + 24",
        "far better", "n 10", "Training loss went from", "c0ffeec0ffee", run.artefact,
        f"/projects/garden/policy/{policy.id}", "Configuration, 3 settings",
    ):  # fmt: skip
        assert words in page
    assert "every 2s" not in page


def test_a_run_says_which_losses_were_tried_and_which_it_learns_by(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_reward(session, project, 1)
    assert "Which loss" not in browsing.get(f"{RUNS}/{run.id}").text
    figures = {"accuracy": 0.7, "gain_standard_error": 0.004}
    run.report = {
        **run.report,
        "configuration": {"loss": "soft", "soft_temperature": 0.85},
        "losses_tried": {
            "plain": {"log_loss": 0.61, "gain": 0.0, **figures, "gain_standard_error": 0.0},
            "soft at 0.85": {"log_loss": 0.59, "gain": 0.02, **figures},
            "scaled": {"log_loss": 0.62, "gain": -0.01, **figures},
        },
    }
    session.commit()
    page = browsing.get(f"{RUNS}/{run.id}").text
    assert page.count(", chosen<") == 1
    assert "soft at 0.85, chosen<" in page
    assert "0.020 ± 0.004" in page
    assert "−0.010 ± 0.004" in page
    csv = browsing.get(f"/api/v1/projects/garden/reward-runs/{run.id}/account/losses.csv").text
    assert csv.splitlines()[1] == "soft at 0.85,0.59,0.7,0.02,0.004,True"


def test_a_running_run_asks_again_and_shows_no_figure_it_does_not_have(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_reward(
        session, project, 1, state=RunState.RUNNING, finished_at=None, report={}, artefact=""
    )
    run.accuracy = run.log_loss = run.ece = None
    add_job(session, project, JobKind.REWARD, run_id=run.id, progress_message="Training")
    session.commit()
    block = browsing.get(f"{RUNS}/{run.id}", headers={"HX-Request": "true"}).text
    assert "<html" not in block
    assert "12 of 40 · Training" in block
    assert "every 2s" in block
    assert "Held-out accuracy</dt>" not in block
    assert "The first step has not been reported yet." in block


def test_how_long_it_takes_is_said_from_the_pace_of_steps_that_come_several_at_once(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_reward(session, project, 1, state=RunState.RUNNING, finished_at=None, report={})
    job = add_job(session, project, JobKind.REWARD, run_id=run.id, progress_done=10)
    now = utc_now().replace(microsecond=0)

    def report(steps: range, seconds: float) -> str:
        for step in steps:
            at = now + timedelta(seconds=seconds, microseconds=step)
            session.add(RunMetric(run_id=run.id, name="loss", step=step, value=0.5, at=at))
        job.progress_done = steps.stop - 1
        session.commit()
        return browsing.get(f"{RUNS}/{run.id}", headers={"HX-Request": "true"}).text

    # Half a minute of loading says nothing of how long ten steps take.
    assert "left</span>" not in report(range(1, 11), -8)
    assert "about 8 s left" in report(range(11, 21), -4)


def test_a_failed_run_says_why_in_words_and_offers_another_try(
    browsing: Browsing, project: Project, session: Session
) -> None:
    why = "The loss is not a number any more. <b>Lower</b> the learning rate."
    run = add_reward(session, project, 1, state=RunState.FAILED, error=why, report={})
    add_job(session, project, JobKind.REWARD, run_id=run.id, state=JobState.FAILED, error=why)
    session.commit()
    page = browsing.get(f"{RUNS}/{run.id}").text
    assert "It failed." in page
    assert "&lt;b&gt;Lower&lt;/b&gt;" in page
    assert "Try again" in page


def test_two_runs_stand_side_by_side_with_what_differs(
    browsing: Browsing, project: Project, session: Session
) -> None:
    one, two = add_reward(session, project, 1), add_reward(session, project, 2)
    session.commit()
    page = browsing.get(f"{RUNS}/{two.id}?with={one.id}").text
    assert "Reward models 1 and 2" in page
    assert "judged on different held-out comparisons" in page
    assert "epochs" in page
    assert "loss" not in page.partition("Settings that differ")[2]
    assert browsing.get(f"{RUNS}/{one.id}?with={one.id}").status_code == 303


def test_the_list_is_empty_with_a_reason_and_then_holds_every_run(
    browsing: Browsing, project: Project, session: Session
) -> None:
    assert "No reward model yet" in browsing.get(RUNS).text
    for number in (1, 2):
        add_reward(session, project, number, accuracy=0.5 + number / 10)
    session.commit()
    page = browsing.get(RUNS).text
    assert "Held-out accuracy went from 0.60 to 0.70 over 2 reward models" in page
    assert "Reward model 2" in page


def test_a_run_of_another_project_is_not_found(
    browsing: Browsing, project: Project, session: Session
) -> None:
    other, _ = make_staff(session, "otto", slug="other")
    run = add_reward(session, other, 1)
    session.commit()
    for url in (f"{RUNS}/{run.id}", f"/api/v1/projects/garden/reward-runs/{run.id}"):
        assert browsing.get(url).status_code == 404


def test_manifest_and_card_are_shown_as_plain_text_and_nothing_else_is(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_reward(session, project, 1)
    session.commit()
    write_artefact(run, {"manifest.json": '{"a": 1}', "README.md": "<script>", "secret": "s"})
    found = browsing.get(f"{RUNS}/{run.id}/files/README.md")
    assert found.text == "<script>"
    assert found.headers["content-type"].startswith("text/plain")
    assert browsing.get(f"{RUNS}/{run.id}/files/secret").status_code == 404
    assert browsing.get(f"{RUNS}/{run.id}/files/..%2Fsecret").status_code == 404


def test_a_run_shows_files_of_its_own_folder_and_of_no_other_run(
    browsing: Browsing, project: Project, session: Session
) -> None:
    other, _ = make_staff(session, "otto", slug="other")
    secret = add_reward(session, other, 1)
    write_artefact(secret, {"manifest.json": "secret"})
    there = str(get_settings().runs_folder / secret.artefact)
    names = (secret.artefact, there, f"../runs/{secret.artefact}", "/etc", ".", "..")
    for number, name in enumerate(names, 1):
        run = add_reward(session, project, number, artefact=name)
        session.commit()
        assert browsing.get(f"{RUNS}/{run.id}/files/manifest.json").status_code == 404


def test_a_researcher_can_make_an_older_run_live(
    browsing: Browsing, project: Project, session: Session
) -> None:
    old = add_reward(session, project, 1)
    new = add_reward(session, project, 2, is_live=True)
    session.commit()
    assert browsing.post(f"{RUNS}/{old.id}/live").status_code == 303
    session.expire_all()
    assert session.get_one(RewardRun, old.id).is_live
    assert not session.get_one(RewardRun, new.id).is_live


def test_metrics_come_as_json_and_as_csv_with_one_row_a_step(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_reward(session, project, 1)
    add_metrics(session, run, 5)
    session.commit()
    url = f"/api/v1/projects/garden/reward-runs/{run.id}"
    found = browsing.get(url).json()
    assert [one["step"] for one in found["metrics"]["loss"]] == [1, 2, 3, 4, 5]
    assert found["report"]["eval"]["longer_wins"] == 0.58
    response = browsing.get(f"{url}/metrics.csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert "attachment" in response.headers["content-disposition"]
    assert list(rows[0]) == ["step", "accuracy", "loss"]
    assert math.isclose(float(rows[4]["loss"]), found["metrics"]["loss"][4]["value"])
    assert browsing.get("/api/v1/projects/garden/reward-runs").json()[0]["number"] == 1
    assert "longer_wins" in browsing.get("/api/v1/projects/garden/reward-runs.csv").text


def test_a_csv_cell_that_a_spreadsheet_would_run_is_made_harmless() -> None:
    assert as_csv(["name"], [["=1+1"], [None], [-1.5]]) == 'name\r\n\'=1+1\r\n""\r\n-1.5\r\n'


def test_a_person_without_a_role_here_is_a_stranger(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_reward(session, project, 1)
    stranger = Person(name="sam", email="sam@example.org")
    session.add(stranger)
    session.commit()
    browsing.sign_in(stranger)
    assert browsing.get(f"{RUNS}/{run.id}").status_code == 404
