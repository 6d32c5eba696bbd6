"""A project whose live reward model learnt from answers, with pairs left to ask about."""

import random
import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import runs
from app.collect.intake import PromptIn, add_prompts
from app.collect.service import Nothing, next_assignment, record_comparison
from app.datasets.service import export_lines, freeze
from app.runs import Outcome
from app.settings import get_settings
from app.tables.accounts import Person, Role
from app.tables.collect import Comparison, Completion, Pair
from app.tables.datasets import Split
from app.tables.projects import Project
from app.tables.runs import RewardRun, RunState
from tests.reward.worlds import FRUIT, basket
from tests.support import join, make_person, make_project
from worker.checkpoints import artefact_hash
from worker.progress import SilentProgress
from worker.reward.configuration import RewardConfiguration
from worker.reward.files import RewardFiles
from worker.reward.stage import train_reward_model
from worker.runtime import start_runtime

N_PROMPTS = 16


def make_baskets(session: Session, n_prompts: int = N_PROMPTS) -> tuple[Project, Person]:
    """A project that asks which basket has more fruit, and its annotator; commits."""
    project = make_project(session, base_model="tiny", is_loop_automatic=False)
    ada = make_person(session, "ada")
    join(session, project, ada, Role.ANNOTATOR)
    stream = random.Random(5)
    prompts = []
    for n in range(n_prompts):
        texts = sorted({basket(k, stream) for k in range(5)})
        completions = [{"text": text} for text in texts]
        asked = [{"role": "user", "content": f"fill basket {n}"}]
        prompts.append(PromptIn.model_validate({"messages": asked, "completions": completions}))
    add_prompts(session, project, prompts)
    session.commit()
    return project, ada


def fruit_in(session: Session, completion_id: uuid.UUID) -> int:
    words = session.get_one(Completion, completion_id).text.split()
    return sum(word in FRUIT for word in words)


def answer(
    session: Session, project: Project, person: Person, n: int, *, is_wrong: bool = False
) -> list[Comparison]:
    """`n` answers to whatever the queue hands out; commits each."""
    found = []
    for _ in range(n):
        assignment = next_assignment(session, project, person.id)
        assert not isinstance(assignment, Nothing)
        pair = session.get_one(Pair, assignment.pair_id)
        gap = fruit_in(session, pair.completion_b_id) - fruit_in(session, pair.completion_a_id)
        if is_wrong:
            gap = -gap
        rating = min(8, 4 + gap) if gap > 0 else max(1, 5 + gap)
        found.append(
            record_comparison(
                session,
                assignment_id=assignment.id,
                annotator_id=person.id,
                rating=rating,
                seconds=3.0,
                idempotency_key=str(assignment.id),
            )
        )
        session.commit()
    return found


def train(session: Session, project: Project) -> RewardRun:
    """Freeze what was answered, train on it in this process, and make the run live; commits."""
    frozen = freeze(session, project)
    run = RewardRun(
        project_id=project.id, number=runs.next_number(session, RewardRun, project.id),
        objective=project.objective, preference_set_id=frozen.id, base_model="tiny",
        configuration={}, state=RunState.RUNNING,
    )  # fmt: skip
    session.add(run)
    session.flush()
    folder = runs.run_folder(run.id)
    folder.mkdir(parents=True)
    # As the worker does: a set that lies on one side is split by the trainer.
    is_split = frozen.n_train > 0 and frozen.n_eval > 0
    learnt = export_lines(session, frozen, Split.TRAIN if is_split else None)
    (folder / "train.jsonl").write_text("".join(learnt), "utf-8")
    if is_split:
        held_out = export_lines(session, frozen, Split.EVAL)
        (folder / "eval.jsonl").write_text("".join(held_out), "utf-8")
    report = train_reward_model(
        RewardFiles(
            folder / "train.jsonl",
            folder / "eval.jsonl" if is_split else None,
            folder / "model",
            folder,
        ),
        lambda _: RewardConfiguration("tiny", epochs=4, learning_rate=2e-3, batch_size=16),
        start_runtime(0, "cpu", threads=1),
        SilentProgress(),
        base_model="tiny",
        seed=0,
    )
    name = (folder / "model").relative_to(get_settings().runs_folder).as_posix()
    outcome = Outcome(name, artefact_hash(folder / "model"), report)
    run.artefact, run.artefact_hash, run.report = name, outcome.artefact_hash, report
    run.state = RunState.FINISHED
    for other in session.scalars(select(RewardRun).where(RewardRun.is_live)):
        other.is_live = False
    session.flush()
    run.is_live = True
    session.commit()
    return run
