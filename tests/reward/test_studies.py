"""Studies on pages, in the queue and on schedule."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from app import jobs
from app.errors import Conflict
from app.loop.facts import read_facts
from app.loop.service import advance
from app.reward import studies
from app.tables.accounts import Role
from app.tables.base import utc_now
from app.tables.jobs import Job, JobKind, JobState
from app.tables.projects import Objective, Project
from app.tables.runs import RewardRun
from app.tables.studies import Every, Study, StudyKind
from tests.datasets.support import add_pairs, answer, answer_flag, make_flag
from tests.loop.worlds import add_reward, make_staff
from tests.support import Browsing, join, make_person
from worker import stages

STUDIES = "/projects/garden/studies"
WORTH = {
    "method": "heads on frozen features", "is_done": True, "n_done": 3, "n_total": 3,
    "parts": [
        {"kind": "flag", "key": "rude", "n": 30,
         "log_loss": {"value": 0.012, "low": 0.004, "high": 0.02},
         "accuracy": {"value": 0.01, "low": -0.01, "high": 0.03},
         "beyond_random": {"value": 0.002, "low": -0.004, "high": 0.008}},
        {"kind": "annotator", "key": "0123456789abcdef", "n": 6},
    ],
}  # fmt: skip
REPORT = {
    "format": "RewardBench 2", "n": 40, "log_loss": None, "sections": {}, "n_truncated": 0,
    "overall": {"score": 0.55, "low": 0.4, "high": 0.7},
    "subsets": {"Focus": {"score": 0.6, "low": 0.4, "high": 0.8, "n": 30, "chance": 0.25},
                "Ties": {"score": 0.5, "low": 0.3, "high": 0.7, "n": 10, "chance": None}},
}  # fmt: skip


def add_studies(session: Session, run: RewardRun) -> list[Study]:
    """A finished evaluation and a finished study of worth."""
    kinds = {StudyKind.EVALUATION: REPORT, StudyKind.WORTH: WORTH}
    found = [
        Study(project_id=run.project_id, kind=kind, reward_run_id=run.id, title="rb2.jsonl",
              report=report, finished_at=utc_now())
        for kind, report in kinds.items()
    ]  # fmt: skip
    session.add_all(found)
    session.flush()
    return found


@pytest.fixture
def run(session: Session, browsing: Browsing) -> RewardRun:
    """A live reward model of a project whose researcher and admin is signed in."""
    project, person = make_staff(session, is_loop_automatic=False)
    join(session, project, person, Role.ADMIN)
    run = add_reward(session, project, 1, is_live=True)
    session.commit()
    browsing.sign_in(person)
    return run


def claim(session: Session) -> jobs.Claim:
    found = jobs.claim(session, "worker")
    assert found is not None
    return found


def test_a_set_is_brought_by_a_form_evaluated_by_the_worker_and_shown_by_subset(
    browsing: Browsing, run: RewardRun, session: Session
) -> None:
    assert "No study yet" in browsing.get(STUDIES).text
    answered = browsing.post(
        f"{STUDIES}/evaluations",
        data={"reward_run_id": str(run.id)},
        files={"file": ("../../rb2.jsonl", b'{"prompt": "?"}\n')},
    )
    assert answered.status_code == 303
    page = browsing.get(answered.headers["location"]).text
    assert "Stop" in page
    assert "every 2s" in page
    job = claim(session)
    argv = stages.STAGES[JobKind.EVALUATE].prepare(session, job, stages.job_folder(job))
    data = studies.data_file(studies.of_job(session, job))
    assert argv[argv.index("--data") + 1] == str(data)
    assert data.read_bytes() == b'{"prompt": "?"}\n'
    assert data.is_relative_to(studies.study_folder(studies.of_job(session, job)))
    studies.publish(session, job, REPORT)
    session.commit()
    page = browsing.get(answered.headers["location"]).text
    for words in ("Overall it scores 0.550", "Focus", "n 30", "read as RewardBench 2"):
        assert words in page
    assert "every 2s" not in page
    assert (
        "Focus,30,0.6,0.4,0.8,0.25"
        in browsing.get(answered.headers["location"] + "/numbers.csv").text
    )
    assert "0.400 to 0.700" in browsing.get(STUDIES).text


def test_what_the_data_is_worth_goes_on_from_training_to_training_and_is_told_to_other_pages(
    browsing: Browsing, run: RewardRun, session: Session
) -> None:
    study = studies.request_worth(session, run, is_whole=True, by=None)
    with pytest.raises(Conflict, match="already waits"):
        studies.request_worth(session, run, is_whole=False, by=None)
    first = claim(session)
    studies.publish(session, first, {**WORTH, "is_done": False})
    assert study.finished_at is None
    studies.publish(session, claim(session), WORTH)
    session.commit()
    session.refresh(study)
    assert study.finished_at is not None
    rude, someone = studies.list_worths(session, study)
    assert (rude.key, rude.n) == ("rude", 30)
    assert rude.log_loss is not None
    assert rude.log_loss.is_clear
    assert someone.log_loss is None
    page = browsing.get(f"{STUDIES}/{study.id}").text
    for words in ("is missed most where it is left out", "0.0040 to 0.0200", "undefined"):
        assert words in page
    table = browsing.get(f"{STUDIES}/{study.id}/numbers.csv").text
    assert "flag,rude,rude,30,0.012,0.004,0.02" in table


def test_the_worker_takes_what_the_loop_needs_before_a_study_and_the_loop_does_not_wait_for_it(
    run: RewardRun, session: Session
) -> None:
    project = session.get_one(Project, run.project_id)
    studies.request_worth(session, run, is_whole=False, by=None)
    assert read_facts(session, project).jobs == ()
    jobs.enqueue(session, project.id, JobKind.REWARD, run_id=run.id)
    assert claim(session).kind is JobKind.REWARD


def test_a_schedule_asks_once_for_each_live_model_or_after_a_pause(
    browsing: Browsing, run: RewardRun, session: Session
) -> None:
    project = session.get_one(Project, run.project_id)
    assert advance(session) == []
    assert browsing.post(f"{STUDIES}/schedule", data={"every": "run"}).status_code == 303
    session.expire_all()
    said = ["garden: What the data of reward run 1 is worth will be measured."]
    assert advance(session) == said
    assert advance(session) == []
    studies.publish(session, claim(session), WORTH)
    assert advance(session) == []
    run.is_live = False
    session.flush()
    add_reward(session, project, 2, is_live=True)
    studies.set_schedule(session, project, Every.WEEK, is_whole=False, by=None)
    assert advance(session) == []
    study = studies.list_studies(session, project.id)[0]
    study.created_at = utc_now() - timedelta(days=8)
    session.flush()
    assert advance(session) == [said[0].replace("run 1", "run 2")]


def test_a_study_that_failed_or_was_stopped_is_tried_again(
    browsing: Browsing, run: RewardRun, session: Session
) -> None:
    study = studies.request_worth(session, run, is_whole=False, by=None)
    jobs.fail(session, claim(session), "The disk is full.")
    session.commit()
    page = browsing.get(f"{STUDIES}/{study.id}").text
    assert "The disk is full." in page
    answered = browsing.post("/projects/garden/loop/retry", data={"job_id": str(study.job_id)})
    assert answered.status_code == 303
    session.expire_all()
    job = session.get_one(Job, session.get_one(Study, study.id).job_id)
    assert job.state is JobState.QUEUED
    stopped = browsing.post("/projects/garden/loop/stop", data={"job_id": str(job.id)})
    assert stopped.status_code == 303


def test_flags_and_groups_are_parts_and_annotators_where_there_are_no_groups(
    session: Session, run: RewardRun
) -> None:
    from app.accounts.groups import add_group, set_groups
    from app.datasets.service import freeze

    project = session.get_one(Project, run.project_id)
    people = [make_person(session, name) for name in ("alice", "bob")]
    for person in people:
        join(session, project, person, Role.ANNOTATOR)
    flag = make_flag(session, project, "rude")
    for number, pair in enumerate(add_pairs(session, project, 24)):
        given = answer(session, pair, people[number % 2])
        answer_flag(session, given, flag, 1 if number < 8 else 0)
    run.preference_set_id = freeze(session, project).id
    parts = studies.list_parts(session, run)
    assert [one["kind"] for one in parts] == ["flag", "annotator", "annotator"]
    group = add_group(session, project, "Experts", by=None)
    set_groups(session, project, people[0], [group.id], by=None)
    parts = studies.list_parts(session, run)
    assert [one["kind"] for one in parts] == ["flag", "group"]
    assert len(parts[1]["annotators"]) == 1


TOGETHER = {
    "format": "preferences", "n": 50, "sections": {}, "subsets": {}, "n_truncated": 0,
    "overall": {"score": 0.66, "low": 0.6, "high": 0.72}, "n_changed": 4,
    "alone": {"helpfulness": {"score": 0.7, "low": 0.64, "high": 0.76},
              "safety": {"score": 0.5, "low": 0.4, "high": 0.6}},
    "by_flag": {"flag": "harmful", "n": 20,
                **{name: {"score": score, "low": 0.1, "high": 0.99}
                   for name, score in (("helpfulness", 0.55), ("safety", 0.95),
                                       ("together", 0.9))}},
    "decided": {"n": 11, "of": 100},
    "changed": [{"prompt": "How do I <b>?", "is_right": False, "gain": 3.0,
                 "sides": [{"text": "so", "helpful": 1.5, "safe": -2.0},
                           {"text": "not", "helpful": 0.5, "safe": 1.0}]}],
}  # fmt: skip


def test_two_objectives_are_asked_for_as_one_score_and_what_they_turn_is_looked_at(
    browsing: Browsing, run: RewardRun, session: Session
) -> None:
    project = session.get_one(Project, run.project_id)
    assert "It takes a reward model of helpfulness and one of safety" in browsing.get(STUDIES).text
    flagged = {"flag": "harmful"}
    safety = add_reward(
        session, project, 2, objective=Objective.SAFETY, configuration=flagged, is_live=True
    )
    session.commit()
    asked = {"reward_run_id": str(run.id), "safety_run_id": str(safety.id)}
    combinations = f"{STUDIES}/combinations"
    for wrong, said in (
        ({"threshold": "2"}, "between 0 and 1"),
        ({"safety_run_id": ""}, "has no safety head"),
        ({"safety_run_id": str(run.id)}, "a finished reward model of safety"),
        ({"reward_run_id": str(safety.id)}, "a reward model of helpfulness"),
        ({"weight": "nan", "rule": "weights"}, "a number from 0"),
    ):
        refused = browsing.post(combinations, asked | wrong)
        assert refused.status_code == 422
        assert said in refused.text
    answered = browsing.post(combinations, asked | {"threshold": "0.2"})
    job = claim(session)
    argv = stages.STAGES[JobKind.EVALUATE].prepare(session, job, stages.job_folder(job))
    for name, value in (("--safety-model", safety.artefact), ("--combine", "llama2"),
                        ("--safety-threshold", "0.2"), ("--flag", "harmful")):  # fmt: skip
        assert argv[argv.index(name) + 1].endswith(value)
    studies.publish(session, job, TOGETHER)
    session.commit()
    page = browsing.get(answered.headers["location"]).text
    for words in (
        "with reward model 2 for safety, which decides below a chance of 0.2",
        "Together they agree with people in 0.66 of pairs, helpfulness alone in 0.70; they find",
        "11 of 100", "How do I &lt;b&gt;?", "People preferred the other.", "helpfulness 1.50",
    ):  # fmt: skip
        assert words in page
    numbers = browsing.get(answered.headers["location"] + "/numbers.csv").text
    assert "harmful: both,0.9,0.1,0.99" in numbers
    assert "Two objectives, with reward model 2" in browsing.get(STUDIES).text
