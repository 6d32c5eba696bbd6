"""Whether a person may answer in a project now: languages, qualifications, and how much.

What the tables say is read by the statement that `queries.standing` sends anyway; a project that
asks for nothing pays for nothing. The verdict is a pure function of it.
"""

import math
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.languages import names_of
from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.projects import Project

DAY = timedelta(hours=24)
# Below this many answers of one's own a share of the whole says nothing: somebody is first.
SHARE_COUNTS_FROM = 100
# How long a process goes by its last count of a project's answers.
COUNT_SECONDS = 30.0

# How a person stands to a project's text of consent; null where there is no text.
CONSENT = """
    case when cast(:consent_from as int) is not null then coalesce((
        select case
            when c.ended_at is not null then 'withdrawn'
            when c.number < cast(:consent_from as int) then 'old'
            else 'given'
        end
        from consent c where c.project_id = :project and c.person_id = :annotator
        order by c.given_at desc limit 1
    ), 'none') end as consent
"""

# Columns of the statement `standing`. Each limit walks the index to the answer that reaches it.
COLUMNS = f"""
    {CONSENT},
    cardinality(cast(:languages as text[])) = 0 or exists (
        select from person pe where pe.id = :annotator
            and pe.languages && cast(:languages as text[])
    ) as is_speaker,
    array(
        select q.name from qualification q
        where q.project_id = :project and q.is_required and not exists (
            select from qualification_grant g where g.qualification_id = q.id
                and g.person_id = :annotator and g.revoked_at is null
        )
        order by q.name
    ) as missing,
    case when cast(:most_a_day as int) is not null then (
        select c.created_at from comparison c
        where c.annotator_id = :annotator and c.project_id = :project
            and c.created_at > clock_timestamp() - interval '24 hours'
        order by c.created_at desc offset cast(:most_a_day as int) - 1 limit 1
    ) end as day_full_at,
    case when cast(:most as int) is not null then (
        select cast(:most as int) from comparison c
        where c.annotator_id = :annotator and c.project_id = :project
        offset cast(:most as int) - 1 limit 1
    ) end as full_at
"""  # noqa: S608


@dataclass(frozen=True)
class Hindrance:
    """Why a person gets nothing here, as sentences to them, and when that may change."""

    is_limit: bool
    title: str
    sentence: str
    opens_at: datetime | None = None
    is_qualification: bool = False
    is_consent: bool = False


def asked_of(session: Session, project: Project, n_open: int = 0) -> dict[str, object]:
    """The values of `COLUMNS`: what this project asks of people and takes from one, now.

    `n_open` answers are still to come from elsewhere, so that as many fewer are taken here; where
    a limit is no more than that, `takes_but_one` says so.
    """
    mosts = [project.most_in_total, _most_by_share(session, project)]
    most = min((one for one in mosts if one is not None), default=None)
    return {
        "consent_from": project.consent_from,
        "languages": project.languages,
        "most_a_day": project.most_a_day and max(1, project.most_a_day - n_open),
        "most": most and max(1, most - n_open),
    }


def takes_but_one(project: Project) -> bool:
    """Whether a limit lets nobody hold two pairs."""
    return 1 in (project.most_a_day, project.most_in_total)


def has_limit(project: Project) -> bool:
    limits = (project.most_a_day, project.most_in_total, project.most_share)
    return any(limit is not None for limit in limits)


def hindrance(
    project: Project,
    *,
    consent: str | None,
    is_speaker: bool,
    missing: list[str],
    day_full_at: datetime | None,
    full_at: int | None,
) -> Hindrance | None:
    """What keeps a person with this standing from the next pair; None where nothing does."""
    if unconsented := _unconsented(project, consent):
        return unconsented
    if not is_speaker:
        names = names_of(project.languages)
        return Hindrance(
            False,
            "This project is in another language",
            f"Its texts are in {names}, which is not among your working languages. If you read "
            "and judge it well, add it to your account.",
        )
    if missing:
        names = " and ".join(f"“{name}”" for name in missing)
        return Hindrance(
            False,
            "This project asks for a qualification first",
            f"You need {names} here: by a test where there is one, or from an admin.",
            is_qualification=True,
        )
    if full_at is not None:
        return _full(project, full_at)
    if day_full_at is not None:
        return Hindrance(
            True,
            "That is enough for a day",
            f"You have given {project.most_a_day:,} answers here in the last 24 hours, the most "
            "that this project takes from one person. Thank you.",
            day_full_at + DAY,
        )
    return None


def _unconsented(project: Project, consent: str | None) -> Hindrance | None:
    """`consent` is what the column `CONSENT` says."""
    if consent == "withdrawn":
        return Hindrance(
            False,
            "You have withdrawn your consent here",
            "So no work is handed to you. You can read the text again and agree to it at any time.",
            is_consent=True,
        )
    if project.is_consent_required and consent in ("none", "old"):
        again = " It has changed since you agreed to it." if consent == "old" else ""
        return Hindrance(
            False,
            "Read what this project asks you to agree to",
            f"Everyone here reads one text and agrees to it before the first pair.{again}",
            is_consent=True,
        )
    return None


def in_words(opens_at: datetime, now: datetime | None = None) -> str:
    """How long it takes from `now` until then, rounded up: “in 40 minutes”, “in 3 hours”."""
    minutes = max(1, math.ceil((opens_at - (now or utc_now())).total_seconds() / 60))
    n, unit = (minutes, "minute") if minutes < 100 else (math.ceil(minutes / 60), "hour")
    return f"in {n} {unit}{'' if n == 1 else 's'}"


def _full(project: Project, n: int) -> Hindrance:
    if n == project.most_in_total:
        sentence = (
            f"You have given the {n:,} answers that this project takes from one person. Thank "
            "you: there is nothing more to do for you here."
        )
    else:
        sentence = (
            f"No one person gives more than {(project.most_share or 0) * 100:.3g}% of the answers "
            "here, so that no one's taste decides alone. Look in again when others have answered "
            "more."
        )
    return Hindrance(True, "You have given your part", sentence)


_counts: dict[uuid.UUID, tuple[float, int]] = {}
_counts_lock = threading.Lock()


def _most_by_share(session: Session, project: Project) -> int | None:
    """How many answers one person's share is, by a count that is at most half a minute old."""
    if project.most_share is None:
        return None
    now = time.monotonic()
    with _counts_lock:
        at, n = _counts.get(project.id, (-math.inf, 0))
    if now - at > COUNT_SECONDS:
        found = select(func.count()).where(Comparison.project_id == project.id)
        n = session.scalar(found) or 0
        with _counts_lock:
            _counts[project.id] = (now, n)
    return max(SHARE_COUNTS_FROM, math.floor(project.most_share * n))


def forget_counts() -> None:
    """Count anew at the next look."""
    with _counts_lock:
        _counts.clear()
