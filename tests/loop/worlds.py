"""A project with prompts, comparisons, runs and jobs, made through the tables themselves."""

import json
import math
import random
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app.settings import get_settings
from app.tables.accounts import Person, Role
from app.tables.base import utc_now
from app.tables.collect import Assignment, AssignmentState, Comparison, Completion, Draw, Pair
from app.tables.collect import Prompt as PromptRow
from app.tables.datasets import PreferenceSet
from app.tables.jobs import Job, JobKind, JobState, WorkerProcess
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RewardRun, RunMetric, RunState
from tests.support import join, make_person, make_project


def make_staff(session: Session, name: str = "rita", **values: Any) -> tuple[Project, Person]:
    """A project and its researcher."""
    project = make_project(session, **values)
    person = make_person(session, name)
    join(session, project, person, Role.RESEARCHER)
    return project, person


def add_prompts(session: Session, project: Project, n_pairs: int) -> list[Pair]:
    """One prompt a pair, with two completions."""
    pairs = []
    for index in range(n_pairs):
        text = f"Question {index}?"
        prompt = PromptRow(
            project_id=project.id, messages=[{"role": "user", "content": text}],
            html=[f"<p>{text}</p>"], renderer=1, content_hash=uuid.uuid4().bytes,
        )  # fmt: skip
        session.add(prompt)
        session.flush()
        ends = [_completion(project, prompt, f"Answer {side}") for side in "ab"]
        session.add_all(ends)
        session.flush()
        pair = Pair(
            project_id=project.id, prompt_id=prompt.id, completion_a_id=ends[0].id,
            completion_b_id=ends[1].id,
        )  # fmt: skip
        session.add(pair)
        pairs.append(pair)
    session.flush()
    return pairs


def _completion(project: Project, prompt: PromptRow, text: str) -> Completion:
    return Completion(
        project_id=project.id, prompt_id=prompt.id, text=text, html=f"<p>{text}</p>", renderer=1,
        content_hash=uuid.uuid4().bytes,
    )  # fmt: skip


def add_comparisons(session: Session, project: Project, person: Person, pairs: list[Pair]) -> None:
    """One comparison of each pair by one person, just now."""
    for pair in pairs:
        pair.n_taken = 1
        assignment = Assignment(
            project_id=project.id, pair_id=pair.id, annotator_id=person.id,
            state=AssignmentState.DONE, draw=Draw.PRIORITY, draw_probability=1.0,
            is_flipped=False, lease_until=utc_now(),
        )  # fmt: skip
        session.add(assignment)
        session.flush()
        session.add(
            Comparison(
                project_id=project.id,
                assignment_id=assignment.id,
                pair_id=pair.id,
                annotator_id=person.id,
                rating=2,
                seconds=9.0,
                is_flipped=False,
                idempotency_key=str(uuid.uuid4()),
            )
        )
    session.flush()


def add_set(session: Session, project: Project, number: int, n: int = 60) -> PreferenceSet:
    frozen = PreferenceSet(
        project_id=project.id, number=number, content_hash=uuid.uuid4().hex * 2, n_comparisons=n,
        n_pairs=n, n_annotators=3, n_train=n - n // 10, n_eval=n // 10,
        created_at=utc_now() - timedelta(hours=5 - number),
    )  # fmt: skip
    session.add(frozen)
    session.flush()
    return frozen


