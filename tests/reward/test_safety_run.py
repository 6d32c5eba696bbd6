"""A second objective in a project: asked for by a flag, and taken by policies and the queue."""

from httpx import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.loop.facts import read_facts
from app.loop.service import start_step
from app.loop.steps import Step
from app.reward.service import find_live, find_safety
from app.tables.projects import Objective
from app.tables.runs import PolicyRun, RewardRun
from tests.loop.worlds import add_policy, add_prompts, add_reward, add_set, make_staff
from tests.support import Browsing

RUNS = "/api/v1/projects/garden/reward-runs"


def test_a_safety_run_is_asked_for_by_a_flag_beside_the_projects_own_objective(
    session: Session, browsing: Browsing
) -> None:
    project, person = make_staff(session)
    add_set(session, project, 1)
    session.commit()
    browsing.sign_in(person)

    def post(body: dict[str, str]) -> Response:
        token = {"X-CSRF-Token": browsing.csrf_token}
        return browsing.client.post(RUNS, json=body, headers=token)

    refused = post({"objective": "safety"})
    assert refused.status_code == 422
    assert "needs a flag" in refused.text
    done = post({"objective": "safety", "flag": "harmful"})
    assert done.status_code == 201
    run = session.scalars(select(RewardRun)).one()
    assert run.objective is Objective.SAFETY
    assert {"objective": "safety", "flag": "harmful"}.items() <= run.configuration.items()
    assert "attributes" not in run.configuration


def test_the_loop_takes_a_live_safety_model_and_still_wants_its_own(session: Session) -> None:
    project, _ = make_staff(session)
    add_prompts(session, project, 3)
    add_policy(session, project, 1, reward=None, is_live=True)
    safety = add_reward(session, project, 1, objective=Objective.SAFETY, is_live=True)
    assert find_live(session, project) is None
    assert not read_facts(session, project).is_set_trained
    own = add_reward(session, project, 2, is_live=True)
    assert find_safety(session, project) == safety
    said = start_step(session, project, Step.POLICY, by=None)
    assert f"beside it reward run {safety.number} for safety" in said
    run = session.scalars(select(PolicyRun).order_by(PolicyRun.number.desc())).first()
    assert run is not None
    assert run.reward_run_id == own.id
    assert run.configuration["safety_run"] == str(safety.id)
