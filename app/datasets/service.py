"""Verbs of the data: import a file, freeze what was answered, export what was frozen."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.collect.incoming import PromptIn
from app.collect.intake import Intake, add_prompts
from app.datasets import queries
from app.datasets.freezing import as_line, make_rows, pseudonyms, same_answers
from app.datasets.lines import Position, read_prompts
from app.db import session_scope
from app.errors import Conflict, DomainError, Invalid, NotFound
from app.settings import get_settings
from app.tables.base import utc_now
from app.tables.datasets import Import, ImportState, PreferenceRow, PreferenceSet, Split
from app.tables.projects import Project

log = logging.getLogger("prefloop.datasets")

TELL_EVERY_SECONDS = 0.5
# JSON of like shape packs well; more than this is a bomb, or should be split.
UNPACKED_TO_PACKED = 16

Progress = Callable[[int, int], None]

CUT_OFF = (
    "The import was cut off before its end: the server stopped or lost its database. "
    "Nothing of the file was kept; import it again."
)
BROKE = (
    "The import broke off, and nothing of the file was kept. The reason is in the server's log; "
    "try again."
)


def run_import(
    project_id: uuid.UUID,
    stream: BinaryIO,
    file_name: str,
    n_bytes: int,
    created_by: uuid.UUID | None = None,
    *,
    import_id: uuid.UUID | None = None,
    allow_single: bool = False,
    on_progress: Progress | None = None,
) -> Import:
    """Import a seekable stream of JSON lines, all of it or nothing, in transactions of its own.

    Returns the import's row, finished or failed; a failed one says line, field and reason. Others
    see its progress while it runs. `n_bytes` is the size as it lies on disk, packed or not.
    Raises what is not the file's fault, after the row has been marked as failed.
    """
    import_id = import_id or uuid.uuid4()
    position = Position()
    tell = _Teller(import_id, position, n_bytes, on_progress)
    try:
        with session_scope() as session:
            queries.hold_import(session, import_id)
            _start(import_id, project_id, file_name, n_bytes, created_by)
            prompts = read_prompts(
                stream,
                position,
                allow_single=allow_single,
                max_bytes=get_settings().max_upload_bytes * UNPACKED_TO_PACKED,
            )
            project = session.get_one(Project, project_id)
            intake = add_prompts(session, project, tell.along(prompts), import_id=import_id)
            _note_end(session, import_id, position, intake)
    except DomainError as error:
        _note_failure(import_id, position, error.message, error.line, error.field)
    except BaseException:
        with suppress(SQLAlchemyError):
            _note_failure(import_id, position, BROKE)
        raise
    with session_scope() as session:
        return session.get_one(Import, import_id)


def announce_import(
    session: Session,
    project_id: uuid.UUID,
    file_name: str,
    n_bytes: int,
    *,
    created_by: uuid.UUID | None = None,
    import_id: uuid.UUID | None = None,
) -> Import:
    """The import's row, for `run_import` to fill; it counts as cut off once nobody holds it."""
    row = Import(
        id=import_id or uuid.uuid4(),
        project_id=project_id,
        file_name=file_name.replace("\0", "")[:300],
        n_bytes=n_bytes,
        created_by=created_by,
    )
    session.add(row)
    session.flush()
    return row


def _start(
    import_id: uuid.UUID,
    project_id: uuid.UUID,
    file_name: str,
    n_bytes: int,
    created_by: uuid.UUID | None,
) -> None:
    """Let others see that the import runs; the row may be there already."""
    with session_scope() as session:
        row = session.get(Import, import_id)
        if row is None:
            announce_import(
                session, project_id, file_name, n_bytes, created_by=created_by, import_id=import_id
            )
        else:
            row.state, row.error, row.finished_at = ImportState.RUNNING, "", None


class _Teller:
    """Passes prompts on and says from time to time how far they are, in a commit of its own."""

    def __init__(
        self,
        import_id: uuid.UUID,
        position: Position,
        n_bytes: int,
        on_progress: Progress | None,
    ) -> None:
        self.import_id = import_id
        self.position = position
        self.n_bytes = n_bytes
        self.on_progress = on_progress
        self._told_at = time.monotonic()

    def along(self, prompts: Iterator[PromptIn]) -> Iterator[PromptIn]:
        for prompt in prompts:
            yield prompt
            if time.monotonic() - self._told_at >= TELL_EVERY_SECONDS:
                self.tell()

    def tell(self) -> None:
        with session_scope() as session:
            session.execute(
                update(Import)
                .where(Import.id == self.import_id)
                .values(n_bytes_done=self.position.n_bytes, n_lines=self.position.n_lines)
            )
        if self.on_progress:
            self.on_progress(self.position.n_bytes, self.n_bytes)
        self._told_at = time.monotonic()


def _note_end(session: Session, import_id: uuid.UUID, position: Position, intake: Intake) -> None:
    """Say that the import has finished, in the transaction that makes it true."""
    session.execute(
        update(Import)
        .where(Import.id == import_id)
        .values(
            state=ImportState.FINISHED,
            n_bytes_done=position.n_bytes,
            n_lines=position.n_lines,
            n_prompts=intake.n_prompts,
            n_completions=intake.n_completions,
            n_pairs=intake.n_pairs,
            finished_at=utc_now(),
        )
    )


def _note_failure(
    import_id: uuid.UUID,
    position: Position,
    error: str,
    line: int | None = None,
    field: str | None = None,
) -> None:
    with session_scope() as session:
        session.execute(
            update(Import)
            .where(Import.id == import_id)
            .values(
                state=ImportState.FAILED,
                n_bytes_done=position.n_bytes,
                n_lines=position.n_lines,
                error=error,
                error_line=line,
                error_field=field,
                finished_at=utc_now(),
            )
        )


def sweep_imports(session: Session, project_id: uuid.UUID) -> None:
    """Mark imports of the project that nobody works on any more as cut off."""
    session.execute(queries.SWEEP, {"project_id": project_id, "error": CUT_OFF})


def import_file(path: Path, slug: str, progress: Progress | None = None) -> Import:
    """Import a file from disk into the project `slug`. Raises NotFound and Invalid."""
    with session_scope() as session:
        project_id = _find_project(session, slug).id
    try:
        with path.open("rb") as stream:
            n_bytes = path.stat().st_size
            done = run_import(project_id, stream, path.name, n_bytes, on_progress=progress)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.") from error
    if done.state is ImportState.FAILED:
        raise Invalid(done.error, field=done.error_field, line=done.error_line)
    return done


def freeze(
    session: Session, project: Project, created_by: uuid.UUID | None = None
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
        frozen = find_set(session, _find_project(session, slug), number)
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


def _find_project(session: Session, slug: str) -> Project:
    project = session.scalar(select(Project).where(Project.slug == slug))
    if project is None:
        raise NotFound(f"There is no project “{slug}”.")
    return project
