"""Files coming in: all of a file or nothing, and every refusal names the line and the field."""

import gzip
import io
import subprocess
import sys
import threading
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.datasets import importing, queries
from app.datasets.lines import Position, read_prompts
from app.datasets.service import import_file, run_import, sweep_imports
from app.db import session_scope
from app.errors import DomainError, Invalid, NotFound
from app.tables.accounts import AuditEvent
from app.tables.base import utc_now
from app.tables.collect import Completion, Pair, Prompt
from app.tables.datasets import Import, ImportState
from app.tables.projects import Project
from tests.datasets.support import line
from tests.support import make_project

GOOD = line(prompt="Why?", completions=["one", "two"])
DEEP = b'{"prompt": "Why?", "metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"


@pytest.fixture
def project(session: Session) -> Project:
    project = make_project(session)
    session.commit()
    return project


def bring(project: Project, content: bytes, **options: bool) -> Import:
    return run_import(
        project.id, io.BytesIO(content), "prompts.jsonl", len(content), None, **options
    )


def count(session: Session, table: type) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_file_of_every_accepted_form_comes_in(session: Session, project: Project) -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
    ]
    done = bring(
        project,
        b"\xef\xbb\xbf"
        + line(prompt="Naïve question?", completions=["one", {"text": "two", "source": "model-x"}])
        + b"\r\n\n   \n"
        + line(prompt=conversation, completions=["a", "b", "c"], pairs=[[0, 2]], group="g", id="7")
        + line(prompt="How?", chosen="well", rejected="badly", score_chosen=9.5)
        + line(
            chosen=[*conversation, {"role": "assistant", "content": "yes"}],
            rejected=[*conversation, {"role": "assistant", "content": "no"}],
        ).replace(b"\n", b"\r\n")
        + line(
            prompt="Where?",
            chosen=[{"role": "assistant", "content": "here"}],
            rejected=[{"role": "assistant", "content": "there"}],
        ).rstrip(),
    )

    assert (done.state, done.error) == (ImportState.FINISHED, "")
    assert (done.n_lines, done.n_prompts) == (8, 5)
    assert (done.n_completions, done.n_pairs) == (11, 5)
    assert done.n_bytes_done == done.n_bytes
    assert done.finished_at is not None
    assert count(session, Prompt) == 4
    grouped = session.scalars(select(Prompt).where(Prompt.group_key == "g")).one()
    assert grouped.metadata_ == {"id": "7"}
    assert (
        session.scalars(select(Prompt.metadata_).where(Prompt.id != grouped.id))
        .all()
        .count({"score_chosen": 9.5})
        == 1
    )


BAD = [
    (b'{"prompt": "Why?", \n', None, "is not JSON"),
    (b"[1, 2]\n", None, "is a list, not an object"),
    (b"7\n", None, "is a number, not an object"),
    (line(completions=["one", "two"]), "prompt", "is missing"),
    (line(prompt=7, completions=["one", "two"]), "prompt", "is a number"),
    (line(prompt="Why?", completions="one"), "completions", "is a text, not a list"),
    (line(prompt="Why?", completions=["one"]), "completions", "a comparison needs two"),
    (line(prompt="Why?"), "completions", "a comparison needs two"),
    (line(prompt="Why?", completions=["one", ""]), "completions[1].text", "is empty"),
    (line(prompt="Why?", completions=["one", " \n"]), "completions[1].text", "is empty"),
    (line(prompt="Why?", completions=["one", 2]), "completions[1]", "must be a text or an object"),
    (line(prompt="Why?", completions=["one", None]), "completions[1]", "must be a text"),
    (
        line(prompt="Why?", completions=["one", "x" * 2**20]),
        "completions[1].text",
        "has 1,048,576 characters, and the limit is 100,000",
    ),
    (line(prompt="Why?", completions=["one", "a\0b"]), "completions[1].text", "NUL character"),
    (line(prompt="Why?", completions=["x", "y"]).replace(b"x", b"\0"), None, "NUL character"),
    (
        rb'{"prompt": "Why?", "completions": ["one", "a\ud800b"]}' + b"\n",
        "completions[1].text",
        "half of a surrogate pair (U+D800)",
    ),
    (b'{"prompt": "Why\xff?", "completions": ["one", "two"]}\n', None, "is not UTF-8"),
    (b"\xff\xfe{\x00", None, "is not UTF-8"),
    (line(prompt="Why?", completions=["one", "one"]), "completions", "same text twice"),
    (line(prompt="Why?", completions=[f"{n}" for n in range(65)]), "completions", "65 completions"),
    (
        line(prompt="Why?", completions=["one", "two"], pairs=[[0, 2]]),
        "pairs",
        "names completion 2, but the line has 2",
    ),
    (line(prompt="Why?", completions=["one", "two"], pairs=[[-1, 1]]), "pairs", "completion -1"),
    (line(prompt="Why?", completions=["one", "two"], pairs=[[0]]), "pairs[0]", "two completion"),
    (line(prompt="Why?", completions=["one", "two"], grouup="x"), "grouup", "is “group” meant?"),
    (
        line(prompt=[{"role": "tool", "content": "x"}], completions=["one", "two"]),
        "prompt[0].role",
        "is “tool”, and must be system, user or assistant",
    ),
    (line(prompt=[], completions=["one", "two"]), "prompt", "is empty"),
    (line(prompt=[{"role": "user"}], completions=["one", "two"]), "prompt[0].content", "missing"),
    (line(prompt="Why?", chosen="one"), "rejected", "is missing"),
    (line(prompt="Why?", chosen="", rejected="no"), "chosen", "is empty"),
    (line(prompt="Why?", chosen="one", rejected=[{"role": "user"}]), "rejected", "assistant's"),
    (DEEP, None, "nested too deeply"),
    (line(prompt="Why?", completions=["one", "two"], metadata=[]), "metadata", "an object"),
    (b'{"prompt": "Why?", "metadata": {"n": NaN}}\n', None, "NaN is not a number"),
    (b'{"prompt": "Why?", "metadata": {"n": ' + b"9" * 5000 + b"}}\n", None, "5000 digits"),
    (b'{"prompt": "Why?", "metadata": {"n": 1e999}}\n', None, "too large"),
    (b" " * (16 * 2**20 + 1) + GOOD, None, "is longer than 16 MB"),
]


