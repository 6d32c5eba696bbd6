"""Pairs that all skip, for the people who run the project."""

import uuid

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import object_session

from app.collect.service import assign
from app.collect.sheets import sheet_of
from app.collect.skips import close_pair, n_stuck, put_back, stuck_pairs
from app.errors import Forbidden
from app.tables.accounts import Role
from app.web.access import Access, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import ENVIRONMENT, render

router = APIRouter(prefix="/projects/{slug}/skipped", include_in_schema=False)


def _n_stuck(access: Access) -> int:
    """For the navigation of a project's pages, which know nothing else of the queue."""
    session = object_session(access.project)
    return n_stuck(session, access.project) if session and access.is_staff else 0


ENVIRONMENT.globals["n_stuck"] = _n_stuck


def _url(access: Access) -> str:
    return f"/projects/{access.project.slug}/skipped"


@router.get("")
def skipped_page(request: Request, session: SessionDep, access: StaffAccess) -> Response:
    rows = stuck_pairs(session, access.project)
    context = {
        "access": access,
        "rows": [(row, sheet_of(session, row.pair_id, is_flipped=False)) for row in rows],
        "may_answer": Role.ANNOTATOR in access.roles,
    }
    return render(request, "collect/skipped.html", context)


@router.post("/{pair_id}/close")
def close(session: SessionDep, access: StaffAccess, pair_id: uuid.UUID) -> Response:
    close_pair(session, access.project, pair_id, by=access.person.id)
    return redirect(_url(access), "Closed. Nobody is asked about that pair any more.")


@router.post("/{pair_id}/put-back")
def offer_again(session: SessionDep, access: StaffAccess, pair_id: uuid.UUID) -> Response:
    n = put_back(session, access.project, pair_id, by=access.person.id)
    return redirect(
        _url(access), f"Put back. {n} {'person' if n == 1 else 'people'} may get it again."
    )


@router.post("/{pair_id}/answer")
def answer_it(session: SessionDep, access: StaffAccess, pair_id: uuid.UUID) -> Response:
    """Lease the pair to oneself, and go to the page where it is answered."""
    if Role.ANNOTATOR not in access.roles:
        raise Forbidden("This needs the role annotator in this project. Ask an admin for it.")
    assign(session, pair_id, access.person.id, project_id=access.project.id)
    return redirect(f"/projects/{access.project.slug}/collect")
