"""What a project may ask for on the compare page beside the rating: a rewrite of the better answer,
and marks on parts of both.

Written in the transaction of the comparison, after it: no answer is kept without what came along.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.flagging import SideName
from app.collect.forms import canonical_side
from app.collect.kinds.derived import Origin, Verdict, write_comparisons, write_completion
from app.collect.kinds.leases import refuse_another
from app.collect.kinds.order import merged, pieces
from app.collect.kinds.service import checked_text
from app.collect.leases import check_text as check_note
from app.collect.queries import Lease
from app.collect.sheets import texts_of
from app.errors import Invalid
from app.tables.collect import Comparison, Completion, Draw, Pair, Prompt
from app.tables.kinds import Rewrite, Span, SpanReason
from app.tables.projects import Project

EDITED = "edited"
SPAN, NOTE = "span.", "note."
LONGEST_NOTE = 1_000


@dataclass(frozen=True)
class Asked:
    """What the page needs for the additions: raw texts in the order shown, and their pieces."""

    texts: tuple[str, str]
    pieces: tuple[list[tuple[int, int, str]], list[tuple[int, int, str]]]


def is_any_on(project: Project) -> bool:
    return project.is_rewrite_on or project.is_span_on


def asked(session: Session, project: Project, assignment: Lease | Comparison) -> Asked | None:
    """None for a project that asks for nothing but the rating, which costs nothing."""
    if not is_any_on(project):
        return None
    _, left, right = texts_of(session, assignment.pair_id, is_flipped=assignment.is_flipped)
    return Asked((left, right), (_pieces(left), _pieces(right)))


def _pieces(words: str) -> list[tuple[int, int, str]]:
    return [(start, stop, words[start:stop]) for start, stop in pieces(words)]


def record_additions(
    session: Session, project: Project, comparison: Comparison, extra: Mapping[str, Any] | None
) -> None:
    """Keep what came with the answer, as far as the project asks for it; flushes.

    Sent again the same is harmless. Raises Invalid, and Conflict for another rewrite than before.
    """
    if project.is_span_on:
        record_spans(session, comparison, spans_in(extra or {}, comparison.is_flipped))
    words = str((extra or {}).get("rewrite", ""))
    if project.is_rewrite_on and words.strip():
        record_rewrite(session, project, comparison, words)


def record_rewrite(
    session: Session, project: Project, comparison: Comparison, words: str
) -> Rewrite | None:
    """Keep the better answer made better still: edited above chosen, chosen above rejected.

    The edit is a completion of its own, and one comparison says that it is better than what it
    was made from; that the chosen one is better than the other is the comparison itself. None
    where nothing was changed. Raises Invalid and Conflict.
    """
    words = checked_text(words, "rewrite")
    chosen, rejected = sides_of(session, comparison)
    if words == checked_text(chosen.text, "rewrite"):
        return None
    if words == checked_text(rejected.text, "rewrite"):
        raise Invalid(
            "Your rewrite is the other answer, word for word. Change it, or leave it empty.",
            field="rewrite",
        )
    known = session.get(Rewrite, comparison.id)
    if known is not None:
        refuse_another(session.get_one(Completion, known.edited_id).text == words)
        return known
    prompt = session.get_one(Prompt, chosen.prompt_id)
    edited = write_completion(
        session, prompt, words, source=EDITED, author_id=comparison.annotator_id
    )
    origin = _origin(project, prompt, comparison)
    derived = write_comparisons(session, origin, [Verdict(edited, chosen)])
    rewrite = Rewrite(
        comparison_id=comparison.id,
        chosen_id=chosen.id,
        rejected_id=rejected.id,
        edited_id=edited.id,
        derived_comparison_id=derived[0].id if derived else None,
    )
    session.add(rewrite)
    session.flush()
    return rewrite


@dataclass(frozen=True)
class SpanIn:
    """Characters (code points) of side A's or B's raw text from `start` up to `stop`."""

    side: SideName
    start: int
    stop: int
    reason: SpanReason
    note: str = ""


def spans_in(extra: Mapping[str, Any], is_flipped: bool) -> list[SpanIn]:
    """The spans among a form's inputs, `span.<place>.<start>.<stop>`: a reason, and as many notes.

    Raises Invalid for what no page sends.
    """
    found = []
    for name, value in extra.items():
        if not name.startswith(SPAN) or not value:
            continue
        where = name.removeprefix(SPAN)
        try:
            place, start, stop = where.split(".")
            side = canonical_side("A" if place == "left" else "B", is_flipped)
            note = str(extra.get(f"{NOTE}{where}", "")).strip()
            found.append(SpanIn(side, int(start), int(stop), SpanReason(str(value)), note))
        except ValueError as error:
            raise Invalid("A mark came in a way that this page does not know.") from error
    return found


def record_spans(session: Session, comparison: Comparison, spans: Sequence[SpanIn]) -> list[Span]:
    """Keep the marked parts, neighbours with one reason as one. Raises Invalid and Conflict."""
    if not spans:
        return []
    rows = marked(session, comparison, spans)
    before = session.scalars(select(Span).where(Span.comparison_id == comparison.id)).all()
    if before:
        refuse_another({_said(one) for one in before} == {_said(one) for one in rows})
        return list(before)
    session.add_all(rows)
    session.flush()
    return rows


def marked(session: Session, comparison: Comparison, spans: Sequence[SpanIn]) -> list[Span]:
    """The rows that say so, in no session yet. Raises Invalid."""
    pair = session.get_one(Pair, comparison.pair_id)
    return [
        row
        for side, completion_id in (("A", pair.completion_a_id), ("B", pair.completion_b_id))
        for row in _rows(session, comparison, completion_id, [s for s in spans if s.side == side])
    ]


def _rows(
    session: Session, comparison: Comparison, completion_id: uuid.UUID, spans: Sequence[SpanIn]
) -> list[Span]:
    length = len(session.get_one(Completion, completion_id).text) if spans else 0
    for one in spans:
        check_note(one.note, LONGEST_NOTE, "note")
        if not 0 <= one.start < one.stop <= length:
            raise Invalid("A mark lies outside of the answer. Reload the page.")
    parts = merged([(one.start, one.stop, (one.reason, one.note)) for one in spans])
    return [
        Span(
            comparison_id=comparison.id,
            completion_id=completion_id,
            start=start,
            stop=stop,
            reason=reason,
            note=note,
        )
        for start, stop, (reason, note) in parts
    ]


def _said(span: Span) -> tuple[uuid.UUID, int, int, str, str]:
    return span.completion_id, span.start, span.stop, span.reason.value, span.note


def sides_of(session: Session, comparison: Comparison) -> tuple[Completion, Completion]:
    """The better completion and the other one."""
    pair = session.get_one(Pair, comparison.pair_id)
    ids: tuple[uuid.UUID, uuid.UUID] = (pair.completion_a_id, pair.completion_b_id)
    better, other = ids if comparison.rating <= 4 else ids[::-1]
    return session.get_one(Completion, better), session.get_one(Completion, other)


def rewrite_key(comparison: Comparison) -> str:
    """The idempotency key of what follows from a comparison's rewrite."""
    return f"rewrite {comparison.id}"


def _origin(project: Project, prompt: Prompt, comparison: Comparison) -> Origin:
    return Origin(
        project=project,
        prompt=prompt,
        annotator_id=comparison.annotator_id,
        # The annotator chose what to edit: no part of any uniform sample.
        draw=Draw.PRIORITY,
        probability=1.0,
        # The comparison's own seconds hold the time of the rewrite.
        seconds=0.0,
        key=rewrite_key(comparison),
        guideline_version_id=comparison.guideline_version_id,
        is_surplus=comparison.is_surplus,
    )
