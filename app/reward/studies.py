"""Studies of reward models: asked for, scheduled, served by the worker, read by other pages."""

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import jobs, runs
from app.accounts.audit import record_event
from app.accounts.groups import groups_of
from app.errors import Conflict, NotFound
from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.datasets import PreferenceRow
from app.tables.groups import GroupMember
from app.tables.jobs import JobKind
from app.tables.projects import Flag, Project
from app.tables.runs import RewardRun, RunState
from app.tables.studies import Every, Study, StudyKind, WorthSchedule

JOB_OF = {StudyKind.EVALUATION: JobKind.EVALUATE, StudyKind.WORTH: JobKind.WORTH}
PAUSE = {Every.WEEK: timedelta(days=7), Every.MONTH: timedelta(days=30)}
SUFFIXES = {".jsonl", ".json", ".parquet"}
FEWEST_ANSWERS = 5


def list_studies(session: Session, project_id: uuid.UUID, limit: int = 100) -> Sequence[Study]:
    """A project's studies, newest first."""
    return session.scalars(
        select(Study)
        .where(Study.project_id == project_id)
        .order_by(Study.created_at.desc())
        .limit(limit)
    ).all()


def find_study(session: Session, project_id: uuid.UUID, study_id: uuid.UUID) -> Study:
    """Raises NotFound for a study of another project as for none."""
    study = session.get(Study, study_id)
    if study is None or study.project_id != project_id:
        raise NotFound("This project has no such study.")
    return study


def study_folder(study: Study) -> Path:
    return runs.run_folder(study.reward_run_id) / "studies" / str(study.id)


def data_file(study: Study) -> Path:
    """Where the file of an evaluation lies; its name is not the one that a person gave it."""
    suffix = Path(study.title).suffix.lower()
    return study_folder(study) / f"data{suffix if suffix in SUFFIXES else '.jsonl'}"


def request_evaluation(
    session: Session,
    run: RewardRun,
    stream: BinaryIO,
    file_name: str,
    *,
    by: uuid.UUID | None,
) -> Study:
    """Keep the file and queue a reward model's evaluation on it. Raises Conflict."""
    study = _request(session, run, StudyKind.EVALUATION, file_name, is_whole=False, by=by)
    path = data_file(study)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as kept:
        shutil.copyfileobj(stream, kept)
    return study


def request_worth(
    session: Session, run: RewardRun, *, is_whole: bool, by: uuid.UUID | None
) -> Study:
    """Queue what each part of a reward model's data is worth. Raises Conflict."""
    return _request(session, run, StudyKind.WORTH, "", is_whole=is_whole, by=by)


def request_combination(
    session: Session, run: RewardRun, combination: dict[str, Any], *, by: uuid.UUID | None
) -> Study:
    """Queue a reward model's evaluation beside one of safety. Raises Conflict."""
    kind = StudyKind.EVALUATION
    return _request(session, run, kind, "", is_whole=False, combination=combination, by=by)


def _request(
    session: Session,
    run: RewardRun,
    kind: StudyKind,
    title: str,
    *,
    is_whole: bool,
    by: uuid.UUID | None,
    combination: dict[str, Any] | None = None,
) -> Study:
    if run.state is not RunState.FINISHED:
        raise Conflict("Only a finished reward model can be studied.")
    study = Study(project_id=run.project_id, kind=kind, reward_run_id=run.id, title=title[:200],
                  is_whole=is_whole, created_by=by, combination=combination or {})  # fmt: skip
    session.add(study)
    session.flush()
    go_on(session, study)
    record_event(session, f"study.{kind.value}", actor_id=by, project_id=run.project_id,
                 subject=f"Reward model {run.number}", detail={"file": title})  # fmt: skip
    return study


def go_on(session: Session, study: Study) -> None:
    """Queue the study's next job. Raises Conflict where one of its kind waits already."""
    job = jobs.enqueue(
        session,
        study.project_id,
        JOB_OF[study.kind],
        run_id=study.reward_run_id,
        payload={"study": str(study.id)},
    )
    study.job_id = job.id
    session.flush()


def of_job(session: Session, job: jobs.Claim) -> Study:
    return session.get_one(Study, uuid.UUID(job.payload["study"]))


def publish(session: Session, job: jobs.Claim, report: dict[str, Any]) -> None:
    """End the job with what it found, and queue the next where more is left.

    Raises LostLease and Stopped.
    """
    jobs.finish(session, job)
    study = of_job(session, job)
    study.report = report
    if report.get("is_done", True):
        study.finished_at = utc_now()
    else:
        go_on(session, study)
    session.flush()


