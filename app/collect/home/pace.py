"""One's own pace: answers and active time of a day and of a week, for nobody else to see.

An answer is a comparison that was asked for, or a prompt ranked, rated or written for. What
follows from a ranking or an edit was not asked for and took no time of its own.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from markupsafe import Markup
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.charts import Axis, Bar, bar_chart
from app.spreadsheet import as_csv
from app.tables.base import utc_now

N_DAYS = 7
DAY = timedelta(hours=24)

_WORK = text(
    """
with work as (
    select c.created_at as at, c.seconds from comparison c
    where c.annotator_id = :person and c.project_id = any(:projects) and c.created_at >= :since
        and not exists (select from ranking_comparison r where r.comparison_id = c.id)
        and not exists (select from rewrite w where w.derived_comparison_id = c.id)
    union all
    select a.ended_at, coalesce(a.seconds, 0) from prompt_assignment a
    where a.annotator_id = :person and a.project_id = any(:projects) and a.state = 'done'
        and a.ended_at >= :since
)
select cast(at at time zone 'UTC' as date) as day, at > :yesterday as is_recent,
    count(*) as n, sum(seconds) as seconds
from work group by 1, 2
"""
)


@dataclass(frozen=True)
class Work:
    """Answers given in some time, and the active seconds that they took."""

    n: int = 0
    seconds: float = 0.0

    @property
    def per_hour(self) -> float | None:
        """Answers in an hour of active time; None where no time was counted."""
        return self.n * 3600 / self.seconds if self.seconds > 0 else None

    def __add__(self, other: "Work") -> "Work":
        return Work(self.n + other.n, self.seconds + other.seconds)


@dataclass(frozen=True)
class Pace:
    """`recent` is the last 24 hours; `week` is the days of `days`, in UTC, the last one today."""

    recent: Work
    week: Work
    days: Sequence[tuple[date, Work]]


def pace_of(
    session: Session,
    person_id: uuid.UUID,
    project_ids: Collection[uuid.UUID],
    now: datetime | None = None,
) -> Pace:
    now = now or utc_now()
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=N_DAYS - 1)
    days = {first + timedelta(days=n): Work() for n in range(N_DAYS)}
    recent = Work()
    values = {
        "person": person_id,
        "projects": list(project_ids),
        "since": datetime(first.year, first.month, first.day, tzinfo=UTC),
        "yesterday": now - DAY,
    }
    for row in session.execute(_WORK, values):
        work = Work(row.n, row.seconds)
        days[row.day] = days.get(row.day, Work()) + work
        recent += work if row.is_recent else Work()
    return Pace(recent, sum(days.values(), Work()), sorted(days.items()))


def pace_chart(pace: Pace, csv_url: str = "") -> Markup:
    """A bar a day, with its active time beside it and the numbers in a table."""
    bars = [
        Bar(f"{day:%a} {day.day}", work.n, note=_note(work), decimals=0) for day, work in pace.days
    ]
    return bar_chart(
        "pace",
        _title(pace),
        bars,
        "day (UTC)",
        Axis("answers", is_whole=True),
        description="What you answered on each day, in UTC, with its active time: the page in "
        "front and you at work. There is no right pace.",
        csv_url=csv_url,
    )


def pace_csv(pace: Pace) -> str:
    rows = [[day.isoformat(), work.n, work.seconds] for day, work in pace.days]
    return as_csv(("day", "answers", "active_seconds"), rows)


def _note(work: Work) -> str:
    return f"in {in_hours(work.seconds)}" if work.seconds else ""


def _title(pace: Pace) -> str:
    n, most = pace.week.n, max(work.n for _, work in pace.days)
    best = [day for day, work in pace.days if work.n == most]
    most_on = f", most on {best[0]:%A}" if len(best) == 1 else ""
    return f"{n:,} answer{'' if n == 1 else 's'} in seven days{most_on}"


def in_hours(seconds: float) -> str:
    """Active time for people: "1 h 5 min", "12 min"; nothing for none."""
    if seconds <= 0:
        return ""
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
