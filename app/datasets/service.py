"""Verbs of the data: import a file, freeze what was answered, export what was frozen."""

import uuid
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.accounts.audit import COMMAND_LINE, record_event
from app.datasets import queries
from app.datasets.freezing import as_line, make_rows, pseudonyms, same_answers
from app.datasets.importing import announce_import, import_file, run_import, sweep_imports
from app.db import session_scope
from app.errors import Conflict, Invalid, NotFound
from app.tables.datasets import PreferenceRow, PreferenceSet, Split
from app.tables.projects import Project

__all__ = [
    "announce_import",
    "export_file",
    "export_lines",
    "find_set",
    "freeze",
    "hash_lines",
    "import_file",
    "note_export",
    "parse_split",
    "run_import",
    "stream_export",
    "sweep_imports",
]


def freeze(
    session: Session,
    project: Project,
    created_by: uuid.UUID | None = None,
    *,
    address: str = "",
) -> PreferenceSet:
    """Freeze every counted answer of the project as its next preference set; flushes.

    Left out: surplus answers and gold items. About 15% of the prompt groups are held out, and a
    group stays on its side in all later sets. Raises Conflict where nothing new was answered.
    """
    queries.hold_freezes(session, project.id)
    answers = session.execute(queries.counted_comparisons(project.id)).all()
    before = queries.newest_set(session, project.id)
    if not answers:
        raise Conflict("Nobody has answered a pair yet, so there is nothing to freeze.")
    if before and same_answers(answers, queries.frozen_answers(session, before.id)):
        raise Conflict(
            f"Nothing has been answered or changed since preference set {before.number}. "
            "Use that one, or freeze again after the next answers."
        )
    sides = queries.earlier_sides(session, project.id)
    names = pseudonyms(answers, queries.earlier_pseudonyms(session, project.id))
    frozen = PreferenceSet(
        id=uuid.uuid4(),
        project_id=project.id,
        number=before.number + 1 if before else 1,
        content_hash="",
        n_comparisons=len(answers),
        n_pairs=len({answer.pair_id for answer in answers}),
        n_annotators=len({answer.annotator_id for answer in answers}),
        n_train=0,
        n_eval=0,
        created_by=created_by,
    )
    rows = make_rows(frozen.id, answers, sides, names)
    frozen.n_eval = sum(row["split"] is Split.EVAL for row in rows)
    frozen.n_train = len(rows) - frozen.n_eval
    session.add(frozen)
    session.flush()
    session.execute(insert(PreferenceRow), rows)
    frozen.content_hash = hash_lines(export_lines(session, frozen))
    session.flush()
    record_event(
        session,
        "preference_set.frozen",
        actor_id=created_by,
        project_id=project.id,
        subject=str(frozen.id),
        detail={"number": frozen.number, "content_hash": frozen.content_hash},
        address=address,
    )
    return frozen


def export_lines(
    session: Session, preference_set: PreferenceSet, split: Split | None = None
) -> Iterator[str]:
    """The set's JSON lines, streamed from rows that never change: the same bytes each time."""
    statement = queries.export_rows(preference_set.id, split)
    for row in session.execute(statement, execution_options={"yield_per": 500}):
        yield as_line(row)


def hash_lines(lines: Iterator[str]) -> str:
    """The SHA-256 of the lines, as hexadecimal digits."""
    digest = sha256()
    for line in lines:
        digest.update(line.encode())
    return digest.hexdigest()


def note_export(
    session: Session,
    preference_set: PreferenceSet,
    split: Split | None,
    *,
    by: uuid.UUID | None,
    address: str,
) -> None:
    """Say in the audit trail who took the lines, before they are out."""
    record_event(
        session,
        "preference_set.exported",
        actor_id=by,
        project_id=preference_set.project_id,
        subject=str(preference_set.id),
        detail={"number": preference_set.number, "split": split.value if split else "all"},
        address=address,
    )


def stream_export(set_id: uuid.UUID, split: Split | None = None) -> Iterator[bytes]:
    """The lines of a set in a session of their own, for a response that outlives the request's.

    They come some hundred at a time, for each piece costs a server a change of threads.
    """
    with session_scope() as session:
        lines = export_lines(session, session.get_one(PreferenceSet, set_id), split)
        while piece := "".join(islice(lines, 200)):
            yield piece.encode()


def export_file(slug: str, number: int | None, path: Path, split: str | None = None) -> int:
    """Write a preference set of the project (the newest, where `number` is None) to `path`.

    Returns how many lines were written. The file appears whole or not at all. Raises NotFound.
    """
    side = parse_split(split)
    partial = path.with_name(path.name + ".partial")
    with session_scope() as session:
        frozen = find_set(session, queries.find_project(session, slug), number)
        note_export(session, frozen, side, by=None, address=COMMAND_LINE)
        n = 0
        with partial.open("w", encoding="utf-8", newline="\n") as stream:
            for line in export_lines(session, frozen, side):
                stream.write(line)
                n += 1
    partial.replace(path)
    return n


def parse_split(split: str | None) -> Split | None:
    """ "train", "eval", or everything for None, "" and "all". Raises Invalid."""
    if split in (None, "", "all"):
        return None
    try:
        return Split(split)
    except ValueError:
        raise Invalid(f"“{split}” is no split; say train, eval or all.", field="split") from None


def find_set(session: Session, project: Project, number: int | None = None) -> PreferenceSet:
    """A preference set by its number, or the newest. Raises NotFound."""
    statement = select(PreferenceSet).where(PreferenceSet.project_id == project.id)
    if number is not None:
        statement = statement.where(PreferenceSet.number == number)
    found = session.scalar(statement.order_by(PreferenceSet.number.desc()).limit(1))
    if found is None:
        which = "no preference set yet" if number is None else f"no preference set {number}"
        raise NotFound(f"The project “{project.name}” has {which}. Freeze one on its data page.")
    return found
