"""Where everyone starts: their projects, and for annotators the next pair."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from sqlalchemy.orm import Session

from app.accounts.queries import Pause, pause_of
from app.errors import Invalid
from app.projects.forms import NewProjectForm
from app.projects.queries import Member, live_jobs, n_comparisons, n_done, projects_of
from app.projects.remaining import MANY, n_left, open_pairs
from app.projects.rules import WORDINGS
from app.projects.service import create_project
from app.tables.accounts import Person, Role
from app.tables.jobs import Job, JobKind, JobState
from app.tables.projects import Project
from app.web.access import MemberAccess, OwnerDep, require_owner
from app.web.dependencies import SessionDep
from app.web.login import LoginDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter()

WORK = {
    JobKind.SFT: "fine-tuning the base model",
    JobKind.REWARD: "training a reward model",
    JobKind.POLICY: "optimising the policy",
    JobKind.SAMPLE: "writing fresh completions",
    JobKind.SELECT: "choosing the next pairs",
}


@dataclass(frozen=True)
class Queue:
    """A project in which the person compares: `left` pairs remain, at most `MANY` + 1."""

    project: Project
    is_paused: bool
    left: int
    done: int
    pause: Pause | None = None

    @property
    def left_in_words(self) -> str:
        if self.left > MANY:
            return f"more than {MANY:,} pairs left"
        if self.left == 0:
            return "no pairs left"
        return f"{self.left:,} pair{'' if self.left == 1 else 's'} left"


@dataclass(frozen=True)
class Overview:
    """A project that the person runs, with a line of state."""

    project: Project
    n_open: int
    n_comparisons: int
    job: Job | None

    @property
    def loop(self) -> str:
        if self.job is None:
            if self.n_open:
                return "waiting for comparisons"
            return "waiting for prompts" if self.n_comparisons == 0 else "waiting for fresh pairs"
        work = WORK[self.job.kind]
        return work if self.job.state is JobState.RUNNING else f"about to begin {work}"


def _queues(session: Session, person: Person, members: list[Member]) -> list[Queue]:
    """The queues of those who were asked to compare; an owner is not, but may."""
    return [
        Queue(
            member.project,
            member.is_paused,
            n_left(session, member.project.id, person.id),
            n_done(session, member.project.id, person.id),
            pause_of(session, member.project.id, person.id) if member.is_paused else None,
        )
        for member in members
        if Role.ANNOTATOR in member.given_roles
    ]


def _overviews(session: Session, members: list[Member]) -> list[Overview]:
    ids = [member.project.id for member in members]
    pairs, comparisons = open_pairs(session, ids), n_comparisons(session, ids)
    jobs = live_jobs(session, ids)
    return [
        Overview(member.project, pairs.get(i, 0), comparisons.get(i, 0), jobs.get(i))
        for i, member in zip(ids, members, strict=True)
    ]


@router.get("/")
def start(request: Request, session: SessionDep, login: LoginDep) -> Response:
    members = projects_of(session, login.person)
    active = [member for member in members if not member.project.is_archived]
    archived = [m.project for m in members if m.project.is_archived and m.is_staff]
    context = {
        "queues": _queues(session, login.person, active),
        "overviews": _overviews(session, [member for member in active if member.is_staff]),
        "archived": archived,
        "has_password": login.person.password_hash is not None,
    }
    return render(request, "projects/start.html", context)


def _new_page(request: Request, form: NewProjectForm, refusal: Invalid | None = None) -> Response:
    errors = {refusal.field or "name": refusal.message} if refusal else {}
    context = {"form": form, "errors": errors, "wordings": WORDINGS}
    status = refusal.status if refusal else 200
    return render(request, "projects/new.html", context, status=status)


@router.get("/projects/new", dependencies=[Depends(require_owner)])
def new_project(request: Request) -> Response:
    return _new_page(request, NewProjectForm())


@router.post("/projects/new")
def make_project(
    request: Request,
    session: SessionDep,
    owner: OwnerDep,
    form: Annotated[NewProjectForm, Form()],
) -> Response:
    try:
        project = create_project(
            session, name=form.name, objective=form.objective, created_by=owner.id
        )
    except Invalid as refusal:
        return _new_page(request, form, refusal)
    return redirect(
        f"/projects/{project.slug}/settings",
        notice=f"{project.name} is made. Look over its settings, then import prompts.",
    )


@router.get("/projects/{slug}")
def project_home(access: MemberAccess) -> Response:
    place = "loop" if access.is_staff else "collect"
    return redirect(f"/projects/{access.project.slug}/{place}")
