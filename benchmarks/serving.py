"""Serve pairs to many annotators at once: `python -m benchmarks.serving`.

Two server processes of the real application on a real Postgres that waits for its disk, and all
that the page does: session, CSRF, permission, lease, texts, rendering, answer. Processor time is
read from /proc, of the servers and of the database apart, so that a busy machine distorts it less
than it does seconds. `--pairs` and `--seconds` make other runs.
"""

import asyncio
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from app.collect.invariants import broken_rules
from app.collect.queries import claim
from app.collect.standing import one_at_a_time
from app.db import migrate, with_driver
from app.postgres import EmbeddedPostgres
from app.tables.accounts import Person
from app.tables.collect import Comparison, Draw
from app.tables.projects import Project
from benchmarks.crowd import Badge, Tally, answer_for
from benchmarks.host import Web, cpu_seconds, tree
from benchmarks.paint import p95, waits_of
from benchmarks.queue import add_annotators, answer_in_bulk, make_project, settle
from benchmarks.report import Report, arguments

PATH = "/projects/bench/collect"
CROWDS = (1, 8, 32, 200)
JUDGED = 100_000  # pairs: the targets are set at this size, but for growth and the worst claim
TURNS = 3
NAIVE = """
select p.id from pair p
where p.project_id = :project and p.n_taken < p.overlap and p.is_open and not p.is_gold
    and not exists (
        select from assignment a where a.annotator_id = :annotator and a.pair_id = p.id
    )
order by p.n_taken desc limit 1 for update of p skip locked
"""


@dataclass(frozen=True)
class Scene:
    """One size of queue in a database of its own; `seconds` is how long each crowd answers."""

    report: Report
    session: Session
    project: Project
    url: str
    folder: Path
    seconds: float
    n_pairs: int


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, JUDGED, 1_000_000])
    parser.add_argument("--seconds", type=float, default=15.0, help="for each number of annotators")
    given = parser.parse_args()
    sizes, seconds = ([10_000], 3.0) if given.quick else (sorted(given.pairs), given.seconds)
    crowds = (1, 8, 32) if given.quick else CROWDS
    report = Report("serving", given.quick)
    with (
        tempfile.TemporaryDirectory() as folder,
        _postgres(Path(folder)) as server,
        ExitStack() as databases,
    ):
        scenes: list[Scene] = []
        for size in sizes:
            url, session = databases.enter_context(_database(server.url, f"bench_{size}"))
            project = make_project(session, size)
            scenes.append(Scene(report, session, project, url, Path(folder), seconds, size))
            _serve(scenes[-1], crowds)
        middle = scenes[min(1, len(scenes) - 1)]
        _paint(middle, 20 if given.quick else 100)
        _kill(middle)
        _judge_growth(report, scenes[0], scenes[-1])
        _worst_claim(scenes[-1])
    report.show()
    if given.json:
        report.write(given.json)


@contextmanager
def _postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(folder / "database") as server:
        yield server


@contextmanager
def _database(server_url: str, name: str) -> Iterator[tuple[str, Session]]:
    """A fresh, migrated database of its own, gone afterwards."""
    address, _, query = server_url.partition("?")
    url = f"{address.rpartition('/')[0]}/{name}?{query}"
    outside = create_engine(with_driver(server_url), isolation_level="AUTOCOMMIT")
    with outside.connect() as connection:
        connection.execute(text(f"create database {name}"))
    migrate(url)
    engine = create_engine(with_driver(url))
    with Session(engine, expire_on_commit=False) as session:
        yield url, session
    engine.dispose()
    with outside.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    outside.dispose()


