"""What each kind of job needs from the database, what it runs, and what it leaves there.

A stage is prepared (rows become files and a command line), run by worker.child as a process that
knows files alone, collected (the artefact is verified and hashed), and published in the one
transaction that also ends the job.
"""

import json
import shutil
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app import jobs, runs
from app.datasets.service import export_lines
from app.jobs import Claim
from app.policy import service as policies
from app.reward import service as rewards
from app.reward import studies
from app.runs import Outcome
from app.settings import get_settings
from app.tables.datasets import PreferenceSet, Split
from app.tables.jobs import JobKind
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RewardRun, RunState
from worker import sampling
from worker.checkpoints import artefact_hash, verify
from worker.errors import TrainerError
from worker.inputs import demonstration_lines, options, prompt_lines, write_once
from worker.select import answers, pairs

MODEL, DAMAGED = "model", "damaged"
TRAINER = (sys.executable, "-m", "worker.main")


@dataclass(frozen=True)
class Stage:
    """How one kind of job is done.

    prepare(session, job, folder): write the inputs; the command line. Reads rows and locks none,
    because it may take long: `begin` has marked the run as running.
    collect(folder, report): verify what the child left. Touches no database; may take long.
    publish(session, job, folder, outcome): end the job well, with all that follows from it.
    """

    prepare: Callable[[Session, Claim, Path], list[str]]
    collect: Callable[[Path, dict[str, Any]], Outcome]
    publish: Callable[[Session, Claim, Path, Outcome], None]


def job_folder(job: Claim) -> Path:
    """The run's own folder for a job that makes a run; else one of the job's, below its run's."""
    if job.kind in runs.MAKES_A_RUN:
        return runs.run_folder(_run_id(job))
    return runs.run_folder(_run_id(job)) / job.kind.value / str(job.id)


def _run_id(job: Claim) -> Any:
    if job.run_id is None:
        raise TrainerError("This job names no run. It was made by an older version; start it anew.")
    return job.run_id


def begin(session: Session, job: Claim) -> None:
    """Mark the job's run, if it makes one, as running. Raises LostLease."""
    if job.kind is JobKind.REWARD:
        rewards.start(session, job)
    elif job.kind in runs.MAKES_A_RUN:
        policies.start(session, job)
    else:
        jobs.hold(session, job)


def fail(session: Session, job: Claim, error: str) -> None:
    """End a job and its run badly. Raises LostLease."""
    if job.kind is JobKind.REWARD:
        rewards.fail(session, job, error)
    elif job.kind in runs.MAKES_A_RUN:
        policies.fail(session, job, error)
    else:
        jobs.fail(session, job, error)


def end_cancelled(session: Session, job: Claim) -> None:
    """End a job and its run because a person stopped it. Raises LostLease."""
    jobs.end_cancelled(session, job)
    run = runs.find_run(session, job)
    if run is not None:
        runs.end(run, RunState.CANCELLED)


def hand_back(session: Session, job: Claim) -> None:
    """Return a job and its run to the queue. Raises LostLease."""
    jobs.hand_back(session, job)
    run = runs.find_run(session, job)
    if run is not None:
        runs.wait_again(run)


def _prepare_reward(session: Session, job: Claim, folder: Path) -> list[str]:
    run = session.get_one(RewardRun, job.run_id)
    _set_damaged_aside(folder)
    frozen = session.get_one(PreferenceSet, run.preference_set_id)
    # A set of one prompt lies on one side: then the trainer holds out what it can.
    is_split = frozen.n_train > 0 and frozen.n_eval > 0
    train, held_out = folder / "preferences.jsonl", folder / "eval.jsonl"
    write_once(train, lambda: export_lines(session, frozen, Split.TRAIN if is_split else None))
    if is_split:
        write_once(held_out, lambda: export_lines(session, frozen, Split.EVAL))
    return [
        *(*TRAINER, "reward", "--preferences", str(train), *_out(folder)),
        *(("--eval", str(held_out)) if is_split else ()),
        *_reward_base(session, run),
        *options({k: v for k, v in run.configuration.items() if k != rewards.IS_TRIAL}),
    ]


