"""Pages of studies: others' evaluation sets, and what the data is worth."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app import runs
from app.errors import Invalid
from app.reward import combining, queries, studies
from app.reward.forms import CombineForm, as_number
from app.reward.progress import Progress, describe
from app.reward.study_figures import subset_chart, subset_table, worth_chart, worth_table
from app.spreadsheet import as_csv
from app.tables.base import utc_now
from app.tables.jobs import Job
from app.tables.projects import Objective
from app.tables.runs import RewardRun, RunState
from app.tables.studies import Every, Study, StudyKind
from app.web.access import AdminAccess, ResearcherAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.downloads import csv_response
from app.web.redirects import redirect
from app.web.templating import is_htmx, render
from app.web.uploads import Upload, receive_form

router = APIRouter()
BASE = "/projects/{slug}/studies"
OFTEN = {
    Every.NEVER: "never",
    Every.RUN: "for each new live reward model",
    Every.WEEK: "once a week at most",
    Every.MONTH: "once a month at most",
}


@router.get(BASE)
def show_studies(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    project = access.project
    found = studies.list_studies(session, project.id)
    finished = [
        one
        for one in runs.list_runs(session, RewardRun, project.id)
        if one.state is RunState.FINISHED
    ]
    rows = [(one, read_progress(session, one)) for one in found]
    values = {
        "access": access,
        "rows": rows,
        "models": finished,
        "helpful": [one for one in finished if one.objective is not Objective.SAFETY],
        "safe": [one for one in finished if one.objective is Objective.SAFETY],
        "with_head": [one for one in finished if "safety" in (one.report.get("side_heads") or {})],
        "rules": list(combining.RULES.items()),
        "describe": combining.describe,
        "numbers": {one.id: one.number for one in runs.list_runs(session, RewardRun, project.id)},
        "schedule": studies.find_schedule(session, project.id),
        "often": [(one.value, words) for one, words in OFTEN.items()],
        "is_unfinished": any(job is not None and job.is_open for _, job in rows),
    }
    return render(
        request, "reward/studies.html", values, block="live" if is_htmx(request) else None
    )


async def receive(
    request: Request,
    access: ResearcherAccess,  # noqa: ARG001 (asked for first: no stranger's file is taken)
) -> Upload:
    return await receive_form(request)


@router.post(BASE + "/evaluations")
def evaluate(
    access: ResearcherAccess, session: SessionDep, upload: Annotated[Upload, Depends(receive)]
) -> Response:
    run = find_model(session, access.project.id, upload.fields.get("reward_run_id", ""))
    with upload.stream:
        study = studies.request_evaluation(
            session, run, upload.stream, upload.file_name, by=access.person.id
        )
    return redirect(f"/projects/{access.project.slug}/studies/{study.id}")


@router.post(BASE + "/worth")
def measure_worth(
    access: ResearcherAccess,
    session: SessionDep,
    reward_run_id: Annotated[str, Form()] = "",
    is_whole: Annotated[bool, Form()] = False,
) -> Response:
    run = find_model(session, access.project.id, reward_run_id)
    study = studies.request_worth(session, run, is_whole=is_whole, by=access.person.id)
    return redirect(f"/projects/{access.project.slug}/studies/{study.id}")


@router.post(BASE + "/combinations")
def combine(
    access: ResearcherAccess,
    session: SessionDep,
    form: Annotated[CombineForm, Form()],
) -> Response:
    project_id, asked = access.project.id, form.safety_run_id
    run = find_model(session, project_id, form.reward_run_id)
    safety = find_model(session, project_id, asked) if asked else None
    wish = combining.Wish(form.rule, as_number(form.threshold), as_number(form.weight))
    study = combining.request_combination(session, run, safety, wish, by=access.person.id)
    return redirect(f"/projects/{access.project.slug}/studies/{study.id}")


@router.post(BASE + "/schedule")
def set_schedule(
    access: AdminAccess,
    session: SessionDep,
    every: Annotated[Every, Form()],
    is_whole: Annotated[bool, Form()] = False,
) -> Response:
    studies.set_schedule(session, access.project, every, is_whole=is_whole, by=access.person.id)
    said = f"What the data is worth is measured {OFTEN[every]}."
    return redirect(f"/projects/{access.project.slug}/studies", notice=said)


@router.get(BASE + "/{study_id}")
def show_study(
    study_id: uuid.UUID, request: Request, access: StaffAccess, session: SessionDep
) -> Response:
    study = studies.find_study(session, access.project.id, study_id)
    progress = read_progress(session, study)
    values: dict[str, Any] = {
        "access": access,
        "study": study,
        "run": session.get_one(RewardRun, study.reward_run_id),
        "progress": progress,
        "is_unfinished": progress is not None and progress.is_open,
        "worths": [],
    }
    csv_url = f"/projects/{access.project.slug}/studies/{study.id}/numbers.csv"
    if study.combination:
        names = queries.flag_names(session, access.project.id)
        values["chart"] = combining.contest_chart(study, names, csv_url)
        values["how"] = combining.describe(study)
    elif study.kind is StudyKind.EVALUATION:
        values["chart"] = subset_chart(study.report, csv_url)
    else:
        values["worths"] = studies.list_worths(session, study)
        values["chart"] = worth_chart(values["worths"], csv_url)
    return render(request, "reward/study.html", values, block="live" if is_htmx(request) else None)


@router.get(BASE + "/{study_id}/numbers.csv")
def show_numbers(study_id: uuid.UUID, access: StaffAccess, session: SessionDep) -> Response:
    study = studies.find_study(session, access.project.id, study_id)
    if study.combination:
        table = combining.as_table(study, queries.flag_names(session, access.project.id))
    elif study.kind is StudyKind.EVALUATION:
        table = subset_table(study.report)
    else:
        table = worth_table(studies.list_worths(session, study))
    return csv_response(as_csv(*table), f"{study.kind.value}.csv")


def read_progress(session: Session, study: Study) -> Progress | None:
    job = session.get(Job, study.job_id) if study.job_id else None
    return describe(job, None, utc_now()) if job else None


def find_model(session: Session, project_id: uuid.UUID, text: str) -> RewardRun:
    try:
        return runs.find(session, RewardRun, project_id, uuid.UUID(text))
    except ValueError:
        raise Invalid("Choose a reward model.", field="reward_run_id") from None
