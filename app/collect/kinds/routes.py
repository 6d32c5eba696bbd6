"""The pages on which people rank, rate and write, and what leaves from them as files."""

import json
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.collect.kinds import leases, queries, service
from app.collect.kinds.forms import PromptForm, PromptLeaseForm, PromptSkipForm
from app.collect.leases import Nothing, Why
from app.collect.talk.queries import can_talk
from app.db import session_scope
from app.projects.reading import reading_of
from app.projects.remaining import MANY
from app.projects.skipping import in_words, reasons_of
from app.tables.base import utc_now
from app.tables.kinds import PromptAssignment, PromptKind
from app.web.access import Access, AnnotatorAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.downloads import attachment
from app.web.login import address_of
from app.web.redirects import redirect
from app.web.templating import is_htmx, render

router = APIRouter(prefix="/projects/{slug}", include_in_schema=False)

UNCOUNTED_SECONDS = 300.0
EXPORTS = {
    "demonstrations": queries.demonstration_rows,
    "ratings": queries.rating_rows,
    "rankings": queries.ranking_rows,
    "spans": queries.span_rows,
}


@router.get("/collect/kinds")
def kinds_page(request: Request, session: SessionDep, access: AnnotatorAccess) -> Response:
    work = leases.open_work(session, access.project.id, access.person.id)
    context = {
        "access": access,
        "work": work,
        "many": MANY,
        "can_talk": can_talk(session, access.project),
    }
    return render(request, "collect/kinds/list.html", context)


@router.get("/collect/kinds/{kind}")
def kind_page(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    waits: bool = False,
) -> Response:
    """The prompt on this person's page. A page that `waits` is told to load again, or nothing."""
    found = leases.next_prompt(session, access.project, access.person.id, kind)
    if waits and is_htmx(request):
        is_busy = isinstance(found, Nothing) and found.why is Why.BUSY
        return Response(status_code=204, headers={} if is_busy else {"HX-Refresh": "true"})
    context = _context(session, access, kind)
    if isinstance(found, Nothing):
        context |= {
            "assignment": None,
            "why": found.why.value,
            "hindrance": found.hindrance.sentence if found.hindrance else "",
        }
    else:
        context |= {
            "assignment": found,
            "why": None,
            "sheet": queries.prompt_sheet(session, found),
        }
    return render(request, f"collect/kinds/{kind.value}.html", context)


def _context(session: Session, access: Access, kind: PromptKind) -> dict[str, Any]:
    reading = reading_of(session, access.project.id, access.person.id)
    left = leases.open_work(session, access.project.id, access.person.id).get(kind, 0)
    return {
        "access": access,
        "kind": kind.value,
        "left": f"more than {MANY}" if left > MANY else str(left),
        "letters": service.LETTERS,
        "reasons": reasons_of(session, access.project.id),
        "reading": reading,
        "guidelines": reading.current,
    }


@router.post("/collect/kinds/{kind}/answers")
def answer(
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    form: Annotated[PromptForm, Form()],
) -> Response:
    """Record the answer; the page that follows holds the next prompt."""
    assignment = _own(session, access, kind, form.assignment_id)
    said = leases.Finished(_seconds(form, assignment), form.comment)
    if kind is PromptKind.RANK:
        service.record_ranking(session, assignment, form.choices(), said)
    elif kind is PromptKind.RATE:
        service.record_ratings(session, assignment, form.choices(), said)
    else:
        service.record_demonstration(session, assignment, form.text, said)
    return redirect(_url(access, kind), "Saved. This is the next one.")


def _seconds(form: PromptForm, assignment: PromptAssignment) -> float:
    claimed = UNCOUNTED_SECONDS if form.seconds is None else form.seconds
    open_for = (utc_now() - assignment.created_at).total_seconds()
    return max(0.0, min(claimed, open_for))


@router.post("/collect/kinds/{kind}/skips")
def skip(
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    form: Annotated[PromptSkipForm, Form()],
) -> Response:
    assignment = _own(session, access, kind, form.assignment_id)
    said = in_words(session, access.project.id, form.reason, form.other)
    leases.skip(session, assignment, said)
    return redirect(_url(access, kind), "Skipped. Someone else will see that one.")


@router.post("/collect/kinds/{kind}/renewals")
def renew(
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    form: Annotated[PromptLeaseForm, Form()],
) -> Response:
    leases.renew(session, _own(session, access, kind, form.assignment_id))
    return Response(status_code=204)


@router.post("/collect/kinds/{kind}/releases")
def release(
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    form: Annotated[PromptLeaseForm, Form()],
) -> Response:
    leases.release(session, _own(session, access, kind, form.assignment_id))
    return redirect("/", "That one went back to the queue. See you soon.")


def _own(
    session: Session, access: Access, kind: PromptKind, assignment_id: uuid.UUID
) -> PromptAssignment:
    return leases.own_prompt(session, assignment_id, access.person.id, access.project.id, kind)


def _url(access: Access, kind: PromptKind) -> str:
    return f"/projects/{access.project.slug}/collect/kinds/{kind.value}"


@router.get("/datasets/feedback/{what}.jsonl")
def export(
    request: Request,
    session: SessionDep,
    access: StaffAccess,
    what: Literal["demonstrations", "ratings", "rankings", "spans"],
) -> Response:
    """All of one kind of feedback as JSON lines; who takes it stands in the audit trail."""
    record_event(
        session,
        "feedback.exported",
        actor_id=access.person.id,
        project_id=access.project.id,
        subject=what,
        address=address_of(request),
    )
    name = f"{access.project.slug}-{what}.jsonl"
    return attachment(_lines(access.project.id, what), name, "application/jsonl; charset=utf-8")


def _lines(project_id: uuid.UUID, what: str) -> Iterator[bytes]:
    """In a session of its own, which outlives the request's."""
    with session_scope() as session:
        for row in EXPORTS[what](session, project_id):
            yield (json.dumps(row, ensure_ascii=False) + "\n").encode()