def _serve(scene: Scene, crowds: tuple[int, ...]) -> None:
    """Each crowd in turn, with people of its own."""
    report, session, project = scene.report, scene.session, scene.project
    said = []
    with Web(scene.url, scene.folder) as web:
        warm = add_annotators(session, project, 8)
        asyncio.run(answer_for(web.port, PATH, warm, min(scene.seconds, 3.0)))
        for n in crowds:
            badges = add_annotators(session, project, n)
            name = f"{scene.n_pairs:,} pairs, N={n}"
            figures = _measure(report, web, badges, name, scene.seconds)
            said.append(figures[0])
            _judge_crowd(report, n, scene.n_pairs, figures)
    _judge_kept(report, session, said, f"{scene.n_pairs:,} pairs")


def _measure(
    report: Report, web: Web, badges: list[Badge], name: str, seconds: float
) -> tuple[Tally, float, float, float, float]:
    """The tally, p50 and p95 of the next pair in ms, answers a second, server CPU-ms an answer."""
    marks = []

    def mark() -> None:
        marks.append((time.perf_counter(), *_used(web)))

    tally = asyncio.run(answer_for(web.port, PATH, badges, seconds, on_start=mark))
    mark()
    n = max(1, len(tally.acknowledged))
    wall, used, used_database = (after - before for before, after in zip(*marks, strict=True))
    used, used_database = used / n * 1000, used_database / n * 1000
    waits = np.array(tally.seconds or [np.nan]) * 1000
    p50, p95, p99 = (float(x) for x in np.percentile(waits, (50, 95, 99)))
    report.figures[f"{name}: answers a second"] = n / wall
    report.figures[f"{name}: CPU-ms an answer, servers | database"] = (
        f"{used:.2f} | {used_database:.2f}"
    )
    report.figures[f"{name}: next pair p50 / p95 / p99, ms"] = f"{p50:.1f} / {p95:.1f} / {p99:.1f}"
    report.figures[f"{name}: refused | load average"] = (
        f"{tally.n_refused} | {os.getloadavg()[0]:.1f}"
    )
    return tally, p50, p95, n / wall, used


def _used(web: Web) -> tuple[float, float]:
    """Processor seconds so far of the server processes, and of the database's."""
    servers = tree(web.pid)
    # Looked up each time: a new connection is a new process.
    return cpu_seconds(servers), cpu_seconds(tree(os.getpid()) - servers - {os.getpid()})


def _judge_crowd(
    report: Report, n: int, n_pairs: int, figures: tuple[Tally, float, float, float, float]
) -> None:
    _, _, slow, rate, used = figures
    where, is_judged = f"N={n}, {n_pairs:,} pairs", n_pairs == JUDGED
    if n == 32:
        report.at_least(f"answers a second, {where}", rate, 400, is_judged=is_judged)
        report.at_most(f"server CPU-ms an answer, {where}", used, 3, is_judged=is_judged)
    if n == 8:
        report.at_most(f"next pair p95 ms, {where}", slow, 25, is_judged=is_judged)


def _judge_kept(report: Report, session: Session, tallies: list[Tally], where: str) -> None:
    """No answer that was acknowledged is missing, and the queue's rules hold."""
    session.rollback()
    kept = {str(one) for one in session.scalars(select(Comparison.assignment_id))}
    lost = {one for tally in tallies for one in tally.acknowledged} - kept
    report.at_most(f"acknowledged and lost, {where}", len(lost), 0)
    broken = broken_rules(session)
    report.figures[f"{where}: broken rules"] = "; ".join(broken) or "none"
    report.at_most(f"broken rules (overlap, twice, counts), {where}", len(broken), 0)
    session.rollback()


def _kill(scene: Scene) -> None:
    """SIGKILL every server process under load, twice, and start them again."""
    badges = add_annotators(scene.session, scene.project, 32)
    tally = Tally()

    async def run(web: Web) -> None:
        people = asyncio.create_task(
            answer_for(web.port, PATH, badges, 600, is_patient=True, tally=tally)
        )
        for _ in range(2):
            await asyncio.sleep(min(3.0, scene.seconds))
            await asyncio.to_thread(web.kill)
            await asyncio.to_thread(web.start)
        await asyncio.sleep(min(3.0, scene.seconds))
        people.cancel()
        await asyncio.gather(people, return_exceptions=True)

    with Web(scene.url, scene.folder) as web:
        asyncio.run(run(web))
    scene.report.figures["servers killed twice: answers acknowledged"] = len(tally.acknowledged)
    scene.report.figures["servers killed twice: connections broken"] = tally.n_broken
    _judge_kept(scene.report, scene.session, [tally], "servers killed twice")


