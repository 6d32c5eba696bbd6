"""The one request that people wait for all day: an answer comes, the next pair goes back."""

from datetime import datetime
from uuid import UUID

from fastapi import BackgroundTasks, Request, Response
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask
from starlette.routing import Route

from app.collect import service
from app.collect.answers import Answer, Recorded, Turned, record_answer
from app.collect.entry import Entry, enter
from app.collect.forms import NewAnswerForm
from app.collect.kinds import additions
from app.collect.leases import held_lease
from app.collect.queries import Lease
from app.collect.routes.pages import kept, next_page
from app.collect.standing import one_at_a_time
from app.projects.asking import Asking, asking_of
from app.tables.accounts import Role, hash_token
from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.projects import Project
from app.web.access import Access, find_access, require_role
from app.web.csrf import check_origin, check_token
from app.web.direct import DirectForm, Fields, filled
from app.web.login import (
    IDLE,
    TOUCH_EVERY,
    Login,
    cookie_name,
    find_login,
    note_session,
    require_login,
)

# Without a script nobody counts active seconds; what is longer than this was not all reading.
UNCOUNTED_SECONDS = 120.0


def answer(session: Session, request: Request, fields: Fields) -> Response:
    """Record the answer and hand out the next pair, in one round trip."""
    now = utc_now()
    entry = _enter(session, request, fields, now)
    access, asking = _let_in(session, request, fields, entry)
    form = filled(NewAnswerForm, fields)
    lease = entry.lease if entry else _lease(session, form, access)
    turned = Turned(form.shown, form.shown_for) if form.shown else None
    recorded = record_answer(session, lease, asking, _answer_in(form, lease), turned)
    if additions.is_any_on(access.project):
        _record_additions(session, access, recorded, form)
    response = next_page(request, session, access, asking, recorded=recorded, turned=turned)
    kept(response, lease.id, recorded.id)
    if entry is not None and entry.is_due:
        response.background = BackgroundTask(note_session, _token(request), now)
    return response


route = Route("/projects/{slug}/collect/answers", DirectForm(answer), methods=["POST"])


def _token(request: Request) -> str:
    return request.cookies.get(cookie_name(), "")


def _enter(session: Session, request: Request, fields: Fields, now: datetime) -> Entry | None:
    try:
        assignment_id = UUID(fields.get("assignment_id"))
    except (TypeError, ValueError, AttributeError):
        return None
    return enter(
        session,
        hash_token(_token(request)),
        request.path_params["slug"],
        assignment_id,
        now=now,
        idle_since=now - IDLE,
        due=now - TOUCH_EVERY,
    )


def _let_in(
    session: Session, request: Request, fields: Fields, entry: Entry | None
) -> tuple[Access, Asking]:
    """Origin, login, CSRF and permission as everywhere.

    Without an entry by the ordinary way, which knows what to say to whom.
    """
    check_origin(request)
    if entry is not None:
        login: Login | None = Login(entry.person, entry.session_id, entry.csrf_token)
        request.state.login, request.state.visitor = login, entry.person
    else:
        login = find_login(request, session, BackgroundTasks())
    if login is not None:
        given = request.headers.get("x-csrf-token", fields.get("csrf_token"))
        check_token(given, login.csrf_token)
    if entry is not None:
        access = Access(entry.person, entry.asking.project, entry.roles, entry.is_paused)
        return access, entry.asking
    access = find_access(request.path_params["slug"], require_login(login), session)
    require_role(Role.ANNOTATOR)(access)
    return access, asking_of(session, access.project.id)


def _lease(session: Session, form: NewAnswerForm, access: Access) -> Lease:
    one_at_a_time(session, access.person.id)
    return held_lease(session, form.assignment_id, access.person.id, project_id=access.project.id)


def _answer_in(form: NewAnswerForm, lease: Lease) -> Answer:
    claimed = UNCOUNTED_SECONDS if form.seconds is None else form.seconds
    seconds = service.active_seconds(claimed, lease)
    times = form.control_times(lease.is_flipped)
    return Answer(
        rating=form.canonical_rating(lease.is_flipped),
        seconds=seconds,
        idempotency_key=form.idempotency_key,
        flags=form.flags(lease.is_flipped),
        times=service.check_times(times, claimed=form.seconds, seconds=seconds),
        comment=form.comment,
        is_about_equal=form.is_about_equal,
        is_both_bad=form.is_both_bad,
        confidence=form.confidence,
    )


def _record_additions(
    session: Session, access: Access, recorded: Recorded, form: NewAnswerForm
) -> None:
    comparison = session.get_one(Comparison, recorded.id)
    project = session.get_one(Project, access.project.id)
    additions.record_additions(session, project, comparison, form.model_extra)
