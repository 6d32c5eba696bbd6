"""The pages of agreement for admins and researchers."""

import uuid
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.accounts.groups import find_group
from app.agree import charts, flag_charts, queries, service
from app.agree.flags import by_flag, course_of, find_flag
from app.agree.forms import read_filter, read_flag
from app.agree.patterns import Filter
from app.agree.researcher_chart import NAMES, researcher_chart
from app.agree.researchers import with_researchers
from app.agree.routes.common import BASE, group_choices, tools
from app.tables.agree import EVERY_VERSION
from app.web.access import Access, StaffAccess
from app.web.dependencies import SessionDep
from app.web.templating import render

router = APIRouter()

FilterDep = Annotated[Filter, Depends(read_filter)]


@router.get(BASE)
def show(request: Request, access: StaffAccess, session: SessionDep, chosen: FilterDep) -> Response:
    if chosen.group is not None:
        find_group(session, access.project.id, chosen.group)
    found = service.overview(session, access.project, chosen)
    api = f"/api/v1/projects/{access.project.slug}/agreement"
    asked = _asked(chosen)
    researchers = with_researchers(session, access.project)
    context = {
        **tools(access, "overview"),
        **_filter_context(session, access, chosen),
        "found": found,
        "researchers": researchers,
        "sources": NAMES,
        "researcher_chart": researcher_chart(researchers, f"{api}/researchers.csv"),
        "headline": charts.headline(found.whole),
        "week_chart": charts.week_chart(found.weeks, f"{api}/weeks.csv{asked}"),
        "raw_chart": charts.raw_chart(found.weeks, f"{api}/weeks.csv{asked}"),
        "version_chart": charts.version_chart(found.versions, f"{api}/versions.csv{asked}"),
    }
    return render(request, "agree/overview.html", context)


def _version_choices(session: Session, access: Access) -> list[tuple[str, str]]:
    versions = queries.versions_of(session, access.project.id)
    named = [(str(one.id), f"Version {one.number}") for one in versions]
    return [(str(EVERY_VERSION), "All versions"), *named]


def _filter_context(session: Session, access: Access, chosen: Filter) -> dict[str, Any]:
    """What the form of the filter needs; `asked` is the filter as the end of an address."""
    asked = _asked(chosen)
    return {
        "chosen": chosen,
        "is_filtered": bool(asked),
        "asked": asked,
        "version_choices": _version_choices(session, access),
        "group_choices": group_choices(session, access),
    }


def _asked(chosen: Filter, **more: str) -> str:
    """The filter as the end of an address, with `more`; empty where nothing is filtered."""
    values = {
        "version": "" if chosen.version == EVERY_VERSION else str(chosen.version),
        "since": chosen.since.isoformat() if chosen.since else "",
        "until": chosen.until.isoformat() if chosen.until else "",
        "group": str(chosen.group or ""),
    }
    kept = {name: value for name, value in {**values, **more}.items() if value}
    return f"?{urlencode(kept)}" if kept else ""


@router.get(BASE + "/groups")
def show_groups(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    one: Annotated[str, Query(max_length=40)] = "",
    other: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Each group on its own, and two of them side by side."""
    cuts = service.by_group(session, access.project)
    known = {str(cut.group.id): cut.group for cut in cuts if cut.group is not None}
    first, second = _two_of(list(known), one, other)
    context = {
        **tools(access, "groups"),
        "cuts": cuts,
        "choices": [(key, group.name) for key, group in known.items()],
        "one": first,
        "other": second,
        "two": service.compare_groups(session, access.project, known[first], known[second])
        if first != second
        else None,
        "fewest": service.FEWEST_SHARED,
    }
    return render(request, "agree/groups.html", context)


def _two_of(known: Sequence[str], one: str, other: str) -> tuple[str, str]:
    """The two that were asked for where they are known; in place of others, the first there are."""
    first = one if one in known else next((key for key in known if key != other), "")
    if other in known:
        return first, other
    return first, next((key for key in known if key != first), first)


@router.get(BASE + "/flags")
def show_flags(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    chosen: FilterDep,
    flag: Annotated[uuid.UUID | None, Depends(read_flag)],
) -> Response:
    """Every flag, and how the one that was asked for went on."""
    if chosen.group is not None:
        find_group(session, access.project.id, chosen.group)
    flags = by_flag(session, access.project, chosen)
    one = find_flag(flags, flag)
    context = {
        **tools(access, "flags"),
        **_filter_context(session, access, chosen),
        "flags": flags,
        "one": one,
        "scopes": flag_charts.JUDGED,
    }
    if one is not None:
        weeks = course_of(one)
        asked = _asked(chosen, flag=str(one.flag.id))
        csv_url = f"/api/v1/projects/{access.project.slug}/agreement/flag-weeks.csv{asked}"
        context["agreement_chart"] = flag_charts.agreement_chart(one.flag, weeks, csv_url)
        context["share_chart"] = flag_charts.share_chart(one.flag, weeks, csv_url)
    return render(request, "agree/flags.html", context)


@router.get(BASE + "/two")
def show_two(
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    one: Annotated[str, Query(max_length=40)] = "",
    other: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Two named people side by side, and everyone against themselves."""
    people = queries.people_with_answers(session, access.project.id)
    known = {str(person.id): person for person in people}
    first, second = _two_of(list(known), one, other)
    context = {
        **tools(access, "two"),
        "choices": [(key, person.name) for key, person in known.items()],
        "one": first,
        "other": second,
        "two": service.compare_two(session, access.project, known[first], known[second])
        if first != second
        else None,
        "retested": service.retested(session, access.project),
        "fewest": service.FEWEST_SHARED,
    }
    return render(request, "agree/two.html", context)
