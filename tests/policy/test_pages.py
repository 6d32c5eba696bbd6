"""Pages, JSON and CSV of policy runs."""

import pytest
from sqlalchemy.orm import Session

from app.policy.samples import pair_up
from app.tables.accounts import Role
from app.tables.jobs import JobKind
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RunState
from tests.loop.worlds import (
    add_job,
    add_metrics,
    add_policy,
    add_reward,
    make_staff,
    sample_lines,
    write_artefact,
)
from tests.support import Browsing, join, make_person

RUNS = "/projects/garden/policy"


@pytest.fixture
def project(session: Session, browsing: Browsing) -> Project:
    """A project whose researcher is signed in."""
    project, person = make_staff(session)
    session.commit()
    browsing.sign_in(person)
    return project


def read(browsing: Browsing, run: PolicyRun) -> str:
    return browsing.get(f"{RUNS}/{run.id}").text.replace("\u00a0", " ")


def test_a_run_shows_before_and_after_with_standard_errors_and_its_curves(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_policy(session, project, 1, reward=add_reward(session, project, 1))
    add_metrics(session, run)
    session.commit()
    page = read(browsing, run)
    assert "The score on held-out prompts rose from −0.10 ± 0.05 to 0.80 ± 0.05" in page
    assert "The policy is 3.40 nats from its reference" in page
    assert "Entropy went from" in page
    assert "Reward (score minus KL penalty) went from" in page
    assert "n 256" in page


def test_alarms_stand_at_the_top_in_words(
    browsing: Browsing, project: Project, session: Session
) -> None:
    alarm = "The KL estimate is −0.3: do not use its policy. <script>"
    run = add_policy(session, project, 1, reward=add_reward(session, project, 1), alarms=[alarm])
    session.commit()
    page = read(browsing, run)
    assert page.index("do not use its policy. &lt;script&gt;") < page.index("Score before")


def test_the_chain_leads_from_the_policy_back_to_the_comparisons(
    browsing: Browsing, project: Project, session: Session
) -> None:
    first = add_policy(session, project, 1, reward=None)
    reward = add_reward(session, project, 1)
    run = add_policy(session, project, 2, reward=reward, parent_id=first.id, reference_id=first.id)
    session.commit()
    page = read(browsing, run)
    for url in (f"policy/{first.id}", f"reward/{reward.id}", f"sets/{reward.preference_set_id}"):
        assert url in page
    assert f"policy/{run.id}" in read(browsing, first)


def test_samples_stand_before_and_after_and_hostile_ones_stay_harmless(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_policy(session, project, 1, reward=add_reward(session, project, 1))
    session.commit()
    hostile = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](https://evil.example/p.png)"
    lines = sample_lines({0: hostile, 10: "between", 40: "A **sparrow**."})
    write_artefact(run, {"evaluation_samples.jsonl": lines + '{"step": 40, "torn'})
    page = read(browsing, run)
    assert "<strong>sparrow</strong>" in page
    assert "between" not in page
    assert "<script>alert" not in page
    assert 'href="javascript' not in page
    assert "<img" not in page


def test_rows_of_another_form_are_left_out_of_the_samples() -> None:
    rows = [{"step": 0}, {"completion": "x"}, {"step": "0", "completion": "x"}]
    assert pair_up(rows, 8) == []


def test_a_running_run_is_live_and_a_finished_one_is_left_in_peace(
    browsing: Browsing, project: Project, session: Session
) -> None:
    reward = add_reward(session, project, 1)
    run = add_policy(
        session, project, 1, reward=reward, state=RunState.RUNNING, finished_at=None,
        score_before=None, score_after=None, kl=None, entropy=None, report={}, artefact="",
    )  # fmt: skip
    add_metrics(session, run, 12)
    add_job(session, project, JobKind.POLICY, run_id=run.id)
    done = add_policy(session, project, 2, reward=reward)
    session.commit()
    page = read(browsing, run)
    assert "every 2s" in page
    assert "The training score went from" in page
    assert "undefined" not in page
    assert "every 2s" not in read(browsing, done)


def test_a_base_model_and_a_fine_tuned_one_say_what_they_are(
    browsing: Browsing, project: Project, session: Session
) -> None:
    base = add_policy(
        session, project, 1, reward=None, algorithm=Algorithm.BASE, report={}, artefact="tiny"
    )
    tuned = add_policy(session, project, 2, reward=None)
    session.commit()
    assert "nothing was trained" in read(browsing, base)
    assert "The loss on held-out answers went from 3.90 to 1.40" in read(browsing, tuned)


def test_a_base_model_named_like_a_run_shows_none_of_its_files(
    browsing: Browsing, project: Project, session: Session
) -> None:
    trained = add_policy(session, project, 1, reward=None)
    write_artefact(trained, {"manifest.json": "secret"})
    base = add_policy(
        session, project, 2, reward=None, algorithm=Algorithm.BASE, report={}, artefact=""
    )
    base.artefact = f"{base.id}/model"
    write_artefact(base, {"manifest.json": "secret"})
    session.commit()
    assert browsing.get(f"{RUNS}/{trained.id}/files/manifest.json").text == "secret"
    assert browsing.get(f"{RUNS}/{base.id}/files/manifest.json").status_code == 404


def test_two_runs_stand_side_by_side(
    browsing: Browsing, project: Project, session: Session
) -> None:
    runs = [add_policy(session, project, n, reward=add_reward(session, project, n)) for n in (1, 2)]
    for run in runs:
        add_metrics(session, run)
    session.commit()
    page = browsing.get(f"{RUNS}/{runs[0].id}?with={runs[1].id}").text
    assert "Policies 1 and 2" in page
    assert "their scores are not on one scale" in page
    assert "Training score of both runs by step" in page


def test_a_run_held_back_can_be_made_live_by_a_researcher_and_by_no_admin(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_policy(
        session, project, 1, reward=add_reward(session, project, 1), alarms=["Too far."]
    )
    admin = make_person(session, "ada")
    join(session, project, admin, Role.ADMIN)
    session.commit()
    assert "Make live" in read(browsing, run)
    assert browsing.post(f"{RUNS}/{run.id}/live").status_code == 303
    session.expire_all()
    assert session.get_one(PolicyRun, run.id).is_live
    browsing.sign_in(admin)
    assert browsing.post(f"{RUNS}/{run.id}/live").status_code == 403


def test_the_list_is_empty_with_a_reason_and_then_holds_every_run(
    browsing: Browsing, project: Project, session: Session
) -> None:
    assert "No policy yet" in browsing.get(RUNS).text
    run = add_policy(session, project, 1, reward=None)
    session.commit()
    assert f"{RUNS}/{run.id}" in browsing.get(RUNS).text
    assert "supervised fine-tuning" in browsing.get(RUNS).text


def test_the_api_gives_runs_metrics_and_csv(
    browsing: Browsing, project: Project, session: Session
) -> None:
    run = add_policy(session, project, 1, reward=add_reward(session, project, 1))
    add_metrics(session, run, 3)
    session.commit()
    url = f"/api/v1/projects/garden/policy-runs/{run.id}"
    found = browsing.get(url).json()
    assert found["algorithm"] == "ppo"
    assert len(found["metrics"]["kl"]) == 3
    assert browsing.get(f"{url}/metrics.csv").text.startswith("step,entropy,kl,")
    assert [one["id"] for one in browsing.get("/api/v1/projects/garden/policy-runs").json()] == [
        str(run.id)
    ]
