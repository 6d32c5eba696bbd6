"""Pages of policy runs: all of them, one of them, two side by side."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from app.policy import figures, queries, service
from app.policy.samples import read_samples
from app.reward import artefacts
from app.reward.figures import differing
from app.reward.progress import read_progress, seconds_of
from app.reward.queries import read_metrics
from app.tables.runs import PolicyRun, RunState
from app.web.access import ResearcherAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import is_htmx, render

router = APIRouter()

BASE = "/projects/{slug}/policy"


@router.get(BASE)
def show_runs(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    context = {
        "access": access,
        "runs": queries.list_policy_runs(session, access.project.id),
        "score_words": figures.score_words,
        "ways": figures.WAYS,
    }
    return render(request, "policy/list.html", context)


@router.get(BASE + "/{run_id}")
def show_run(
    run_id: uuid.UUID,
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    other: Annotated[uuid.UUID | None, Query(alias="with")] = None,
) -> Response:
    run = queries.find_policy_run(session, access.project.id, run_id)
    if other is not None:
        return _compare(request, access, session, run, other)
    context = {"access": access, **_run_context(session, access.project.slug, run)}
    return render(request, "policy/run.html", context, block="live" if is_htmx(request) else None)


@router.post(BASE + "/{run_id}/live")
def make_live(run_id: uuid.UUID, access: ResearcherAccess, session: SessionDep) -> Response:
    run = queries.find_policy_run(session, access.project.id, run_id)
    service.make_live(session, run, by=access.person.id)
    said = f"Policy {run.number} is live: it writes the next completions that people compare."
    return redirect(f"/projects/{access.project.slug}/policy/{run.id}", notice=said)


@router.get(BASE + "/{run_id}/files/{name}")
def show_file(run_id: uuid.UUID, name: str, access: StaffAccess, session: SessionDep) -> Response:
    """The manifest or the model card, as plain text that no browser would run."""
    run = queries.find_policy_run(session, access.project.id, run_id)
    return PlainTextResponse(artefacts.read_text(run, name))


def _run_context(session: Session, slug: str, run: PolicyRun) -> dict[str, Any]:
    csv_url = f"/api/v1/projects/{slug}/policy-runs/{run.id}/metrics.csv"
    curves = read_metrics(session, run.id, figures.DRAWN)
    is_unfinished = run.state in (RunState.QUEUED, RunState.RUNNING)
    return {
        "run": run,
        "way": figures.WAYS[run.algorithm],
        "progress": read_progress(session, run.id),
        "is_unfinished": is_unfinished,
        "alarms": figures.alarm_words(run),
        "before": figures.end(run, "before"),
        "after": figures.end(run, "after"),
        "score_before": figures.score_words(run, "before"),
        "score_after": figures.score_words(run, "after"),
        "charts": figures.all_charts(run, curves, csv_url),
        "provenance": queries.read_provenance(session, run),
        "comparable": queries.list_comparable(session, run),
        "samples": [] if is_unfinished else read_samples(run),
        "has_files": artefacts.find_folder(run) is not None,
        "seconds": seconds_of(run),
    }


def _compare(
    request: Request, access: StaffAccess, session: Session, run: PolicyRun, other: uuid.UUID
) -> Response:
    if other == run.id:
        return RedirectResponse(request.url.path, status_code=303)
    second = queries.find_policy_run(session, access.project.id, other)
    pair = sorted((run, second), key=lambda one: one.number)
    context = {
        "access": access,
        "runs": pair,
        "ways": figures.WAYS,
        "scores": [
            (figures.score_words(one, "before"), figures.score_words(one, "after")) for one in pair
        ],
        "provenance": [queries.read_provenance(session, one) for one in pair],
        "alarms": [figures.alarm_words(one) for one in pair],
        "charts": [
            figures.overlay(pair, [read_metrics(session, one.id, figures.DRAWN) for one in pair])
        ],
        "differences": differing(pair[0].configuration, pair[1].configuration),
        "seconds": [seconds_of(one) for one in pair],
    }
    return render(request, "policy/compare.html", context)
