"""The loop page: what it says, what runs, what may be done, and who may see it."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.tables.accounts import ApiToken, AuditEvent, Person, Role, hash_token
from app.tables.base import utc_now
from app.tables.jobs import Job, JobKind, JobState
from app.tables.projects import Project
from app.tables.runs import RewardRun, RunState
from tests.loop.worlds import (
    add_comparisons,
    add_job,
    add_metrics,
    add_policy,
    add_prompts,
    add_reward,
    add_worker,
    make_staff,
)
from tests.support import Browsing, join, make_person

LOOP = "/projects/garden/loop"


@pytest.fixture
def staff(session: Session, browsing: Browsing) -> tuple[Project, Person]:
    """A project whose researcher is signed in."""
    project, person = make_staff(session)
    session.commit()
    browsing.sign_in(person)
    return project, person


def test_an_empty_project_is_told_to_import_and_when_the_first_round_begins(
    browsing: Browsing, staff: tuple[Project, Person]
) -> None:
    page = browsing.get(LOOP).text
    assert "Import prompts with completions to begin." in page
    assert "The first begins by itself once 60 comparisons are in (0 so far)" in page
    assert "The first reward model has not been trained yet." in page


def test_without_a_worker_the_page_says_what_to_do(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    assert "No worker is running, so nothing trains." in browsing.get(LOOP).text
    add_worker(session, "cuda, NVIDIA H100")
    session.commit()
    page = browsing.get(LOOP).text
    assert "No worker is running" not in page
    assert "loom-1" in page
    assert "cuda, NVIDIA H100" in page


def test_the_compare_stage_counts_new_comparisons_and_who_made_them(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    project, _ = staff
    pairs = add_prompts(session, project, 16)
    add_comparisons(session, project, make_person(session, "ann"), pairs[:14])
    session.commit()
    page = browsing.get(LOOP).text
    assert "14 of 60" in page
    assert "14 comparisons by 1 person in 24 hours." in page
    assert "2 pairs open for comparison." in page
    assert "A new set is frozen after 46 more comparisons." in page


def test_a_running_job_shows_progress_worker_attempt_and_time_left(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    project, _ = staff
    run = add_policy(
        session, project, 1, reward=add_reward(session, project, 1),
        state=RunState.RUNNING, finished_at=None, artefact="",
    )  # fmt: skip
    add_metrics(session, run, 12)
    add_job(session, project, JobKind.POLICY, run_id=run.id, attempt=2)
    add_worker(session)
    session.commit()
    page = browsing.get(LOOP).text
    assert "Now: optimising the policy." in page
    assert '<progress value="12" max="40"' in page
    assert "about 28 s left" in page
    assert "attempt 2 of 3" in page
    assert 'hx-trigger="every 2s"' in page


def test_htmx_gets_the_live_block_alone_and_asks_less_often_while_nothing_runs(
    browsing: Browsing, staff: tuple[Project, Person]
) -> None:
    block = browsing.get(LOOP, headers={"HX-Request": "true"}).text
    assert "<html" not in block
    assert "Stages of the loop" in block
    assert 'hx-trigger="every 10s"' in block
    assert "hx-nonce=" in block


def test_a_failed_job_says_why_and_can_be_tried_again(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    project, person = staff
    why = "The disk is full. Free some space."
    run = add_reward(session, project, 1, state=RunState.FAILED, error=why)
    job = add_job(session, project, JobKind.REWARD, run_id=run.id, state=JobState.FAILED, error=why)
    session.commit()
    page = browsing.get(LOOP).text
    assert why in page
    assert "Try again" in page
    response = browsing.post(f"{LOOP}/retry", {"job_id": str(job.id)})
    assert response.status_code == 303
    assert "tried%20again" in response.headers["set-cookie"]
    session.expire_all()
    queued = session.scalars(select(Job).where(Job.state == JobState.QUEUED)).one()
    assert queued.run_id == run.id
    assert session.get_one(RewardRun, run.id).state is RunState.QUEUED
    assert person.id in session.scalars(select(AuditEvent.actor_id)).all()


def test_a_running_job_can_be_stopped_and_the_trail_knows_who_did(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    project, person = staff
    run = add_reward(session, project, 1, state=RunState.RUNNING)
    job = add_job(session, project, JobKind.REWARD, run_id=run.id)
    session.commit()
    response = browsing.post(f"{LOOP}/stop", {"job_id": str(job.id)})
    assert "is%20stopping" in response.headers["set-cookie"]
    assert "Stopping at the end of the step" in browsing.get(LOOP).text
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "job.stopped")).one()
    assert event.actor_id == person.id


def test_training_can_be_started_by_hand_once_there_are_comparisons(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    project, _ = staff
    assert browsing.post(f"{LOOP}/start", {"step": "reward"}).status_code == 409
    pairs = add_prompts(session, project, 4)
    add_comparisons(session, project, make_person(session, "ann"), pairs)
    session.commit()
    assert "Train now" in browsing.get(LOOP).text
    response = browsing.post(f"{LOOP}/start", {"step": "reward"})
    assert response.status_code == 303
    assert "preference%20set%201" in response.headers["set-cookie"]
    assert session.scalars(select(Job.kind)).all() == [JobKind.REWARD]


def test_a_step_that_does_not_exist_is_refused(
    browsing: Browsing, staff: tuple[Project, Person]
) -> None:
    assert browsing.post(f"{LOOP}/start", {"step": "dance"}).status_code == 422


def test_the_loop_can_be_paused_and_resumed(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    project, _ = staff
    browsing.post(f"{LOOP}/automatic", {"is_automatic": "false"})
    session.expire_all()
    assert session.get_one(Project, project.id).is_loop_automatic is False
    assert "Turned by hand" in browsing.get(LOOP).text
    browsing.post(f"{LOOP}/automatic", {"is_automatic": "true"})
    actions = session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
    assert actions == ["loop.paused", "loop.resumed"]


def test_rounds_show_comparisons_accuracy_with_interval_scores_and_alarms(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    project, _ = staff
    reward = add_reward(session, project, 1, accuracy=0.7, is_live=True)
    policy = add_policy(session, project, 1, reward=reward, alarms=["Too far."])
    session.commit()
    page = browsing.get(LOOP).text.replace("\u00a0", " ")
    assert f"/projects/garden/reward/{reward.id}" in page
    assert f"/projects/garden/policy/{policy.id}" in page
    assert "0.70 <span" in page
    assert "−0.10 ± 0.05 → 0.80 ± 0.05" in page
    assert "alarm" in page
    assert "2 min 23 s" in page


def test_hostile_text_from_a_worker_stays_text(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    project, _ = staff
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    project.name = hostile
    run = add_reward(session, project, 1, state=RunState.FAILED, error=hostile)
    add_job(session, project, JobKind.REWARD, run_id=run.id, state=JobState.FAILED, error=hostile)
    add_job(session, project, JobKind.POLICY, progress_message=hostile, worker=hostile)
    session.commit()
    page = browsing.get(LOOP).text
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_an_annotator_is_refused_and_a_stranger_is_told_that_there_is_no_such_project(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    project, _ = staff
    annotator, stranger = make_person(session, "ann"), make_person(session, "sam")
    join(session, project, annotator, Role.ANNOTATOR)
    session.commit()
    for person, status in ((annotator, 403), (stranger, 404)):
        browsing.sign_in(person)
        for path in ("loop", "reward", "policy"):
            assert browsing.get(f"/projects/garden/{path}").status_code == status
        posted = browsing.post(f"{LOOP}/automatic", {"is_automatic": "false"})
        assert posted.status_code == status
        assert browsing.get("/api/v1/projects/garden/loop").status_code == status


def test_a_job_of_another_project_cannot_be_stopped_from_here(
    browsing: Browsing, staff: tuple[Project, Person], session: Session
) -> None:
    other, _ = make_staff(session, "otto", slug="other")
    job = add_job(session, other, JobKind.POLICY)
    session.commit()
    assert browsing.post(f"{LOOP}/stop", {"job_id": str(job.id)}).status_code == 404


def test_the_api_says_where_the_loop_stands_to_a_bearer_token(
    browsing: Browsing, session: Session
) -> None:
    project, person = make_staff(session)
    add_reward(session, project, 1)
    token = "pf_" + "x" * 30
    session.add(
        ApiToken(
            person_id=person.id,
            name="script",
            prefix="pf_xxx",
            token_hash=hash_token(token),
            expires_at=utc_now() + timedelta(days=1),
        )
    )
    session.commit()
    found = browsing.get(
        "/api/v1/projects/garden/loop", headers={"Authorization": f"Bearer {token}"}
    ).json()
    assert [one["name"] for one in found["stages"]] == [
        *("prompts", "compare", "freeze", "reward", "policy", "sample")
    ]
    assert found["rounds"][0]["reward_run"]["accuracy"] == 0.7
    assert found["comparisons_per_round"] == 60