def _reward_base(session: Session, run: RewardRun) -> tuple[str, ...]:
    """A reward model begins from the first policy where that has learnt to speak: what it knows of
    the language need not be learnt again from comparisons (InstructGPT, section 3.4)."""
    first = policies.find_reference(session, session.get_one(Project, run.project_id))
    if first is None or first.algorithm is not Algorithm.SFT:
        return _base_model(run)
    return ("--base-model", runs.artefact_path(first))


def _prepare_sft(session: Session, job: Claim, folder: Path) -> list[str]:
    run = session.get_one(PolicyRun, job.run_id)
    _set_damaged_aside(folder)
    demonstrations = folder / "demonstrations.jsonl"
    write_once(demonstrations, lambda: demonstration_lines(session, run.project_id))
    return [
        *(*TRAINER, "sft", "--demonstrations", str(demonstrations), *_out(folder)),
        *_base_model(run),
        *options(run.configuration),
    ]


def _prepare_policy(session: Session, job: Claim, folder: Path) -> list[str]:
    run = session.get_one(PolicyRun, job.run_id)
    _set_damaged_aside(folder)
    prompts = folder / "prompts.jsonl"
    write_once(prompts, lambda: prompt_lines(session, run.project_id))
    parent = session.get_one(PolicyRun, run.parent_id)
    reference = session.get_one(PolicyRun, run.reference_id)
    reward = session.get_one(RewardRun, run.reward_run_id)
    return [
        *(*TRAINER, "policy", "--prompts", str(prompts), *_out(folder)),
        *("--policy", runs.artefact_path(parent), "--reference", runs.artefact_path(reference)),
        *("--reward-model", runs.artefact_path(reward)),
        *_second_objective(session, run),
        *options({k: v for k, v in run.configuration.items() if k != policies.SAFETY_RUN}),
    ]


def _second_objective(session: Session, run: PolicyRun) -> tuple[str, ...]:
    asked = run.configuration.get(policies.SAFETY_RUN)
    if asked is None:
        return ()
    safety = session.get_one(RewardRun, uuid.UUID(str(asked)))
    return ("--safety-model", runs.artefact_path(safety))


def _set_damaged_aside(folder: Path) -> None:
    """Make room for a new artefact where one does not verify: no trainer writes over anything.

    The newest damaged one is kept, for people who want to know what happened to it.
    """
    artefact, aside = folder / MODEL, folder / DAMAGED
    if artefact.exists() and verify(artefact):
        shutil.rmtree(aside, ignore_errors=True)
        artefact.rename(aside)


def _out(folder: Path) -> tuple[str, ...]:
    return ("--out", str(folder / MODEL), "--progress", "json")


def _base_model(run: RewardRun | PolicyRun) -> tuple[str, ...]:
    models = get_settings().models_folder / str(run.project_id)
    return ("--base-model", run.base_model, "--models-folder", str(models))


def _collect_model(folder: Path, report: dict[str, Any]) -> Outcome:
    """The artefact of a run. Raises TrainerError when it is not what its manifest promises."""
    artefact = folder / MODEL
    problems = verify(artefact)
    if problems:
        raise TrainerError(
            f"The trainer's artefact is damaged and was not published: {problems[0]} Try again."
        )
    name = artefact.relative_to(get_settings().runs_folder).as_posix()
    return Outcome(name, artefact_hash(artefact), report)


def _collect_nothing(folder: Path, report: dict[str, Any]) -> Outcome:  # noqa: ARG001
    return Outcome("", "", report)


def _publish_reward(session: Session, job: Claim, folder: Path, outcome: Outcome) -> None:  # noqa: ARG001
    rewards.publish(session, job, outcome)


def _publish_policy(session: Session, job: Claim, folder: Path, outcome: Outcome) -> None:  # noqa: ARG001
    policies.publish(session, job, outcome)


def _prepare_sample(session: Session, job: Claim, folder: Path) -> list[str]:
    project = session.get_one(Project, job.project_id)
    run = session.get_one(PolicyRun, job.run_id)
    arguments = sampling.prepare(session, project, str(job.id), folder)
    return [*TRAINER, "sample", "--model", runs.artefact_path(run), *arguments]


def _publish_sample(session: Session, job: Claim, folder: Path, outcome: Outcome) -> None:  # noqa: ARG001
    jobs.finish(session, job)
    run = session.get_one(PolicyRun, job.run_id)
    project = session.get_one(Project, job.project_id)
    sampling.publish(session, project, run.id, folder)
    policies.mark_sampled(session, run)


