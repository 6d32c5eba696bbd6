"""One whole turn with the real trainer: answers, a reward model, a better policy, new pairs."""

import random
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import runs
from app.collect.intake import PromptIn, add_prompts
from app.collect.service import Nothing, next_assignment, record_comparison
from app.db import session_scope
from app.tables.accounts import Role
from app.tables.collect import Completion, Pair, Prompt
from app.tables.datasets import PreferenceSet
from app.tables.jobs import Job, JobKind, JobState
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RewardRun, RunMetric
from tests.support import join, make_person, make_project
from worker.checkpoints import verify
from worker.daemon import run_until_idle
from worker.demo.annotators import Annotator
from worker.demo.language import demonstrate, draw_prompts

N_PROMPTS = 24


def add_demonstrations(session: Session, project: Project) -> None:
    chooser = random.Random(1)
    lines = []
    for prompt in draw_prompts(N_PROMPTS, seed=1):
        texts = sorted({demonstrate(prompt, chooser) for _ in range(4)})[:2]
        completions = [{"text": text, "source": "a person"} for text in texts]
        lines.append(PromptIn.model_validate({"messages": prompt, "completions": completions}))
    add_prompts(session, project, lines)


def answer_all(project: Project, person_id: object) -> int:
    """One simulated annotator answers until the queue is empty, a transaction an answer."""
    annotator, n = Annotator("ada"), 0
    while True:
        with session_scope() as session:
            assignment = next_assignment(session, project, person_id)  # type: ignore[arg-type]
            if isinstance(assignment, Nothing):
                return n
            pair = session.get_one(Pair, assignment.pair_id)
            text_a = session.get_one(Completion, pair.completion_a_id).text
            text_b = session.get_one(Completion, pair.completion_b_id).text
            messages = session.get_one(Prompt, pair.prompt_id).messages
            said = annotator.compare(messages, text_a, text_b, not assignment.is_flipped)
            record_comparison(
                session,
                assignment_id=assignment.id,
                annotator_id=assignment.annotator_id,
                rating=said.rating,
                seconds=said.seconds,
                idempotency_key=str(assignment.id),
            )
        n += 1


@pytest.mark.slow
def test_the_loop_turns_from_answers_to_new_pairs_of_a_new_policy(session: Session) -> None:
    project = make_project(
        session,
        comparisons_per_round=20,
        pairs_per_round=8,
        policy_steps=2,
        max_new_tokens=24,
    )
    ada = make_person(session, "ada")
    join(session, project, ada, Role.ANNOTATOR)
    add_demonstrations(session, project)
    session.commit()

    assert run_until_idle(120) == 1, "SFT alone is due before people have answered"
    first = session.scalars(select(PolicyRun)).one()
    session.commit()
    assert (first.algorithm, first.is_live) == (Algorithm.SFT, True)

    assert answer_all(project, ada.id) >= 20
    assert run_until_idle(300) >= 3
    session.expire_all()
    states = session.execute(select(Job.kind, Job.state, Job.error).order_by(Job.created_at)).all()
    assert {row.state for row in states} == {JobState.FINISHED}, states
    kinds = [row.kind for row in states]
    assert kinds[:4] == [JobKind.SFT, JobKind.REWARD, JobKind.POLICY, JobKind.SAMPLE]

    reward = session.scalars(select(RewardRun)).one()
    frozen = session.scalars(select(PreferenceSet)).one()
    assert (reward.is_live, reward.preference_set_id) == (True, frozen.id)
    assert reward.n_train == frozen.n_train
    assert verify(Path(runs.artefact_path(reward))) == []
    policy = session.scalars(select(PolicyRun).where(PolicyRun.is_live)).one()
    assert (policy.algorithm, policy.parent_id, policy.reference_id) == (
        Algorithm.PPO, first.id, first.id,
    )  # fmt: skip
    assert policy.reward_run_id == reward.id
    assert policy.sampled_at is not None
    assert policy.kl is not None
    steps = session.scalars(
        select(func.max(RunMetric.step)).where(RunMetric.run_id == policy.id)
    ).one()
    assert steps == 2

    written = select(Completion.id).where(Completion.policy_run_id == policy.id)
    fresh = session.scalars(
        select(Pair).where(Pair.completion_a_id.in_(written), Pair.completion_b_id.in_(written))
    ).all()
    assert len(fresh) >= 4
    assert kinds[4:] == [JobKind.SELECT]
    assert sorted(pair.priority for pair in fresh)[-1] == 1.0
    assert len({pair.priority for pair in fresh}) == len(fresh)