@pytest.mark.parametrize(("bad", "field", "words"), BAD, ids=[words for *_, words in BAD])
def test_a_bad_line_is_refused_in_words_with_line_and_field(
    bad: bytes, field: str | None, words: str
) -> None:
    stream = io.BytesIO(GOOD + line(prompt="How?", completions=["one", "two"]) + bad)

    with pytest.raises(DomainError) as caught:
        list(read_prompts(stream, Position()))

    assert (caught.value.line, caught.value.field) == (3, field)
    assert "Line 3" in caught.value.message
    assert words in caught.value.message
    assert len(caught.value.message) < 400


def test_nothing_of_a_file_with_a_bad_line_stays_but_the_reason(
    session: Session, project: Project
) -> None:
    for bad, field, words in BAD[::6]:
        many = b"".join(line(prompt=f"{n}?", completions=["x", "y"]) for n in range(700))
        failed = bring(project, many + bad)

        assert failed.state is ImportState.FAILED
        assert (failed.error_line, failed.error_field) == (701, field)
        assert words in failed.error
        assert [count(session, table) for table in (Prompt, Completion, Pair)] == [0, 0, 0]


def test_an_empty_file_is_refused_with_an_example(project: Project) -> None:
    assert "holds no prompt" in bring(project, b"\n\n").error
    assert '{"prompt"' in bring(project, b"").error


def test_prompts_alone_may_come_where_the_policy_will_write(
    session: Session, project: Project
) -> None:
    done = bring(
        project, line(prompt="Why?") + line(prompt="How?", completions=["so"]), allow_single=True
    )
    assert (done.n_prompts, done.n_completions, done.n_pairs) == (2, 1, 0)


