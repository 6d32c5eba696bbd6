"""Importing a file: all of it or nothing, with progress that others see, and a trail of its end."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.accounts.audit import COMMAND_LINE, record_event
from app.collect.incoming import PromptIn
from app.collect.intake import Intake, add_prompts
from app.datasets import queries
from app.datasets.lines import Position, read_prompts
from app.db import session_scope
from app.errors import DomainError, Invalid, NotFound
from app.settings import get_settings
from app.tables.base import utc_now
from app.tables.datasets import Import, ImportState
from app.tables.projects import Project

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
    address: str = "",
) -> Import:
    """Import a seekable stream of JSON lines, all of it or nothing, in transactions of its own.

    Returns the import's row, finished or failed; a failed one says line, field and reason. Others
    see its progress while it runs, and the audit trail holds its beginning and its end. `n_bytes`
    is the size as it lies on disk, packed or not. Raises what is not the file's fault, after the
    row has been marked as failed.
    """
    import_id = import_id or uuid.uuid4()
    position = Position()
    tell = _Teller(import_id, position, n_bytes, on_progress)
    try:
        with session_scope() as session:
            queries.hold_import(session, import_id)
            _start(import_id, project_id, file_name, n_bytes, created_by, address=address)
            prompts = read_prompts(
                stream,
                position,
                allow_single=allow_single,
                max_bytes=get_settings().max_upload_bytes * UNPACKED_TO_PACKED,
            )
            project = session.get_one(Project, project_id)
            intake = add_prompts(session, project, tell.along(prompts), import_id=import_id)
            _note_end(session, import_id, position, intake, address)
    except DomainError as error:
        _note_failure(import_id, position, error, address)
    except BaseException:
        with suppress(SQLAlchemyError):
            _note_failure(import_id, position, Invalid(BROKE), address)
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
    address: str = "",
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
    _record(session, row, "started", {"bytes": n_bytes}, address)
    return row


def _start(
    import_id: uuid.UUID,
    project_id: uuid.UUID,
    file_name: str,
    n_bytes: int,
    created_by: uuid.UUID | None,
    *,
    address: str,
) -> None:
    """Let others see that the import runs; the row may be there already."""
    with session_scope() as session:
        row = session.get(Import, import_id)
        if row is None:
            announce_import(
                session,
                project_id,
                file_name,
                n_bytes,
                created_by=created_by,
                import_id=import_id,
                address=address,
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


def _note_end(
    session: Session, import_id: uuid.UUID, position: Position, intake: Intake, address: str
) -> None:
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
    row = session.get_one(Import, import_id)
    _record(session, row, "finished", {"prompts": row.n_prompts, "pairs": row.n_pairs}, address)


def _note_failure(
    import_id: uuid.UUID, position: Position, error: DomainError, address: str
) -> None:
    with session_scope() as session:
        row = session.get_one(Import, import_id)
        row.state, row.finished_at = ImportState.FAILED, utc_now()
        row.n_bytes_done, row.n_lines = position.n_bytes, position.n_lines
        row.error, row.error_line, row.error_field = error.message, error.line, error.field
        _record(session, row, "failed", {"error": row.error}, address)


def sweep_imports(session: Session, project_id: uuid.UUID) -> None:
    """Mark imports of the project that nobody works on any more as cut off."""
    swept = session.execute(queries.SWEEP, {"project_id": project_id, "error": CUT_OFF})
    for import_id in swept.scalars().all():
        row = session.get_one(Import, import_id, populate_existing=True)
        _record(session, row, "failed", {"error": CUT_OFF})


def _record(
    session: Session, row: Import, what: str, detail: dict[str, Any], address: str = ""
) -> None:
    record_event(
        session,
        f"import.{what}",
        actor_id=row.created_by,
        project_id=row.project_id,
        subject=str(row.id),
        detail={"file": row.file_name, **detail},
        address=address,
    )


def import_file(path: Path, slug: str, progress: Progress | None = None) -> Import:
    """Import a file from disk into the project `slug`. Raises NotFound and Invalid."""
    with session_scope() as session:
        project_id = queries.find_project(session, slug).id
    try:
        with path.open("rb") as stream:
            n_bytes = path.stat().st_size
            done = run_import(
                project_id,
                stream,
                path.name,
                n_bytes,
                on_progress=progress,
                address=COMMAND_LINE,
            )
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.") from error
    if done.state is ImportState.FAILED:
        raise Invalid(done.error, field=done.error_field, line=done.error_line)
    return done
