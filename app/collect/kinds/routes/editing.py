"""The pages of answers about prompts that one has given: read again, and changed."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from app.collect.kinds import changing, queries
from app.collect.kinds.forms import ChangedPromptForm
from app.collect.kinds.routes.pages import TEMPLATE, context_of, own, url_of
from app.collect.kinds.times import held
from app.tables.base import utc_now
from app.tables.collect import AssignmentState
from app.tables.kinds import PromptKind
from app.web.access import AnnotatorAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter(prefix="/projects/{slug}/collect/kinds/{kind}", include_in_schema=False)


@router.get("/last")
def last(session: SessionDep, access: AnnotatorAccess, kind: PromptKind) -> Response:
    found = queries.last_answered(session, access.project.id, access.person.id, kind)
    if found is None:
        return redirect(url_of(access, kind), "You have not answered anything here yet.")
    return redirect(f"{url_of(access, kind)}/answers/{found}")


@router.get("/pairs/{assignment_id}")
def again(
    session: SessionDep, access: AnnotatorAccess, kind: PromptKind, assignment_id: uuid.UUID
) -> Response:
    """Back to a prompt: to the answer as it was given, or to the page where it is still open."""
    found = own(session, access, kind, assignment_id)
    is_done = found.state is AssignmentState.DONE
    url = url_of(access, kind)
    return redirect(f"{url}/answers/{found.id}" if is_done else url)


@router.get("/answers/{assignment_id}")
def edit(
    request: Request,
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    assignment_id: uuid.UUID,
    *,
    back: str = "",
) -> Response:
    found = own(session, access, kind, assignment_id)
    if found.state is not AssignmentState.DONE:
        return redirect(url_of(access, kind), "You have not answered that one yet.")
    context = {
        **context_of(session, access, kind),
        "answer": found,
        "said": changing.said_in(session, found),
        "sheet": queries.prompt_sheet(session, found),
        "versions": changing.versions_of(session, found),
        "unchangeable": changing.why_unchangeable(access.project, found),
        "back": back,
    }
    return render(request, TEMPLATE, context)


@router.post("/answers/{assignment_id}")
def change(
    session: SessionDep,
    access: AnnotatorAccess,
    kind: PromptKind,
    assignment_id: uuid.UUID,
    form: Annotated[ChangedPromptForm, Form()],
) -> Response:
    found = own(session, access, kind, assignment_id)
    said = changing.Said(form.choices(), form.text, form.comment)
    # No page knows when it was opened: since the answer stood as it does, at the earliest.
    since = found.changed_at or found.ended_at or utc_now()
    seconds = held(form.seconds or 0.0, since)
    took = changing.Took(seconds, form.checked_times(seconds))
    changing.change(session, access.project, found, said, after=form.revision, took=took)
    history = f"/projects/{access.project.slug}/collect/history"
    url = history if form.back == "history" else url_of(access, kind)
    return redirect(url, "Your answer was changed; the one before is kept beside it.")
