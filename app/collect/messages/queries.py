"""Who wrote what to whom, for the two of them alone."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, exists, func, or_, select, text, update
from sqlalchemy.orm import Session, aliased

from app.tables.accounts import Membership, Person, Role
from app.tables.base import utc_now
from app.tables.collect import Comparison, Pair, Prompt
from app.tables.home import Message

MOST_UNREAD = 100
MOST_MESSAGES = 200
MOST_RECENT = 30

# Only in projects that the person is in: whoever was removed from one has nothing to read there.
_IS_IN = """(
    (select is_owner from person where id = :me)
    or exists (select from membership s where s.project_id = m.project_id and s.person_id = :me)
)"""
_UNREAD = text(
    f"""
select count(*) from (
    select from message m where m.recipient_id = :me and m.read_at is null and {_IS_IN} limit :most
) x
"""  # noqa: S608
)
_THREADS = text(
    f"""
with mine as (
    (select m.*, m.sender_id as other_id, m.read_at is null as is_unread
        from message m where m.recipient_id = :me order by m.created_at desc limit 1000)
    union all
    (select m.*, m.recipient_id, false
        from message m where m.sender_id = :me order by m.created_at desc limit 1000)
),
threads as (
    select distinct on (m.project_id, m.other_id) m.*,
        count(*) filter (where m.is_unread) over (partition by m.project_id, m.other_id) as n_unread
    from mine m where {_IS_IN}
    order by m.project_id, m.other_id, m.created_at desc
)
select t.other_id, t.body, t.created_at, t.n_unread, t.sender_id = :me as is_mine,
    p.name as other, g.slug, g.name as project
from threads t join person p on p.id = t.other_id join project g on g.id = t.project_id
order by t.n_unread > 0 desc, t.created_at desc limit 200
"""  # noqa: S608
)


def n_unread(session: Session, person_id: uuid.UUID) -> int:
    """How many messages wait to be read, up to `MOST_UNREAD`."""
    return session.scalar(_UNREAD, {"me": person_id, "most": MOST_UNREAD}) or 0


def threads_of(session: Session, person_id: uuid.UUID) -> Sequence[Row[Any]]:
    """A row for each project and person written with: the last message, and how many are unread."""
    return session.execute(_THREADS, {"me": person_id}).all()


@dataclass(frozen=True)
class Said:
    """One message of a thread; `pair_id` is that of the answer that it is about, if any."""

    message: Message
    is_mine: bool
    pair_id: uuid.UUID | None


def thread(session: Session, project_id: uuid.UUID, me: uuid.UUID, other: uuid.UUID) -> list[Said]:
    """The last `MOST_MESSAGES` between two people in a project, oldest first."""
    found = session.execute(
        select(Message, Comparison.pair_id)
        .outerjoin(Comparison, Comparison.id == Message.comparison_id)
        .where(
            Message.project_id == project_id,
            or_(
                (Message.sender_id == me) & (Message.recipient_id == other),
                (Message.sender_id == other) & (Message.recipient_id == me),
            ),
        )
        .order_by(Message.created_at.desc(), Message.id)
        .limit(MOST_MESSAGES)
    ).all()
    return [Said(message, message.sender_id == me, pair_id) for message, pair_id in found[::-1]]


def mark_read(session: Session, said: Collection[Said]) -> None:
    ids = [one.message.id for one in said if not one.is_mine and one.message.read_at is None]
    if ids:
        session.execute(update(Message).where(Message.id.in_(ids)).values(read_at=utc_now()))


def has_written(
    session: Session, project_id: uuid.UUID, sender_id: uuid.UUID, recipient_id: uuid.UUID
) -> bool:
    found = exists().where(
        Message.project_id == project_id,
        Message.sender_id == sender_id,
        Message.recipient_id == recipient_id,
    )
    return bool(session.scalar(select(found)))


def reachable(
    session: Session, project_id: uuid.UUID, ids: Collection[uuid.UUID]
) -> Sequence[Person]:
    """Those of `ids` who are in the project, or own the installation, and can read a message."""
    member = aliased(Membership)
    is_member = exists().where(member.person_id == Person.id, member.project_id == project_id)
    return session.scalars(
        select(Person)
        .where(
            Person.id.in_(ids),
            Person.is_active,
            ~Person.is_simulated,
            or_(is_member, Person.is_owner),
        )
        .order_by(func.lower(Person.name), Person.id)
    ).all()


def annotators_of(session: Session, project_id: uuid.UUID) -> Sequence[uuid.UUID]:
    """Ids of all annotators of the project."""
    return session.scalars(
        select(Membership.person_id).where(
            Membership.project_id == project_id, Membership.role == Role.ANNOTATOR
        )
    ).all()


@dataclass(frozen=True)
class Recent:
    """An answer that a message may be about."""

    comparison_id: uuid.UUID
    rating: int
    at: datetime
    prompt: str


def recent_answers(session: Session, project_id: uuid.UUID, person_id: uuid.UUID) -> list[Recent]:
    rows = session.execute(
        select(
            Comparison.id,
            Comparison.rating,
            Comparison.created_at,
            func.left(Prompt.messages[-1]["content"].astext, 60),
        )
        .join(Pair, Pair.id == Comparison.pair_id)
        .join(Prompt, Prompt.id == Pair.prompt_id)
        .where(Comparison.annotator_id == person_id, Comparison.project_id == project_id)
        .order_by(Comparison.created_at.desc())
        .limit(MOST_RECENT)
    )
    return [Recent(*row) for row in rows]
