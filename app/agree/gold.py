"""Gold items: an answer that the researchers fixed, changed, retired and given back.

An item is seen by each person at most once and wears out: when a share of the annotators has seen
it, it is retired. Every change is in the audit trail, with what stood before.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.collect.flagging import Answers, FlagIn, check_some_flags
from app.collect.pairing import is_rating
from app.errors import Conflict, Invalid, NotFound
from app.markdown import render_markdown
from app.projects.asking import asking_of
from app.projects.queries import current_guidelines
from app.tables.base import utc_now
from app.tables.collect import Pair
from app.tables.gold import GoldFlag, GoldItem, TestItem
from app.tables.projects import Project

LONGEST_EXPLANATION = 5_000

_WORN = text(
    """
    with here as (
        select count(*) as n from membership where project_id = :project and role = 'annotator'
    )
    select g.id from gold_item g cross join here
    where g.project_id = :project and g.retired_at is null and here.n > 0
        and not exists (select from test_item t where t.gold_item_id = g.id)
        and (
            select count(distinct a.annotator_id) from assignment a where a.pair_id = g.pair_id
        ) >= greatest(1, :share * here.n)
    for update of g
    """
)
_GIVE_BACK = text(
    """
    update pair p set is_gold = false, is_open = true, n_taken = t.n,
        overlap = greatest(p.overlap, t.n)
    from (
        select count(*) as n from assignment a
        left join comparison c on c.assignment_id = a.id
        where a.pair_id = :pair and not a.is_retest
            and (a.state = 'leased' or (a.state = 'done' and not c.is_surplus))
    ) t
    where p.id = :pair
    """
)


@dataclass(frozen=True)
class GoldIn:
    """Accepted ratings, canonical and next to each other; why, in Markdown; flags in A and B."""

    ratings: Sequence[int]
    explanation: str
    flags: Sequence[FlagIn] = ()


def find_gold(session: Session, project: Project, pair_id: uuid.UUID) -> GoldItem | None:
    return session.scalar(
        select(GoldItem).where(GoldItem.pair_id == pair_id, GoldItem.project_id == project.id)
    )


def named_gold(session: Session, project: Project, pair_id: uuid.UUID) -> GoldItem:
    """Raises NotFound."""
    item = find_gold(session, project, pair_id)
    if item is None:
        raise NotFound("The answer to this pair is not fixed.")
    return item


def fix_answer(
    session: Session, project: Project, pair_id: uuid.UUID, given: GoldIn, *, by: uuid.UUID
) -> GoldItem:
    """Make the pair a gold item, or change what is accepted. Raises NotFound, Invalid, Conflict.

    Answers that the pair has already leave agreement and training, and count as gold answers.
    """
    low, high, explanation = _check(given)
    answers = check_some_flags(asking_of(session, project.id).every_flag, given.flags)
    pair = _lock_pair(session, project, pair_id)
    item = find_gold(session, project, pair_id)
    before = describe(session, item) if item else None
    guidelines = current_guidelines(session, project.id)
    if item is None:
        item = GoldItem(project_id=project.id, pair_id=pair_id, created_by=by)
        pair.is_gold = True
    item.low, item.high, item.explanation = low, high, explanation
    item.explanation_html = render_markdown(explanation)
    item.guideline_version_id = guidelines.id if guidelines else None
    item.updated_at = utc_now()
    session.add(item)
    session.flush()
    _write_flags(session, item, pair, answers)
    after = describe(session, item)
    if before != after:
        detail = {**after, **({"before": before} if before else {})}
        _note(session, "gold.changed" if before else "gold.fixed", item, by, detail)
    return item


def _check(given: GoldIn) -> tuple[int, int, str]:
    ratings = sorted(set(given.ratings))
    if not ratings or not all(is_rating(one) for one in ratings):
        raise Invalid("Choose which of the eight ratings you accept.", field="rating")
    if ratings != list(range(ratings[0], ratings[-1] + 1)):
        raise Invalid("Accept ratings that stand next to each other.", field="rating")
    if len(ratings) == 8:
        raise Invalid("An item that accepts every rating can tell nothing.", field="rating")
    explanation = given.explanation.replace("\r\n", "\n").strip()
    if not explanation:
        raise Invalid(
            "Say why, by the guidelines: whoever misses it reads this.", field="explanation"
        )
    if len(explanation) > LONGEST_EXPLANATION or "\x00" in explanation:
        raise Invalid(f"Use at most {LONGEST_EXPLANATION:,} characters.", field="explanation")
    return ratings[0], ratings[-1], explanation


def _lock_pair(session: Session, project: Project, pair_id: uuid.UUID) -> Pair:
    pair = session.scalar(
        select(Pair)
        .where(Pair.id == pair_id, Pair.project_id == project.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if pair is None:
        raise NotFound("There is no such pair in this project.")
    if pair.is_audit:
        raise Conflict("This pair audits a policy, so nobody fixes its answer beforehand.")
    if pair.ranking_id is not None:
        raise Conflict("This pair belongs to a ranking of several answers. Choose another one.")
    if not pair.is_gold and not pair.is_open:
        raise Conflict("This pair is closed. Choose one that is open.")
    return pair


def _write_flags(session: Session, item: GoldItem, pair: Pair, answers: Answers) -> None:
    session.execute(delete(GoldFlag).where(GoldFlag.gold_item_id == item.id))
    completions = {"A": pair.completion_a_id, "B": pair.completion_b_id, None: None}
    session.add_all(
        GoldFlag(gold_item_id=item.id, flag_id=flag, completion_id=completions[side], value=value)
        for (flag, side), value in answers.items()
    )
    session.flush()


def fixed_flags(session: Session, item: GoldItem) -> Answers:
    """The flag answers of an item, by flag and canonical side."""
    pair = session.get_one(Pair, item.pair_id)
    rows = session.scalars(select(GoldFlag).where(GoldFlag.gold_item_id == item.id))
    return {
        (
            row.flag_id,
            None
            if row.completion_id is None
            else ("A" if row.completion_id == pair.completion_a_id else "B"),
        ): row.value
        for row in rows
    }


def describe(session: Session, item: GoldItem) -> dict[str, Any]:
    """What is accepted, for the audit trail."""
    flags = {
        f"{flag}{'.' + side if side else ''}": value
        for (flag, side), value in sorted(fixed_flags(session, item).items(), key=str)
    }
    return {
        "accepted": f"{item.low} to {item.high}",
        "explanation": item.explanation,
        **({"flags": flags} if flags else {}),
    }


def retire(session: Session, project: Project, pair_id: uuid.UUID, *, by: uuid.UUID) -> None:
    """Give the item to nobody any more; its answers stay. Raises NotFound."""
    item = named_gold(session, project, pair_id)
    if item.retired_at is None:
        _retire(session, item, by)


def use_again(session: Session, project: Project, pair_id: uuid.UUID, *, by: uuid.UUID) -> None:
    """Give a retired item again to those who have not seen it. Raises NotFound."""
    item = named_gold(session, project, pair_id)
    if item.retired_at is not None:
        item.retired_at = item.retired_by = None
        session.flush()
        open_if_free(session, item)
        _note(session, "gold.used_again", item, by)


def give_back(session: Session, project: Project, pair_id: uuid.UUID, *, by: uuid.UUID) -> None:
    """Make the item an ordinary pair again, with the answers that it has.

    Raises NotFound, or Conflict where a test was taken with it.
    """
    item = named_gold(session, project, pair_id)
    if session.get(TestItem, item.id) is not None:
        raise Conflict("This item is part of a test. Take it out of the test first.")
    detail = describe(session, item)
    session.delete(item)
    session.flush()
    session.execute(_GIVE_BACK, {"pair": pair_id})
    session.expire_all()
    _note(session, "gold.given_back", item, by, detail)


def retire_worn(session: Session, project: Project) -> int:
    """Retire what the project's share of its annotators has seen. Returns how many items."""
    if project.gold_seen_share is None:
        return 0
    values = {"project": project.id, "share": project.gold_seen_share}
    worn = list(session.scalars(_WORN, values))
    for id_ in worn:
        _retire(session, session.get_one(GoldItem, id_), None)
    return len(worn)


def retire_worn_everywhere(session: Session) -> int:
    """The same for every project that is not put away and has gold items."""
    having = select(GoldItem.project_id).where(GoldItem.retired_at.is_(None))
    found = select(Project).where(Project.id.in_(having), ~Project.is_archived)
    return sum(retire_worn(session, project) for project in session.scalars(found).all())


def open_if_free(session: Session, item: GoldItem) -> None:
    """Let the queue draw the item, unless it is retired or part of a test."""
    is_free = item.retired_at is None and session.get(TestItem, item.id) is None
    session.get_one(Pair, item.pair_id).is_open = is_free
    session.flush()


def _retire(session: Session, item: GoldItem, by: uuid.UUID | None) -> None:
    item.retired_at, item.retired_by = utc_now(), by
    session.flush()
    open_if_free(session, item)
    _note(session, "gold.retired", item, by, {} if by else {"why": "seen by too many"})


def _note(
    session: Session,
    what: str,
    item: GoldItem,
    by: uuid.UUID | None,
    detail: dict[str, Any] | None = None,
) -> None:
    record_event(
        session,
        what,
        actor_id=by,
        project_id=item.project_id,
        subject=f"pair {item.pair_id}",
        detail=detail or {},
    )
