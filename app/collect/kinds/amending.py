"""A comparison changed together with what came along with it: the rewrite, and the marks."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.collect.answers import change_comparison
from app.collect.changing import keep_version, why_unchangeable
from app.collect.controls import TimeIn, add_time
from app.collect.flagging import read_flags
from app.collect.kinds.additions import (
    NOTE,
    SPAN,
    marked,
    record_rewrite,
    rewrite_key,
    sides_of,
    spans_in,
)
from app.collect.kinds.order import pieces
from app.collect.kinds.service import checked_text
from app.collect.queries import take_back, take_room
from app.collect.sheets import texts_of
from app.errors import Conflict, Forbidden
from app.tables.collect import Comparison, ComparisonRevision, Completion, Pair
from app.tables.kinds import Rewrite, Span
from app.tables.projects import Project

# completion, start, stop, reason, note
Mark = tuple[uuid.UUID, int, int, str, str]


@dataclass(frozen=True)
class Along:
    """What came along with a comparison."""

    rewrite: str = ""
    marks: frozenset[Mark] = frozenset()


@dataclass(frozen=True)
class Took:
    """Active seconds of a change, and their checked parts by control."""

    seconds: float = 0.0
    times: Sequence[TimeIn] = ()


def along_of(session: Session, comparison: Comparison) -> Along:
    edited = session.scalar(
        select(Completion.text)
        .join(Rewrite, Rewrite.edited_id == Completion.id)
        .where(Rewrite.comparison_id == comparison.id)
    )
    spans = session.scalars(select(Span).where(Span.comparison_id == comparison.id))
    return Along(edited or "", frozenset(_mark(one) for one in spans))


def _mark(one: Span) -> Mark:
    return one.completion_id, one.start, one.stop, one.reason.value, one.note


def fields_of(session: Session, comparison: Comparison) -> dict[str, str]:
    """What came along, by the names of the page's inputs; a mark fills each piece within it."""
    along = along_of(session, comparison)
    fields = {"rewrite": along.rewrite} if along.rewrite else {}
    if not along.marks:
        return fields
    pair = session.get_one(Pair, comparison.pair_id)
    _, *texts = texts_of(session, pair.id, is_flipped=comparison.is_flipped)
    shown = [pair.completion_a_id, pair.completion_b_id]
    shown = shown[::-1] if comparison.is_flipped else shown
    for place, words, completion_id in zip(("left", "right"), texts, shown, strict=True):
        marks = [one for one in along.marks if one[0] == completion_id]
        for start, stop in pieces(words):
            for _, first, last, reason, note in marks:
                if first <= start and stop <= last:
                    where = f"{place}.{start}.{stop}"
                    fields |= {f"{SPAN}{where}": reason, f"{NOTE}{where}": note}
    return fields


def change_answer(
    session: Session,
    project: Project,
    comparison: Comparison,
    extra: Mapping[str, Any] | None,
    *,
    after: int | None = None,
    took: Took = Took(),
    **said: Any,
) -> None:
    """`change_comparison` with `said`, and what came along changed too, in one version.

    What the project no longer asks for stays. A rewrite belongs to the answer that is the better
    one now; an edit that was replaced or taken away counts no more. The same again takes no time.
    Raises what both raise.
    """
    revision = comparison.revision
    _change(session, project, comparison, extra, after=after, said=said)
    if comparison.revision != revision:
        add_time(session, comparison, took.seconds, took.times)


def _change(
    session: Session,
    project: Project,
    comparison: Comparison,
    extra: Mapping[str, Any] | None,
    *,
    after: int | None,
    said: Mapping[str, Any],
) -> None:
    old, rating, revision = along_of(session, comparison), comparison.rating, comparison.revision
    change_comparison(session, comparison.id, comparison.annotator_id, after=after, **said)
    new, rows = _wanted(session, project, comparison, extra or {}, old)
    is_turned = bool(old.rewrite) and (rating <= 4) != (comparison.rating <= 4)
    if new == old and not is_turned:
        return
    if comparison.revision == revision:
        if refusal := why_unchangeable(session, project, comparison):
            raise Forbidden(refusal)
        if after is not None and after != revision:
            raise Conflict("You have changed this answer in another tab. Reload the page.")
        answers = read_flags(session, comparison.id, comparison.pair_id)
        keep_version(session, comparison, answers)
        session.flush()
    _keep(session, comparison, old)
    if new.marks != old.marks:
        session.execute(delete(Span).where(Span.comparison_id == comparison.id))
        session.add_all(rows)
    if new.rewrite != old.rewrite or is_turned:
        _rewrite_anew(session, project, comparison, new.rewrite)
    session.flush()


def _wanted(
    session: Session, project: Project, comparison: Comparison, extra: Mapping[str, Any], old: Along
) -> tuple[Along, list[Span]]:
    rows: list[Span] = []
    marks, words = old.marks, old.rewrite
    if project.is_span_on:
        rows = marked(session, comparison, spans_in(extra, comparison.is_flipped))
        marks = frozenset(_mark(one) for one in rows)
    if project.is_rewrite_on:
        words = str(extra.get("rewrite", "")).strip()
        if words:
            words = checked_text(words, "rewrite")
        chosen, _ = sides_of(session, comparison)
        if words == checked_text(chosen.text, "rewrite"):
            words = ""
    return Along(words, marks), rows


def _keep(session: Session, comparison: Comparison, old: Along) -> None:
    """Beside the version that was kept last, what came along with it."""
    version = session.scalars(
        select(ComparisonRevision).where(
            ComparisonRevision.comparison_id == comparison.id,
            ComparisonRevision.revision == comparison.revision - 1,
        )
    ).one()
    known = session.get(Rewrite, comparison.id)
    version.edited_id = known.edited_id if known else None
    version.spans = [
        {
            "completion_id": str(completion_id),
            "start": start,
            "stop": stop,
            "reason": reason,
            "note": note,
        }
        for completion_id, start, stop, reason, note in sorted(old.marks)
    ]


def _rewrite_anew(session: Session, project: Project, comparison: Comparison, words: str) -> None:
    known = session.get(Rewrite, comparison.id)
    if known is not None:
        _withdraw(session, known)
        session.delete(known)
        session.flush()
    if not words:
        return
    rewrite = record_rewrite(session, project, comparison, words)
    if rewrite is not None and rewrite.derived_comparison_id is None:
        _count_again(session, comparison, rewrite)


def _withdraw(session: Session, rewrite: Rewrite) -> None:
    """What followed from the edit is kept, and counts no more."""
    derived = session.get(Comparison, rewrite.derived_comparison_id or uuid.UUID(int=0))
    if derived is not None and not derived.is_surplus:
        derived.is_surplus = True
        take_back(session, derived.pair_id)


def _count_again(session: Session, comparison: Comparison, rewrite: Rewrite) -> None:
    """An edit that comes back says again what it said before it was taken away."""
    both = [rewrite.edited_id, rewrite.chosen_id]
    before = session.scalar(
        select(Comparison)
        .join(Pair, Pair.id == Comparison.pair_id)
        .where(
            Comparison.annotator_id == comparison.annotator_id,
            Comparison.idempotency_key == rewrite_key(comparison),
            Pair.completion_a_id.in_(both),
            Pair.completion_b_id.in_(both),
        )
    )
    if before is None:
        return
    rewrite.derived_comparison_id = before.id
    if before.is_surplus and not comparison.is_surplus:
        before.is_surplus = not take_room(session, before.pair_id)