def _paint(scene: Scene, n: int) -> None:
    """One annotator at a keyboard, in a browser."""
    report, name = scene.report, f"key press to next pair painted p95 ms, {scene.n_pairs:,} pairs"
    (badge,) = add_annotators(scene.session, scene.project, 1)
    with Web(scene.url, scene.folder) as web:
        waits = waits_of(web.port, PATH, badge, n)
    if waits is None:
        report.figures["key press to next pair painted"] = "no Chromium was found"
    else:
        report.figures["key press to next pair painted p50, ms"] = float(np.median(waits))
    value = None if waits is None else p95(waits)
    report.at_most(name, value, 100, is_judged=scene.n_pairs == JUDGED)


def _worst_claim(scene: Scene) -> None:
    """One annotator has answered half of the pairs, and all of them still want others."""
    report, session, project = scene.report, scene.session, scene.project
    n_answered = scene.n_pairs // 2
    person = Person(name="worst", email="worst@example.org")
    session.add(person)
    session.commit()
    answer_in_bulk(session, project, person.id, n_answered)
    settle(session)
    waits = [_timed_claim(session, project, person.id) for _ in range(40)]
    started = time.perf_counter()
    session.execute(text(NAIVE), {"project": project.id, "annotator": person.id})
    naive = (time.perf_counter() - started) * 1000
    session.rollback()
    report.figures[f"claim after {n_answered:,} open answers, plain NOT EXISTS, ms"] = naive
    name = f"claim after {n_answered:,} open answers, median ms"
    report.at_most(name, float(np.median(waits[5:])), 5, is_judged=n_answered >= 500_000)


def _timed_claim(session: Session, project: Project, annotator: uuid.UUID) -> float:
    one_at_a_time(session, annotator)
    started = time.perf_counter()
    found = claim(
        session, project_id=project.id, annotator_id=annotator, draw=Draw.UNIFORM,
        probability=1.0, point=uuid.uuid4(), seed=0, minutes=20, answers=1,
    )  # fmt: skip
    assert found is not None
    taken = (time.perf_counter() - started) * 1000
    session.rollback()
    return taken


def _judge_growth(report: Report, small: Scene, large: Scene) -> None:
    """Eight annotators, by turns on the one queue and on the other: a busy minute meets both."""
    name = "growth of the next pair's p50 at N=8, smallest to largest"
    if small is large:
        report.at_most(name, None, 1.15)
        return
    waits: dict[int, list[float]] = {}
    for scene in (small, large) * TURNS:
        with Web(scene.url, scene.folder) as web:
            badges = add_annotators(scene.session, scene.project, 8)
            asyncio.run(answer_for(web.port, PATH, badges, 2.0))
            tally = asyncio.run(answer_for(web.port, PATH, badges, scene.seconds / 2))
        waits.setdefault(scene.n_pairs, []).extend(tally.seconds)
    p50s = {size: float(np.median(seconds)) * 1000 for size, seconds in waits.items()}
    report.figures["next pair p50 by turns, ms"] = "; ".join(
        f"{size:,} pairs: {p50:.2f}" for size, p50 in p50s.items()
    )
    is_judged = large.n_pairs >= 1_000_000 and large.n_pairs >= 100 * small.n_pairs
    report.at_most(name, p50s[large.n_pairs] / p50s[small.n_pairs], 1.15, is_judged=is_judged)


if __name__ == "__main__":
    main()
