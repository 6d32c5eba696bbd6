"""What the compare page shows, as a whole page or as its next pair."""

import secrets
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from markupsafe import Markup
from sqlalchemy.orm import Session

from app.accounts.queries import pause_of
from app.collect import drafts, service, slots
from app.collect.answers import Recorded, Turned
from app.collect.draws import mixture_of
from app.collect.eligibility import in_words
from app.collect.kinds import additions
from app.collect.queries import Lease
from app.collect.service import Nothing
from app.collect.sheets import desk_of, n_since
from app.collect.standing import Standing
from app.projects.asking import MOST_KEPT, Asking, asking_of
from app.projects.remaining import MANY, n_left
from app.tables.base import utc_now
from app.tables.collect import Assignment
from app.tables.projects import FlagScope
from app.web.access import Access
from app.web.redirects import redirect
from app.web.templating import ENVIRONMENT, is_htmx, render

TEMPLATE = "collect/compare.html"
# Headers that name the pair on the page, and the one after it, by their assignments.
CURRENT, AHEAD = "Prefloop-Current", "Prefloop-Ahead"
ROUND = 10


def url_of(access: Access) -> str:
    return f"/projects/{access.project.slug}/collect"


def kept(
    response: Response, assignment_id: uuid.UUID, comparison_id: uuid.UUID | None = None
) -> Response:
    """Say in headers what was kept: a page that comes from elsewhere must not pass for a yes."""
    response.headers["Prefloop-Kept"] = str(assignment_id)
    if comparison_id is not None:
        response.headers["Prefloop-Answer"] = str(comparison_id)
    return response


def draft_kept(standing: drafts.Standing) -> JSONResponse:
    """Which version of what is half answered stands; and what it holds, where it is another's."""
    body: dict[str, Any] = {"version": standing.version, "is_saved": standing.is_saved}
    return JSONResponse(body if standing.is_saved else {**body, "content": standing.content})


def next_page(
    request: Request,
    session: Session,
    access: Access,
    asking: Asking | None = None,
    *,
    skipped: Assignment | None = None,
    recorded: Recorded | None = None,
    turned: Turned | None = None,
) -> Response:
    """The next pair in the same response; without a script, a way to it.

    A page that has `turned` to it gets the pair after it, or nothing where there is none.
    """
    if not is_htmx(request):
        return redirect(url_of(access))
    found, mine = _after(session, access, recorded, turned)
    if turned is None or isinstance(found, Nothing) or found.id != turned.to:
        # A pair that was leased ahead may be an old one with a draft, whatever its time says.
        context = _pair_in(
            session, access, found, unread=mine.unread, asking=asking, is_new=not mine.has_ahead
        )
        return _naming(CURRENT, found, pair_of(request, {**context, "skipped": skipped}))
    ahead = service.lease_after(session, access.project, access.person.id, mine)
    response = ahead_of(request, session, access, ahead, unread=mine.unread, asking=asking)
    return _naming(CURRENT, found, response)


def _after(
    session: Session, access: Access, recorded: Recorded | None, turned: Turned | None
) -> tuple[Lease | Nothing, Standing]:
    """The pair on the page once an answer is kept, and how its annotator stood before that pair."""
    mine = recorded.mine if recorded else None
    if recorded and mine and recorded.page:
        return service.refusal(access.project, mine) or recorded.page, mine
    seconds = turned.seconds if turned else 0.0
    return service.lease_and_standing(
        session, access.project, access.person.id, mine=mine, shown_for=seconds
    )


def ahead_of(
    request: Request,
    session: Session,
    access: Access,
    ahead: Lease | None,
    *,
    unread: int | None,
    asking: Asking | None = None,
) -> Response:
    """The pair that was leased ahead, as the page will show it; nothing where there is none."""
    if ahead is None:
        return Response()
    context = _pair_in(session, access, ahead, unread=unread, asking=asking, is_new=True)
    return _naming(AHEAD, ahead, pair_of(request, context))


def _naming(header: str, found: Lease | Nothing, response: Response) -> Response:
    if isinstance(found, Lease):
        response.headers[header] = str(found.id)
    return response


def pair_of(request: Request, context: dict[str, Any]) -> Response:
    return render(request, TEMPLATE, context, block="pair")


