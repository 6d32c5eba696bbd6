"""Who did what, when: of the whole installation for owners, of a project for its admins."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.orm import Session

from app.accounts.queries import audit_actions, audit_page
from app.web.access import AdminAccess, require_owner
from app.web.dependencies import SessionDep
from app.web.templating import render

router = APIRouter(include_in_schema=False)

PAGE = 50
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
Action = Annotated[str, Query(max_length=80)]


def in_words(action: str) -> str:
    """ "api_token.created" as people read it: "api token created"."""
    return action.replace(".", " ").replace("_", " ")


def _context(
    session: Session, action: str, before: int | None, project_id: uuid.UUID | None
) -> dict[str, Any]:
    rows = audit_page(session, project_id=project_id, action=action, before=before, size=PAGE)
    return {
        "rows": rows[:PAGE],
        "older": rows[PAGE - 1].event.id if len(rows) > PAGE else None,
        "before": before,
        "action": action,
        "actions": [(name, in_words(name)) for name in audit_actions(session, project_id)],
        "in_words": in_words,
    }


@router.get("/audit", dependencies=[Depends(require_owner)])
def audit(
    request: Request,
    session: SessionDep,
    action: Action = "",
    before: Before = None,
) -> Response:
    context = _context(session, action, before, None)
    return render(request, "accounts/audit.html", context)


@router.get("/projects/{slug}/audit")
def project_audit(
    request: Request,
    session: SessionDep,
    access: AdminAccess,
    action: Action = "",
    before: Before = None,
) -> Response:
    context = _context(session, action, before, access.project.id)
    return render(request, "accounts/project_audit.html", {**context, "access": access})
