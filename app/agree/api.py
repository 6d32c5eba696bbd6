"""Agreement as JSON and CSV, for scripts with a bearer token and for the links on the pages."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from app.accounts.groups import find_group
from app.agree import service, tables
from app.agree.cost import charts as cost_tables
from app.agree.cost.other_kinds import kind_parts, kind_rows
from app.agree.cost.service import costs
from app.agree.decisions import find_seen
from app.agree.flags import by_flag, course_of, find_flag
from app.agree.forms import read_filter, read_flag
from app.agree.opinions import every_verdict, read_pair
from app.agree.patterns import Filter
from app.agree.person import portrait
from app.agree.researchers import with_researchers
from app.agree.upkeep import catch_up
from app.agree.workforce import survey
from app.errors import NotFound
from app.spreadsheet import as_csv
from app.web.access import AdminAccess, MemberAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.downloads import csv_response

router = APIRouter(prefix="/api/v1/projects/{slug}/agreement")

FilterDep = Annotated[Filter, Depends(read_filter)]
FlagDep = Annotated[uuid.UUID | None, Depends(read_flag)]


@router.get("")
def show(access: StaffAccess, session: SessionDep, chosen: FilterDep) -> dict[str, Any]:
    """Every coefficient of the chosen part; null is undefined."""
    found = service.overview(session, access.project, chosen)
    wide = {"alpha_wide_low": found.wide.low, "alpha_wide_high": found.wide.high}
    return {**tables.as_values(found.whole), **wide}


@router.get("/weeks.csv")
def weeks(access: StaffAccess, session: SessionDep, chosen: FilterDep) -> Response:
    catch_up(session, access.project.id)
    found = service.by_week(session, access.project, chosen)
    return csv_response(tables.cuts_as_csv("week", found), "agreement-by-week.csv")


@router.get("/versions.csv")
def versions(access: StaffAccess, session: SessionDep, chosen: FilterDep) -> Response:
    catch_up(session, access.project.id)
    found = service.by_version(session, access.project, chosen)
    return csv_response(tables.cuts_as_csv("version", found), "agreement-by-version.csv")


@router.get("/groups.csv")
def groups(access: StaffAccess, session: SessionDep) -> Response:
    found = service.by_group(session, access.project)
    return csv_response(tables.cuts_as_csv("group", found), "agreement-by-group.csv")


@router.get("/two-groups.csv")
def two_groups(
    access: StaffAccess, session: SessionDep, one: uuid.UUID, other: uuid.UUID
) -> Response:
    """Two groups with each other, on the pairs that people of both answered."""
    pair = [find_group(session, access.project.id, id_) for id_ in (one, other)]
    found = service.compare_groups(session, access.project, *pair)
    return csv_response(tables.two_as_csv(found), "two-groups.csv")


@router.get("/flags.csv")
def flags(access: StaffAccess, session: SessionDep, chosen: FilterDep) -> Response:
    text = tables.flags_as_csv(by_flag(session, access.project, chosen))
    return csv_response(text, "agreement-by-flag.csv")


@router.get("/flag-weeks.csv")
def flag_weeks(
    access: StaffAccess, session: SessionDep, chosen: FilterDep, flag: FlagDep
) -> Response:
    """A row a week of the flag asked for, or of that with most answers."""
    one = find_flag(by_flag(session, access.project, chosen), flag)
    if one is None:
        raise NotFound("Nobody has answered a flag yet.")
    return csv_response(tables.flag_weeks_as_csv(one.flag, course_of(one)), "flag-by-week.csv")


@router.get("/retests.csv")
def retests(access: StaffAccess, session: SessionDep) -> Response:
    head = ["person", "n", "same_side", "low", "high", "mean_distance"]
    rows = [
        [person.name, one.n, one.same_side, one.low, one.high, one.distance]
        for person, one in service.retested(session, access.project)
    ]
    return csv_response(as_csv(head, rows), "retests.csv")


@router.get("/workforce.csv")
def workforce(access: StaffAccess, session: SessionDep) -> Response:
    head, rows = tables.workforce_rows(survey(session, access.project))
    return csv_response(as_csv(head, rows), "workforce.csv")


@router.get("/researchers.csv")
def researchers(access: StaffAccess, session: SessionDep) -> Response:
    """A row a source and week: the share on the same side, its interval, comparisons and pairs."""
    head = ["source", "week", "same_side", "low", "high", "n", "n_pairs"]
    rows = [
        [source, one.week.isoformat(), m.share, m.low, m.high, m.n, m.n_pairs]
        for source, weeks in with_researchers(session, access.project).weeks.items()
        for one in weeks
        for m in (one.match,)
    ]
    return csv_response(as_csv(head, rows), "researchers-and-annotators.csv")


@router.get("/verdicts.csv")
def verdicts(access: StaffAccess, session: SessionDep) -> Response:
    """A row a pair with the posterior over the ratings 1 to 8, p1 to p8."""
    every, _ = every_verdict(session, access.project)
    head = ["pair_id", "n", "mean", "variance", *(f"p{k}" for k in range(1, 9))]
    rows = [
        [str(v.pair_id), v.n, v.mean, v.variance, *v.posterior, v.is_diverging, v.is_noisy]
        for v in every
    ]
    text = as_csv([*head, "is_diverging", "is_noisy"], rows)
    return csv_response(text, "verdicts.csv")


@router.get("/verdicts/{pair_id}.csv")
def verdict(pair_id: uuid.UUID, access: StaffAccess, session: SessionDep) -> Response:
    """A row a rating with its chance by the next person who reads; none without a verdict."""
    found = read_pair(session, access.project, pair_id).verdict
    rows = list(enumerate(found.posterior, start=1)) if found else []
    return csv_response(as_csv(["rating", "chance"], rows), "verdict.csv")


@router.get("/people/{person_id}/{table}.csv")
def person_table(
    person_id: uuid.UUID, table: str, access: MemberAccess, session: SessionDep
) -> Response:
    """`table` is history, firm, sure or differences: what the person's page shows, also to them."""
    worker = find_seen(
        session, access.project, person_id, by=access.person, is_staff=access.is_staff
    )
    if table not in tables.OF_A_PERSON:
        raise NotFound("There is no such table.")
    found = portrait(session, access.project, worker)
    return csv_response(as_csv(*tables.OF_A_PERSON[table](found)), f"{table}.csv")


@router.get("/cost")
def cost(access: AdminAccess, session: SessionDep) -> dict[str, Any]:
    """Active time and cost of all work, of each part of the page and person; null is undefined."""
    return cost_tables.as_values(costs(session, access.project))


COST_TABLES = {
    "weeks": cost_tables.week_rows,
    "parts": cost_tables.button_rows,
    "people": cost_tables.people_rows,
    "days": cost_tables.day_rows,
}


@router.get("/cost/{table}.csv")
def cost_table(table: str, access: AdminAccess, session: SessionDep) -> Response:
    """`table` is weeks, parts, people, days, or kinds: of rankings, ratings, demonstrations."""
    if table == "kinds":
        return csv_response(as_csv(*kind_rows(kind_parts(session, access.project.id))), "kinds.csv")
    if table not in COST_TABLES:
        raise NotFound("There is no such table.")
    return csv_response(as_csv(*COST_TABLES[table](costs(session, access.project))), f"{table}.csv")
