"""The loop and its runs in a real browser: live, accessible, narrow, and silent in the console."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy.orm import Session

from app.tables.accounts import Role
from app.tables.base import utc_now
from app.tables.jobs import Job, JobKind, JobState
from app.tables.projects import Project
from app.tables.runs import PolicyRun, RewardRun, RunState
from tests.browser.conftest import Live
from tests.browser.walk import Walk, walking
from tests.loop.worlds import (
    add_comparisons,
    add_job,
    add_metrics,
    add_policy,
    add_prompts,
    add_reward,
    add_worker,
    make_staff,
    sample_lines,
    write_artefact,
)
from tests.support import join, log_in, make_person

pytestmark = pytest.mark.browser


@pytest.fixture
def project(session: Session) -> Project:
    project, _ = make_staff(session)
    session.commit()
    return project


@pytest.fixture
def visit(chromium: Browser, live: Live, session: Session, project: Project) -> Iterator[Walk]:
    person = make_person(session, "ada")
    join(session, project, person, Role.ADMIN, Role.RESEARCHER)
    token, _ = log_in(session, person)
    with walking(chromium, live.url, token) as walk:
        yield walk


def fill(session: Session, project: Project) -> tuple[RewardRun, PolicyRun]:
    """Two rounds, an alarm, samples, and new comparisons."""
    pairs = add_prompts(session, project, 12)
    add_comparisons(session, project, make_person(session, "ann"), pairs[:7])
    first = add_policy(session, project, 1, reward=None)
    for number in (1, 2):
        reward = add_reward(session, project, number, accuracy=0.6 + number / 20)
        policy = add_policy(session, project, number + 1, reward=reward, parent_id=first.id)
        add_metrics(session, reward)
        add_metrics(session, policy)
    policy.alarms = ["The policy is 21.3 nats from the reference, beyond the budget of 20."]
    write_artefact(
        policy, {"evaluation_samples.jsonl": sample_lines({0: "a " * 400, 40: "**b** " * 90})}
    )
    add_worker(session)
    session.commit()
    return reward, policy


def fail(session: Session, project: Project) -> RewardRun:
    run = add_reward(session, project, 9, state=RunState.FAILED, error="It broke. " * 20)
    values = {"state": JobState.FAILED, "error": run.error, "finished_at": utc_now()}
    add_job(session, project, JobKind.REWARD, run_id=run.id, **values)
    session.commit()
    return run


def run_a_policy(session: Session, project: Project, reward: RewardRun) -> tuple[PolicyRun, Job]:
    run = add_policy(
        session, project, 9, reward=reward, state=RunState.RUNNING, finished_at=None,
        started_at=utc_now() - timedelta(seconds=30), report={}, artefact="",
    )  # fmt: skip
    run.score_before = run.score_after = run.kl = run.entropy = None
    add_metrics(session, run, 12)
    job = add_job(session, project, JobKind.POLICY, run_id=run.id)
    session.commit()
    return run, job


def test_every_page_is_clean_accessible_and_as_wide_as_the_screen(
    visit: Walk, session: Session, project: Project
) -> None:
    for path in ("loop", "reward", "policy"):
        visit.go(path)
        assert visit.problems() == []
    reward, policy = fill(session, project)
    failed = fail(session, project)
    paths = ["loop", "reward", "policy", f"reward/{reward.id}", f"policy/{policy.id}",
             f"reward/{failed.id}", f"policy/{policy.parent_id}",
             f"reward/{reward.id}?with={failed.id}",
             f"policy/{policy.id}?with={policy.parent_id}"]  # fmt: skip
    for path in paths:
        visit.go(path)
        assert visit.problems() == [], path
    running, _ = run_a_policy(session, project, reward)
    for path in ("loop", f"policy/{running.id}"):
        visit.go(path)
        assert visit.problems() == [], path


def test_progress_moves_by_itself_and_leaves_open_what_was_opened(
    visit: Walk, session: Session, project: Project
) -> None:
    reward, _ = fill(session, project)
    _, job = run_a_policy(session, project, reward)
    page = visit.go("loop")
    numbers = page.locator("details.chart-numbers").first
    numbers.locator("summary").click()
    expect(page.get_by_text("12 of 40")).to_be_visible()
    job.progress_done = 31
    session.commit()
    expect(page.get_by_text("31 of 40")).to_be_visible(timeout=6000)
    expect(numbers).to_have_attribute("open", "")
    job.state, job.token, job.finished_at = JobState.FINISHED, None, utc_now()
    session.commit()
    expect(page.locator("#poll-every-10")).to_be_attached(timeout=6000)
    expect(page.locator("#poll-every-2")).to_have_count(0)
    assert visit.said == []


def test_the_run_page_shows_its_end_without_a_reload(
    visit: Walk, session: Session, project: Project
) -> None:
    reward, _ = fill(session, project)
    run, job = run_a_policy(session, project, reward)
    page = visit.go(f"policy/{run.id}")
    expect(page.get_by_text("Samples appear here when the run has ended.")).to_be_visible()
    job.state, job.token, job.finished_at = JobState.FINISHED, None, utc_now()
    run.state, run.finished_at, run.score_before, run.score_after = (
        RunState.FINISHED, utc_now(), 0.1, 0.9,
    )  # fmt: skip
    session.commit()
    title = "The score on held-out prompts rose from 0.10 to 0.90"
    expect(page.locator("figcaption").get_by_text(title)).to_be_visible(timeout=6000)
    expect(page.locator("[id^=poll-every]")).to_have_count(0)
    assert visit.problems() == []


def test_pausing_says_what_happened(visit: Walk) -> None:
    page = visit.go("loop")
    page.get_by_role("button", name="Pause the loop").click()
    expect(page.get_by_text("The loop is paused: what runs now ends")).to_be_visible()
    expect(page.get_by_role("button", name="Let it turn by itself")).to_be_visible()


def test_stopping_asks_first_and_then_says_so(
    visit: Walk, session: Session, project: Project
) -> None:
    reward, _ = fill(session, project)
    run_a_policy(session, project, reward)
    page = visit.go("loop")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Optimising the policy is stopping.")).to_be_visible()