def test_a_packed_file_comes_in_and_a_damaged_or_endless_one_does_not(
    session: Session, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(GOOD * 3)
    done = bring(project, packed)
    assert (done.state, done.n_lines, done.n_bytes_done) == (ImportState.FINISHED, 3, len(packed))

    assert "gzip file is damaged" in bring(project, packed[:-9]).error
    assert "gzip file is damaged" in bring(project, packed[:20] + b"?" + packed[21:]).error
    assert "longer than 16 MB" in bring(project, gzip.compress(b" " * (40 * 2**20))).error
    monkeypatch.setattr(importing, "UNPACKED_TO_PACKED", 2**-8)
    assert "unpacks to more than 1 MB" in bring(project, gzip.compress(b"\n" * 2**21)).error
    assert count(session, Prompt) == 1


def test_two_files_at_once_do_each_other_no_harm(session: Session, project: Project) -> None:
    lines = [line(prompt=f"Question {n}?", completions=["one", f"two {n}"]) for n in range(400)]
    done: list[Import] = []
    contents = [b"".join(lines), b"".join(reversed(lines)), b"".join(lines[::2]) + b"oops\n"]
    threads = [
        threading.Thread(target=lambda one=one: done.append(bring(project, one)))
        for one in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(one.state for one in done) == ["failed", "finished", "finished"]
    assert [count(session, table) for table in (Prompt, Completion, Pair)] == [400, 800, 400]


def test_others_see_progress_while_a_file_comes_in(
    session: Session, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "TELL_EVERY_SECONDS", 0.0)
    seen: list[tuple[int, int, int]] = []

    def look(done: int, total: int) -> None:
        with session_scope() as other:
            row = other.scalars(select(Import)).one()
            sweep_imports(other, project.id)
            assert row.state is ImportState.RUNNING
            seen.append((row.n_lines, row.n_bytes_done, count(session, Prompt)))

    content = b"".join(line(prompt=f"{n}?", completions=["x", "y"]) for n in range(5))
    run_import(project.id, io.BytesIO(content), "f", len(content), None, on_progress=look)

    assert [n_lines for n_lines, _, _ in seen] == [1, 2, 3, 4, 5]
    assert seen[-1][1:] == (len(content), 0)


def test_an_import_whose_server_died_is_found_and_said_to_be_cut_off(
    session: Session, project: Project
) -> None:
    holder, ready, leave = uuid.uuid4(), threading.Event(), threading.Event()

    def hold() -> None:
        with session_scope() as own:
            queries.hold_import(own, holder)
            ready.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait(10)
    long_ago = utc_now() - timedelta(minutes=1)
    session.add_all(
        Import(id=key, project_id=project.id, file_name=name, created_at=at)
        for key, name, at in (
            (holder, "alive", long_ago),
            (uuid.uuid4(), "dead", long_ago),
            (uuid.uuid4(), "about to begin", utc_now()),
        )
    )
    session.commit()
    sweep_imports(session, project.id)
    session.commit()
    states = {row.file_name: row.state for row in session.scalars(select(Import))}
    leave.set()
    thread.join()

    assert states == {"alive": "running", "about to begin": "running", "dead": "failed"}
    dead = session.scalars(select(Import).where(Import.file_name == "dead")).one()
    assert "was cut off" in dead.error


def test_kill_nine_in_the_middle_leaves_nothing_but_a_row_that_says_so(
    session: Session, project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(
        b"".join(line(prompt=f"{n}?", completions=[f"x {n}", "y"]) for n in range(20_000))
    )
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.datasets.import_and_wait", str(file)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "half way\n"
    worker.kill()
    worker.wait()
    worker.stdout.close()

    row = session.scalars(select(Import)).one()
    assert row.state is ImportState.RUNNING
    row.created_at = utc_now() - timedelta(minutes=1)
    session.commit()
    deadline = time.monotonic() + 20
    while row.state is ImportState.RUNNING and time.monotonic() < deadline:
        sweep_imports(session, project.id)
        session.commit()
        session.refresh(row)

    assert row.state is ImportState.FAILED
    assert "was cut off" in row.error
    assert count(session, Prompt) == 0
    (event,) = session.scalars(select(AuditEvent).where(AuditEvent.action == "import.failed"))
    assert "was cut off" in event.detail["error"]
    assert bring(project, GOOD).n_pairs == 1


def test_a_stream_that_breaks_leaves_a_failed_import_and_the_error_goes_on(
    session: Session, project: Project
) -> None:
    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        run_import(project.id, Broken(GOOD), "f", 1, None)
    assert session.scalars(select(Import.state)).one() is ImportState.FAILED


def test_a_file_is_imported_from_disk_by_the_projects_name(
    session: Session, project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(GOOD)
    assert import_file(file, "garden").n_pairs == 1
    file.write_bytes(GOOD + b"oops")
    with pytest.raises(Invalid, match="Line 2 is not JSON"):
        import_file(file, "garden")
    with pytest.raises(NotFound, match="no project “meadow”"):
        import_file(file, "meadow")
    with pytest.raises(NotFound, match="cannot be read"):
        import_file(tmp_path / "missing", "garden")
    events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    ends = ["import.started", "import.finished", "import.started", "import.failed"]
    assert [event.action for event in events] == ends
    assert {event.address for event in events} == {"command line"}


def _resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_fifty_megabytes_stream_through_bounded_memory(
    session: Session, project: Project, tmp_path: Path
) -> None:
    file, words = tmp_path / "large.jsonl", "lorem ipsum dolor " * 450
    with file.open("wb") as stream:
        for n in range(3300):
            stream.write(line(prompt=f"{n}?", completions=[f"{n} {words}", f"{words} {n}"]))
    assert file.stat().st_size > 50 * 2**20
    most = before = _resident()

    def look(done: int, total: int) -> None:
        nonlocal most
        most = max(most, _resident())

    began = time.monotonic()
    done = import_file(file, "garden", look)
    print(f"{file.stat().st_size / 2**20 / (time.monotonic() - began):.1f} MB/s")

    assert done.n_pairs == 3300
    assert most - before < 60 * 2**20