def add_reward(
    session: Session, project: Project, number: int, *, accuracy: float = 0.7, **values: Any
) -> RewardRun:
    """A finished reward run on a set of its own, with a report as the trainer writes it."""
    frozen = add_set(session, project, number, 60 * number)
    began = utc_now() - timedelta(hours=5 - number)
    n = frozen.n_eval
    strengths = {str(s): (min(1.0, accuracy - 0.15 + s * 0.06), n // 4 + s) for s in range(1, 5)}
    report = {
        "eval": {
            "accuracy": accuracy, "n": n, "standard_error": 0.05, "log_loss": 0.6,
            "log_loss_standard_error": 0.03, "ece": 0.04, "longer_wins": 0.58,
            "by_strength": {
                key: {"accuracy": value, "n": count, "standard_error": 0.1}
                for key, (value, count) in strengths.items()
            },
            **account_of(accuracy),
        },
        "learning_curve": LEARNING_CURVE,
    }  # fmt: skip
    run_id = uuid.uuid4()
    run = RewardRun(
        **{
            "id": run_id, "project_id": project.id, "number": number,
            "objective": project.objective,
            "preference_set_id": frozen.id, "base_model": "tiny", "state": RunState.FINISHED,
            "configuration": {"seed": 0, "loss": "scaled", "epochs": number},
            "accuracy": accuracy, "log_loss": 0.69 - number * 0.05, "ece": 0.04,
            "n_train": frozen.n_train, "n_eval": n, "report": report, "started_at": began,
            "finished_at": began + timedelta(seconds=48), "created_at": began,
            "code_commit": "c0ffee" * 6, "artefact": f"{run_id}/model",
            "artefact_hash": "ab" * 32, **values,
        }
    )  # fmt: skip
    session.add(run)
    session.flush()
    return run


LEARNING_CURVE = {
    "points": [
        {"n": n, "accuracy": 0.8 - 0.6 * n**-0.4, "low": 0.74 - 0.6 * n**-0.4,
         "high": 0.86 - 0.6 * n**-0.4}
        for n in (27, 54, 108, 216)
    ],
    "fit": {"a": 0.8, "b": 0.6, "c": 0.4},
    "doubling": {"from": 216, "to": 432, "gain": 0.017, "low": 0.004, "high": 0.031},
    "method": "heads on frozen features of the untrained network", "n_eval": 24,
}  # fmt: skip


def account_of(accuracy: float) -> dict[str, Any]:
    """What the trainer's report says beside the headline: ceiling, bins, features, breakdowns."""
    share = {"accuracy": accuracy, "n": 12, "standard_error": 0.1}
    taste = {"low": 0.11, "high": 0.62, "n_differ": 20, "is_alarming": True}
    return {
        "agreement": {
            "share": 0.74, "standard_error": 0.04, "n_pairs": 40,
            "by_strength": {str(s): {"share": 0.55 + s * 0.1, "standard_error": 0.05, "n_pairs": 20}
                            for s in range(1, 5)},
        },
        "calibration": [{"confidence": 0.525 + k * 0.05, "accuracy": min(1, 0.5 + k * 0.06),
                         "n": 3} for k in range(8)],
        "features": {
            "length": {"model": 0.44, "people": 0.08, "gap": 0.36, **taste},
            "headings": {"model": None, "people": None, "gap": None, "low": None, "high": None,
                         "n_differ": 0, "is_alarming": False},
            "bold": {"model": -0.1, "people": 0.02, "gap": -0.12, "low": -0.3, "high": 0.1,
                     "n_differ": 9, "is_alarming": False},
        },
        "by_flag": {"": share, "rude": {**share, "accuracy": 0.5}},
        "by_annotator": {"0123456789abcdef": share, "fedcba9876543210": share},
    }  # fmt: skip


def add_policy(
    session: Session, project: Project, number: int, *, reward: RewardRun | None, **values: Any
) -> PolicyRun:
    """A finished policy run with a report as the trainer writes it; without a reward run, SFT."""
    began = utc_now() - timedelta(hours=5 - number, minutes=-5)
    ends = [
        {"step": 40 * i, "score_mean": -0.1 + i * 0.9, "n": 256, "standard_error": 0.05,
         "kl": i * 3.4, "entropy": 2.1 - i, "finished_rate": 0.97, "length_mean": 14.0}
        for i in range(2)
    ]  # fmt: skip
    report: dict[str, Any] = {"before": ends[0], "after": ends[1], "evaluations": ends}
    scores: dict[str, Any] = {"score_before": -0.1, "score_after": 0.8, "kl": 3.4, "entropy": 1.1}
    if reward is None:
        report = {"before": {"loss": 3.9, "n": 12}, "after": {"loss": 1.4, "n": 12}}
        scores = {}
    run_id = uuid.uuid4()
    run = PolicyRun(
        **{
            "id": run_id, "project_id": project.id, "number": number, "base_model": "tiny",
            "algorithm": Algorithm.PPO if reward else Algorithm.SFT,
            "reward_run_id": reward.id if reward else None, "state": RunState.FINISHED,
            "configuration": {"steps": 40, "kl_coef": 0.15, "kl_budget": 20.0},
            "report": report, "started_at": began, "created_at": began,
            "finished_at": began + timedelta(seconds=95), "artefact": f"{run_id}/model",
            **scores, **values,
        }
    )  # fmt: skip
    session.add(run)
    session.flush()
    return run


def add_metrics(session: Session, run: RewardRun | PolicyRun, n_steps: int = 40) -> None:
    """Curves of the names that the trainer reports, a second apart, the last one just now."""
    noise = random.Random(run.number)
    is_reward = isinstance(run, RewardRun)
    for step in range(1, n_steps + 1):
        rise = 1 - math.exp(-step / 12)
        figures = {"loss": 0.7 - 0.3 * rise, "accuracy": 0.5 + 0.3 * rise}
        if not is_reward:
            figures = {"score_mean": -0.1 + 0.9 * rise, "kl": 3.4 * rise, "entropy": 2.1 - rise,
                       "reward_mean": 0.6 * rise, "loss": 4 - 2.4 * rise}  # fmt: skip
        at = utc_now() - timedelta(seconds=n_steps - step)
        session.add_all(
            RunMetric(run_id=run.id, name=name, step=step, value=v + noise.gauss(0, 0.03), at=at)
            for name, v in figures.items()
        )
    session.flush()


def add_job(session: Session, project: Project, kind: JobKind, **values: Any) -> Job:
    """A job; a running one by default."""
    known = {"state": JobState.RUNNING, "attempt": 1, "worker": "loom-1", "token": uuid.uuid4(),
             "progress_done": 12, "progress_total": 40, "progress_message": "Optimising",
             "started_at": utc_now() - timedelta(seconds=30)}  # fmt: skip
    known |= values
    if known["state"] is not JobState.RUNNING:
        known["token"] = None
    job = Job(project_id=project.id, kind=kind, **known)
    session.add(job)
    session.flush()
    return job


def add_worker(session: Session, device: str = "cpu, 2 threads") -> None:
    session.add(WorkerProcess(name="loom-1", device=device, last_seen_at=utc_now()))
    session.flush()


def write_artefact(run: RewardRun | PolicyRun, files: dict[str, str]) -> Path:
    """The folder that a run left, with these texts."""
    folder = get_settings().runs_folder / run.artefact
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def sample_lines(completions: dict[int, str], prompt: str = "Name a bird.") -> str:
    """evaluation_samples.jsonl of one prompt, with one completion a step."""
    return "".join(
        json.dumps({"step": step, "prompt": [{"role": "user", "content": prompt}],
                    "completion": text, "score": 0.5, "kl": 1.0}) + "\n"
        for step, text in completions.items()
    )  # fmt: skip
