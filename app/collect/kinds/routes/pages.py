"""What the pages of the other kinds of feedback show, as a whole page or as its next prompt."""

import uuid
from typing import Any

from fastapi import Request, Response
from sqlalchemy.orm import Session

from app.accounts.queries import pause_of
from app.collect.kinds import leases, queries, service
from app.collect.kinds.drafts import prompt_draft_of
from app.collect.leases import Nothing
from app.projects.reading import reading_of
from app.projects.remaining import MANY
from app.projects.skipping import reasons_of
from app.tables.kinds import PromptAssignment, PromptKind
from app.web.access import Access
from app.web.redirects import redirect
from app.web.templating import is_htmx, render

TEMPLATE = "collect/kinds/sheet.html"


def url_of(access: Access, kind: PromptKind) -> str:
    return f"/projects/{access.project.slug}/collect/kinds/{kind.value}"


def own(
    session: Session, access: Access, kind: PromptKind, assignment_id: uuid.UUID
) -> PromptAssignment:
    """The assignment of whoever asks, locked. Raises NotFound or Forbidden."""
    return leases.own_prompt(session, assignment_id, access.person.id, access.project.id, kind)


def next_prompt(session: Session, access: Access, kind: PromptKind) -> dict[str, Any]:
    """The context of the block `pair` with what comes next, or with why nothing does."""
    found = leases.next_prompt(session, access.project, access.person.id, kind)
    context = context_of(session, access, kind)
    if isinstance(found, Nothing):
        hindrance = found.hindrance.sentence if found.hindrance else ""
        pause = pause_of(session, access.project.id, access.person.id) if access.is_paused else None
        return {**context, "why": found.why.value, "hindrance": hindrance, "pause": pause}
    return {
        **context,
        "assignment": found,
        "sheet": queries.prompt_sheet(session, found),
        "draft": prompt_draft_of(session, found),
    }


def context_of(session: Session, access: Access, kind: PromptKind) -> dict[str, Any]:
    """What a page shows around its prompt."""
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
        "assignment": None,
        "answer": None,
        "said": None,
        "draft": None,
        "why": None,
        "skipped": None,
        "pause": None,
    }


def next_page(
    request: Request,
    session: Session,
    access: Access,
    kind: PromptKind,
    notice: str,
    *,
    skipped: PromptAssignment | None = None,
) -> Response:
    """The next prompt in the same response; without a script, a way to it."""
    if not is_htmx(request):
        return redirect(url_of(access, kind), notice)
    return block_of(request, {**next_prompt(session, access, kind), "skipped": skipped})


def block_of(request: Request, context: dict[str, Any]) -> Response:
    return render(request, TEMPLATE, context, block="pair")