def list_parts(session: Session, run: RewardRun) -> list[dict[str, Any]]:
    """What may be left out of a run's data: flags raised, groups that answered; else annotators.

    A part needs five answers. Annotators stand under their set's names.
    """
    rows = session.execute(
        select(PreferenceRow.flags, PreferenceRow.annotator_hash, Comparison.annotator_id)
        .join(Comparison, Comparison.id == PreferenceRow.comparison_id)
        .where(PreferenceRow.preference_set_id == run.preference_set_id)
    ).all()
    raised: dict[str, int] = {}
    given: dict[str, int] = {}
    names: dict[uuid.UUID, str] = {}
    for row in rows:
        for key in {flag["key"] for flag in row.flags if flag.get("value")}:
            raised[key] = raised.get(key, 0) + 1
        given[row.annotator_hash] = given.get(row.annotator_hash, 0) + 1
        names[row.annotator_id] = row.annotator_hash
    flags = [
        {"kind": "flag", "key": key} for key in sorted(raised) if raised[key] >= FEWEST_ANSWERS
    ]
    groups = _group_parts(session, run.project_id, names, given)
    alone = [
        {"kind": "annotator", "key": name, "annotators": [name]}
        for name in sorted(given, key=lambda name: (-given[name], name))
        if given[name] >= FEWEST_ANSWERS
    ]
    return [*flags, *(groups or alone)]


def _group_parts(
    session: Session, project_id: uuid.UUID, names: dict[uuid.UUID, str], given: dict[str, int]
) -> list[dict[str, Any]]:
    parts = []
    for group, _ in groups_of(session, project_id):
        members = session.scalars(
            select(GroupMember.person_id).where(GroupMember.group_id == group.id)
        )
        annotators = sorted(names[one] for one in members if one in names)
        if sum(given[one] for one in annotators) >= FEWEST_ANSWERS:
            parts.append({"kind": "group", "key": str(group.id), "annotators": annotators})
    return parts


def find_schedule(session: Session, project_id: uuid.UUID) -> WorthSchedule:
    """How often the project asks; never where nobody has said."""
    found = session.get(WorthSchedule, project_id)
    return found or WorthSchedule(project_id=project_id, every=Every.NEVER, is_whole=False)


def set_schedule(
    session: Session, project: Project, every: Every, *, is_whole: bool, by: uuid.UUID | None
) -> None:
    session.merge(WorthSchedule(project_id=project.id, every=every, is_whole=is_whole))
    session.flush()
    record_event(session, "worth.scheduled", actor_id=by, project_id=project.id,
                 detail={"every": every.value, "is_whole": is_whole})  # fmt: skip


def request_due(session: Session, project: Project) -> str:
    """Start what the project's schedule calls for; what happened as a sentence, or nothing."""
    schedule = session.get(WorthSchedule, project.id)
    if schedule is None or schedule.every is Every.NEVER:
        return ""
    run = session.scalar(
        select(RewardRun).where(
            RewardRun.project_id == project.id,
            RewardRun.objective == project.objective,
            RewardRun.is_live,
        )
    )
    last = session.scalar(
        select(Study)
        .where(Study.project_id == project.id, Study.kind == StudyKind.WORTH)
        .order_by(Study.created_at.desc())
        .limit(1)
    )
    if run is None or not _is_due(schedule, run, last):
        return ""
    if jobs.find_queued(session, project.id, JobKind.WORTH):
        return ""
    request_worth(session, run, is_whole=schedule.is_whole, by=None)
    return f"What the data of reward run {run.number} is worth will be measured."


def _is_due(schedule: WorthSchedule, run: RewardRun, last: Study | None) -> bool:
    if last is None:
        return True
    if last.reward_run_id == run.id:
        return False
    pause = PAUSE.get(schedule.every)
    return pause is None or utc_now() - last.created_at >= pause


@dataclass(frozen=True)
class Effect:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Worth:
    """What a part of the data brings on held-out comparisons: figures without it less with it.

    `log_loss` in nats and `accuracy` are positive where the part helps; `beyond_random` is its
    log-loss beyond that of as many comparisons left out at random. None: too few to learn without.
    """

    kind: str  # flag, group or annotator
    key: str  # a flag's key, a group's id, an annotator's name in the set
    name: str
    n: int
    log_loss: Effect | None
    accuracy: Effect | None
    beyond_random: Effect | None


def list_worths(session: Session, study: Study) -> list[Worth]:
    """The rows of a study of worth, finished or not, the most valuable first."""
    flags = session.execute(
        select(Flag.key, Flag.label).where(Flag.project_id == study.project_id)
    ).all()
    names = {("flag", row.key): row.label for row in flags}
    names |= {("group", str(g.id)): g.name for g, _ in groups_of(session, study.project_id)}
    found = [
        Worth(
            part["kind"],
            part["key"],
            names.get((part["kind"], part["key"]), part["key"][:6]),
            part["n"],
            *(_effect(part.get(one)) for one in ("log_loss", "accuracy", "beyond_random")),
        )
        for part in study.report.get("parts") or []
    ]
    return sorted(found, key=lambda one: -(one.log_loss.value if one.log_loss else -1e9))


def _effect(found: dict[str, float] | None) -> Effect | None:
    return Effect(found["value"], found["low"], found["high"]) if found else None