def next_pair(session: Session, access: Access) -> dict[str, Any]:
    """The context of the block `pair` with what comes next, or with why nothing does."""
    found, mine = service.lease_and_standing(session, access.project, access.person.id)
    return _pair_in(session, access, found, unread=mine.unread)


def _pair_in(
    session: Session,
    access: Access,
    found: Lease | Nothing,
    *,
    unread: int | None,
    asking: Asking | None = None,
    is_new: bool = False,
) -> dict[str, Any]:
    context: dict[str, Any] = {
        "access": access,
        "comparison": None,
        "back": "",
        "unread": unread,
    }
    if isinstance(found, Nothing):
        return {
            **context,
            **counts(session, access),
            "assignment": None,
            "why": found.why.value,
            **_said_of(found, session, access),
        }
    desk = desk_of(session, found, _a_day_ago())
    return {
        **context,
        **asked_in(asking or asking_of(session, access.project.id), {}),
        "sheet": desk.sheet,
        "recent": desk.recent,
        "left": _left(access, desk.left),
        "additions": additions.asked(session, access.project, found),
        "assignment": found,
        "ahead_minutes": slots.minutes_of(access.project, slots.AHEAD),
        "draft": service.draft_of(session, found, is_after_answer=is_new),
        "why": None,
        "key": secrets.token_urlsafe(16),
    }


def asked_in(asking: Asking, said: Mapping[str, str]) -> dict[str, Any]:
    """The flags, and as HTML what does not depend on the pair: the flags and the scale.

    `said` is what was answered, by the names of the page's inputs. Of a fresh page, where nothing
    was, the HTML is kept for as long as what is asked stands.
    """
    flags = {"flags": asking.flags}
    if said:
        return {**flags, "asked": _asked(_macros(), asking, said)}
    macros = _macros()
    kept = _kept.get(asking.project.id)
    if kept is None or kept[0] is not asking or kept[1] is not macros:
        kept = (asking, macros, _asked(macros, asking, {}))
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[asking.project.id] = kept
    return {**flags, "asked": kept[2]}


_kept: dict[uuid.UUID, tuple[Asking, Any, dict[str, Markup]]] = {}


def _macros() -> Any:
    # Another object once the file has changed.
    return ENVIRONMENT.get_template("collect/parts.html").module


def _asked(macros: Any, asking: Asking, said: Mapping[str, str]) -> dict[str, Markup]:
    def flags(scope: FlagScope, place: str) -> Markup:
        asked = asking.flags[scope.value]
        return Markup().join(macros.flag(flag, place, said, asking.keys) for flag in asked)

    ends = asking.project.low_end, asking.project.high_end
    return {
        "prompt": flags(FlagScope.PROMPT, ""),
        "left": flags(FlagScope.COMPLETION, "left"),
        "right": flags(FlagScope.COMPLETION, "right"),
        "comparison": flags(FlagScope.COMPARISON, ""),
        "scale": macros.scale(*ends, said.get("rating", "")),
    }


def counts(session: Session, access: Access) -> dict[str, Any]:
    """What is answered and what is left, with the pair on the page."""
    left = n_left(session, access.project.id, access.person.id)
    return {
        "access": access,
        "recent": n_since(session, access.project.id, access.person.id, _a_day_ago()),
        "left": _left(access, left),
    }


def _a_day_ago() -> datetime:
    # Not since midnight: whose midnight would that be?
    return utc_now() - timedelta(hours=24)


def _left(access: Access, left: int) -> str:
    """What is left, in words; in round numbers where something comes that is not counted in it.

    An exact count would stand still at a gold item, and so tell it from the rest.
    """
    if left > MANY:
        return f"more than {MANY}"
    shares = mixture_of(access.project)
    if left == 0 or shares.gold + shares.retest + shares.audit == 0:
        return str(left)
    return f"about {-(-left // ROUND) * ROUND}"


def _said_of(nothing: Nothing, session: Session, access: Access) -> dict[str, Any]:
    hindrance = nothing.hindrance
    opens = in_words(hindrance.opens_at) if hindrance and hindrance.opens_at else ""
    pause = pause_of(session, access.project.id, access.person.id) if access.is_paused else None
    return {
        "hindrance": hindrance,
        "opens": opens,
        "pause": pause,
        **({"left": "0"} if hindrance else {}),
    }
