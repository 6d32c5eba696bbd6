"""The pages that runs of each kind have: all of them, one of them, two side by side, its files."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from app import runs
from app.reward import artefacts
from app.reward.figures import differing
from app.reward.progress import read_progress, seconds_of
from app.runs import Kind
from app.tables.projects import Project
from app.tables.runs import RunState
from app.web.access import ResearcherAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import is_htmx, render

UNFINISHED = (RunState.QUEUED, RunState.RUNNING)


@dataclass(frozen=True)
class RunPages(Generic[Kind]):
    """What is a kind's own: `name` in addresses and of its templates' folder, and its values."""

    kind: type[Kind]
    name: str
    is_now_live: str  # a sentence with {number}
    make_live: Callable[[Session, Kind, uuid.UUID], None]
    list_values: Callable[[Project, Sequence[Kind]], dict[str, Any]]
    run_values: Callable[[Session, Kind, str], dict[str, Any]]  # the last is the metrics' address
    compare_values: Callable[[Session, Sequence[Kind]], dict[str, Any]]


def run_router(pages: RunPages[Kind]) -> APIRouter:
    router = APIRouter()
    base = f"/projects/{{slug}}/{pages.name}"

    @router.get(base)
    def show_runs(request: Request, access: StaffAccess, session: SessionDep) -> Response:
        found = runs.list_runs(session, pages.kind, access.project.id)
        values = pages.list_values(access.project, found)
        return render(
            request, f"{pages.name}/list.html", {"access": access, "runs": found, **values}
        )

    @router.get(base + "/{run_id}")
    def show_run(
        run_id: uuid.UUID,
        request: Request,
        access: StaffAccess,
        session: SessionDep,
        other: Annotated[uuid.UUID | None, Query(alias="with")] = None,
    ) -> Response:
        run = runs.find(session, pages.kind, access.project.id, run_id)
        if other == run.id:
            return RedirectResponse(request.url.path, status_code=303)
        if other is not None:
            second = runs.find(session, pages.kind, access.project.id, other)
            values = {"access": access, **_two(pages, session, run, second)}
            return render(request, f"{pages.name}/compare.html", values)
        values = {"access": access, **_one(pages, session, access.project.slug, run)}
        block = "live" if is_htmx(request) else None
        return render(request, f"{pages.name}/run.html", values, block=block)

    @router.post(base + "/{run_id}/live")
    def make_live(run_id: uuid.UUID, access: ResearcherAccess, session: SessionDep) -> Response:
        run = runs.find(session, pages.kind, access.project.id, run_id)
        pages.make_live(session, run, access.person.id)
        said = pages.is_now_live.format(number=run.number)
        return redirect(f"/projects/{access.project.slug}/{pages.name}/{run.id}", notice=said)

    @router.get(base + "/{run_id}/files/{name}")
    def show_file(
        run_id: uuid.UUID, name: str, access: StaffAccess, session: SessionDep
    ) -> Response:
        """The manifest or the model card, as plain text that no browser would run."""
        run = runs.find(session, pages.kind, access.project.id, run_id)
        return PlainTextResponse(artefacts.read_text(run, name))

    return router


def _one(pages: RunPages[Kind], session: Session, slug: str, run: Kind) -> dict[str, Any]:
    csv_url = f"/api/v1/projects/{slug}/{pages.name}-runs/{run.id}/metrics.csv"
    return {
        "run": run,
        "progress": read_progress(session, run.id),
        "is_unfinished": run.state in UNFINISHED,
        "has_files": artefacts.find_folder(run) is not None,
        "seconds": seconds_of(run),
        **pages.run_values(session, run, csv_url),
    }


def _two(pages: RunPages[Kind], session: Session, run: Kind, second: Kind) -> dict[str, Any]:
    pair = sorted((run, second), key=lambda one: one.number)
    return {
        "runs": pair,
        "differences": differing(pair[0].configuration, pair[1].configuration),
        "seconds": [seconds_of(one) for one in pair],
        **pages.compare_values(session, pair),
    }
