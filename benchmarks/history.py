"""A hundred thousand answers of one person: the pages of them, a search through them, the pace.

`python -m benchmarks.history [--quick]`. Completions hold some 1,300 characters each, and the word
that is searched stands nowhere, so that every page looks as long as it may.
"""

import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from app.collect.history.queries import SECONDS, Place, Wanted, answers_of
from app.collect.home.pace import pace_of
from app.db import migrate, with_driver
from app.postgres import EmbeddedPostgres
from app.tables.accounts import Person
from app.tables.collect import Comparison
from benchmarks.queue import answer_in_bulk, make_project, settle
from benchmarks.report import Report, arguments

LONGER = """
update completion set text = text || ' ' || repeat(md5(cast(id as text)) || ' ', 40)
where project_id = :project
"""


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("history", options.quick)
    with (
        tempfile.TemporaryDirectory(prefix="prefloop-") as folder,
        EmbeddedPostgres(Path(folder), fsync=False) as server,
    ):
        migrate(server.url)
        engine = create_engine(with_driver(server.url))
        with Session(engine) as session:
            measure(session, report, 10_000 if options.quick else 100_000)
        engine.dispose()
    report.show()
    if options.json:
        report.write(options.json)


def measure(session: Session, report: Report, n: int) -> None:
    # One pair in twenty is a gold item, which is not answered here.
    project = make_project(session, n * 11 // 10)
    session.execute(text(LONGER), {"project": project.id})
    person = Person(name="amy", email="amy@example.org")
    session.add(person)
    session.commit()
    answer_in_bulk(session, project, person.id, n)
    settle(session)
    who = (session, person.id, [project.id])
    oldest = session.scalars(select(Comparison).order_by(Comparison.created_at).offset(60)).first()
    assert oldest is not None
    deep = Place(oldest.created_at, oldest.id)
    flag = uuid.uuid4()
    report.figures["answers"] = n
    is_judged = not report.is_quick
    for name, work, bound in (
        ("first page, ms", lambda: answers_of(*who, Wanted()), 50),
        ("last page by key, ms", lambda: answers_of(*who, Wanted(), place=deep), 50),
        ("a page of one rating, ms", lambda: answers_of(*who, Wanted(rating=(1, 4))), 150),
        ("a page of a frequent word, ms", lambda: answers_of(*who, Wanted(words=("answer",))), 150),
        ("a week's pace with all of them in it, ms", lambda: pace_of(*who), 500),
    ):
        report.at_most(name, 1_000 * median(work), bound, is_judged=is_judged)
    for name, wanted in (
        ("a word that stands nowhere", Wanted(words=("zebra",))),
        ("four words that stand nowhere", Wanted(words=("zebra", "yak", "xerus", "wolf"))),
        ("a flag that was never answered", Wanted(flag_id=flag)),
    ):
        slowest, pages = walk(who, wanted)
        report.at_most(f"{name}: slowest page, s", slowest, 2 * SECONDS, is_judged=is_judged)
        report.figures[f"{name}: pages through all"] = pages


def walk(who: tuple[Session, uuid.UUID, list[uuid.UUID]], wanted: Wanted) -> tuple[float, int]:
    """The seconds of the slowest page of a whole search, and how many pages it has."""
    place, slowest, pages = None, 0.0, 0
    while True:
        started = time.perf_counter()
        page = answers_of(*who, wanted, place=place)
        slowest, pages = max(slowest, time.perf_counter() - started), pages + 1
        if page.next is None:
            return slowest, pages
        place = page.next


def median(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(9):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return sorted(taken)[4]


if __name__ == "__main__":
    main()