def _prepare_select(session: Session, job: Claim, folder: Path) -> list[str]:
    run = session.get_one(RewardRun, job.run_id)
    arguments = pairs.prepare(session, job.project_id, str(job.id), folder, runs.run_folder(run.id))
    safety = rewards.find_safety(session, session.get_one(Project, job.project_id))
    if safety is not None and safety.id != run.id:
        arguments = [*arguments, "--safety-model", runs.artefact_path(safety)]
    return [*TRAINER, "select", "--reward-model", runs.artefact_path(run), *arguments]


def _publish_select(session: Session, job: Claim, folder: Path, outcome: Outcome) -> None:  # noqa: ARG001
    jobs.finish(session, job)
    pairs.publish(session, job.project_id, folder)
    answers.publish_scores(session, _run_id(job), pairs.read_scores(folder))


def _prepare_evaluation(session: Session, job: Claim, folder: Path) -> list[str]:  # noqa: ARG001
    study = studies.of_job(session, job)
    run = session.get_one(RewardRun, study.reward_run_id)
    data = studies.data_file(study)
    if study.combination:
        frozen = session.get_one(PreferenceSet, run.preference_set_id)
        write_once(data, lambda: export_lines(session, frozen, Split.EVAL))
    words = [*TRAINER, "evaluate", "--reward-model", runs.artefact_path(run), "--data", str(data)]
    return [*words, *_combination(session, study.combination), "--progress", "json"]


def _combination(session: Session, how: dict[str, Any]) -> list[str]:
    """A study's two objectives as options; none where it judges one."""
    if not how:
        return []
    second = ["--safety-head"]
    if how["safety_run"]:
        safety = session.get_one(RewardRun, uuid.UUID(how["safety_run"]))
        second = ["--safety-model", runs.artefact_path(safety)]
    flag = ["--flag", how["flag"]] if how["flag"] else []
    level = ["--safety-threshold", str(how["threshold"]), "--safety-weight", str(how["weight"])]
    return [*second, "--combine", how["rule"], *level, *flag]


def _prepare_worth(session: Session, job: Claim, folder: Path) -> list[str]:  # noqa: ARG001
    """One training a job where they are whole, so that what the loop needs comes between."""
    study = studies.of_job(session, job)
    run = session.get_one(RewardRun, study.reward_run_id)
    frozen = session.get_one(PreferenceSet, run.preference_set_id)
    if not (frozen.n_train and frozen.n_eval):
        raise TrainerError("This preference set has no held-out side to measure worth on.")
    own = studies.study_folder(study)
    train, held_out, parts = own / "preferences.jsonl", own / "eval.jsonl", own / "parts.json"
    write_once(train, lambda: export_lines(session, frozen, Split.TRAIN))
    write_once(held_out, lambda: export_lines(session, frozen, Split.EVAL))
    write_once(parts, lambda: [json.dumps(studies.list_parts(session, run))])
    manifest = str(Path(runs.artefact_path(run)) / "manifest.json")
    return [
        *(*TRAINER, "worth", "--preferences", str(train), "--eval", str(held_out)),
        *("--parts", str(parts), "--folder", str(own / "found"), "--progress", "json"),
        *(("--configuration", manifest, "--most", "1") if study.is_whole else ()),
        *_reward_base(session, run),
    ]


def _publish_study(session: Session, job: Claim, folder: Path, outcome: Outcome) -> None:  # noqa: ARG001
    studies.publish(session, job, outcome.report)


STAGES: dict[JobKind, Stage] = {
    JobKind.SFT: Stage(_prepare_sft, _collect_model, _publish_policy),
    JobKind.REWARD: Stage(_prepare_reward, _collect_model, _publish_reward),
    JobKind.POLICY: Stage(_prepare_policy, _collect_model, _publish_policy),
    JobKind.SAMPLE: Stage(_prepare_sample, _collect_nothing, _publish_sample),
    JobKind.SELECT: Stage(_prepare_select, _collect_nothing, _publish_select),
    JobKind.EVALUATE: Stage(_prepare_evaluation, _collect_nothing, _publish_study),
    JobKind.WORTH: Stage(_prepare_worth, _collect_nothing, _publish_study),
}
