"""Reward runs: asked for, started, published, failed, stopped, tried again; which one is live."""

import uuid
from math import ceil
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs, runs
from app.reward import judgements
from app.tables.datasets import PreferenceSet
from app.tables.jobs import Job, JobKind
from app.tables.projects import Objective, Project
from app.tables.runs import RewardRun

# Of a configuration: the run does not go live by itself. The trainer knows nothing of it.
IS_TRIAL = "is_trial"
BATCH, TINY_BATCH = 32, 64
# The built-in network reads few comparisons several times, at the rates it was measured to learn
# with; a network of real size knows them by heart after one pass (docs/decisions/0010).
TINY_STEPS, TINY_MOST_EPOCHS = 480, 12
TINY_OPTIONS = {"loss": "soft", "learning_rate": 3e-3, "batch_size": TINY_BATCH}


def default_configuration(project: Project, n_train: int) -> dict[str, Any]:
    """Options of `prefloop-worker reward` for this many comparisons, by name."""
    common = {"seed": project.seed, "batch_size": BATCH}
    if project.base_model != "tiny":
        return common | {"loss": "scaled"}
    steps_an_epoch = max(1, ceil(n_train / TINY_BATCH))
    epochs = min(TINY_MOST_EPOCHS, max(1, round(TINY_STEPS / steps_an_epoch)))
    return common | {"epochs": epochs} | TINY_OPTIONS


def request_run(
    session: Session,
    project: Project,
    preference_set: PreferenceSet,
    *,
    configuration: dict[str, Any] | None = None,
    requested_by: uuid.UUID | None = None,
) -> RewardRun:
    """A reward run on a preference set, and the job for it. Raises Conflict when one waits.

    It learns the project's objective, or with `objective` and `flag` in the configuration what a
    flag says of the other one.
    """
    options = default_configuration(project, preference_set.n_train) | (configuration or {})
    objective = Objective(options.get("objective", project.objective))
    if objective is not Objective.HELPFULNESS:
        options |= {"objective": objective.value}
    run = RewardRun(
        project_id=project.id,
        number=runs.next_number(session, RewardRun, project.id),
        objective=objective,
        preference_set_id=preference_set.id,
        base_model=project.base_model,
        configuration=options,
    )
    session.add(run)
    session.flush()
    jobs.enqueue(session, project.id, JobKind.REWARD, run_id=run.id)
    runs.note(session, run, "requested", requested_by, {"preference_set": preference_set.number})
    return run


def start(session: Session, job: jobs.Claim) -> RewardRun:
    """Mark the run of a claimed job as running. Raises LostLease."""
    return runs.start(session, RewardRun, job)


def publish(session: Session, job: jobs.Claim, outcome: runs.Outcome) -> RewardRun:
    """Finish the job and the run, and make the run live unless a newer one is or it is a trial.

    Raises LostLease and Stopped, and then nothing of this transaction may be committed.
    """
    run = runs.finish(session, RewardRun, job, outcome)
    report = outcome.report
    figures = report.get("eval") or {}
    run.n_train, run.n_eval = report.get("n_train"), report.get("n_eval")
    run.accuracy, run.log_loss = figures.get("accuracy"), figures.get("log_loss")
    run.ece = figures.get("ece")
    session.flush()
    judgements.record(session, run)
    live = find_live(session, run)
    is_trial = bool(run.configuration.get(IS_TRIAL))
    if not is_trial and (live is None or live.number < run.number):
        runs.take_over(session, run)
    runs.note(session, run, "finished", None, {"is_live": run.is_live, "accuracy": run.accuracy})
    return run


def fail(session: Session, job: jobs.Claim, error: str) -> None:
    """End the job and its run with the sentence that people read. Raises LostLease."""
    runs.fail(session, RewardRun, job, error)


def retry(session: Session, run: RewardRun, *, by: uuid.UUID | None = None) -> Job:
    """Try a failed or stopped run again, from its newest checkpoint. Raises Conflict."""
    return runs.retry(session, run, JobKind.REWARD, by=by)


def make_live(session: Session, run: RewardRun, *, by: uuid.UUID | None = None) -> None:
    """Let policies be optimised against this run from now on. Raises Conflict unless finished."""
    runs.make_live(session, run, by=by)


def find_live(session: Session, like: RewardRun | Project) -> RewardRun | None:
    """The live reward run of a project's objective; given a run, of that run's."""
    project_id = like.id if isinstance(like, Project) else like.project_id
    return session.scalar(
        select(RewardRun).where(
            RewardRun.project_id == project_id,
            RewardRun.objective == like.objective,
            RewardRun.is_live,
        )
    )


def find_safety(session: Session, project: Project) -> RewardRun | None:
    """The live reward run of safety beside the project's own objective, if that is another."""
    if project.objective is Objective.SAFETY:
        return None
    return session.scalar(
        select(RewardRun).where(
            RewardRun.project_id == project.id,
            RewardRun.objective == Objective.SAFETY,
            RewardRun.is_live,
        )
    )
