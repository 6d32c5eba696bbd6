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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from app.collect.invariants import broken_rules
from app.collect.queries import claim, one_at_a_time
from app.db import migrate, with_driver
from app.postgres import EmbeddedPostgres
from app.tables.accounts import Person
from app.tables.collect import Comparison, Draw
from app.tables.projects import Project
from benchmarks.crowd import Badge, Tally, answer_for
from benchmarks.host import Web, cpu_seconds, tree
from benchmarks.queue import add_annotators, answer_in_bulk, make_project, settle
from benchmarks.report import Report, Target, arguments

PATH = "/projects/bench/collect"
CROWDS = (1, 8, 32, 200)
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


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--seconds", type=float, default=15.0, help="for each number of annotators")
    given = parser.parse_args()
    sizes, seconds = ([10_000], 4.0) if given.quick else (sorted(given.pairs), given.seconds)
    report = Report("serving", given.quick)
    medians: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder, _postgres(Path(folder)) as server:
        for size in sizes:
            crowds = (1, 8, 32) if given.quick else CROWDS
            with _database(server.url, f"bench_{size}") as (url, session):
                project = make_project(session, size)
                scene = Scene(report, session, project, url, Path(folder), seconds)
                medians[size] = _serve(scene, crowds)
                if size == sizes[min(1, len(sizes) - 1)]:
                    _kill(scene)
                if size == sizes[-1]:
                    _worst_claim(report, session, project, size // 2)
    _judge_growth(report, medians)
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


def _serve(scene: Scene, crowds: tuple[int, ...]) -> float:
    """Each crowd in turn, with people of its own. Returns the median wait at eight, in ms."""
    report, session, project = scene.report, scene.session, scene.project
    said, median = [], float("nan")
    n_pairs = session.scalar(text("select count(*) from pair")) or 0
    with Web(scene.url, scene.folder) as web:
        warm = add_annotators(session, project, 8)
        asyncio.run(answer_for(web.port, PATH, warm, min(scene.seconds, 3.0)))
        for n in crowds:
            badges = add_annotators(session, project, n)
            figures = _measure(report, web, badges, f"{n_pairs:,} pairs, N={n}", scene.seconds)
            said.append(figures[0])
            _judge_crowd(report, n, n_pairs, figures)
            median = figures[1] if n == 8 else median
    _judge_kept(report, session, said, f"{n_pairs:,} pairs")
    return median


def _measure(
    report: Report, web: Web, badges: list[Badge], name: str, seconds: float
) -> tuple[Tally, float, float, float, float]:
    """The tally, p50 and p95 of the next pair in ms, answers a second, server CPU-ms an answer."""
    servers = tree(web.pid)
    database = tree(os.getpid()) - servers - {os.getpid()}
    before, before_database = cpu_seconds(servers), cpu_seconds(database)
    started = time.perf_counter()
    tally = asyncio.run(answer_for(web.port, PATH, badges, seconds))
    wall = time.perf_counter() - started
    n = max(1, len(tally.acknowledged))
    used = (cpu_seconds(servers) - before) / n * 1000
    used_database = (cpu_seconds(database) - before_database) / n * 1000
    p50, p95, p99 = (float(x) for x in np.percentile(np.array(tally.seconds) * 1000, (50, 95, 99)))
    report.figures[f"{name}: answers a second"] = n / wall
    report.figures[f"{name}: CPU-ms an answer, servers | database"] = (
        f"{used:.2f} | {used_database:.2f}"
    )
    report.figures[f"{name}: next pair p50 / p95 / p99, ms"] = f"{p50:.1f} / {p95:.1f} / {p99:.1f}"
    report.figures[f"{name}: refused"] = tally.n_refused
    return tally, p50, p95, n / wall, used


def _judge_crowd(
    report: Report, n: int, n_pairs: int, figures: tuple[Tally, float, float, float, float]
) -> None:
    _, _, p95, rate, used = figures
    where = f"N={n}, {n_pairs:,} pairs"
    if n == 32:
        report.at_least(f"answers a second, {where}", rate, 400)
        report.at_most(f"server CPU-ms an answer, {where}", used, 3)
    if n == 8:
        report.at_most(f"next pair p95 ms, {where}", p95, 25)


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


def _worst_claim(report: Report, session: Session, project: Project, n_answered: int) -> None:
    """One annotator has answered `n_answered` pairs, and all of them still want others."""
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
    report.at_most(name, float(np.median(waits[5:])), 5)


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


def _judge_growth(report: Report, medians: dict[int, float]) -> None:
    name = "growth of the next pair's p50 at N=8, smallest to largest"
    if len(medians) < 2:
        report.targets.append(Target(name, "≤ 1.15", None, None))
        return
    report.at_most(name, medians[max(medians)] / medians[min(medians)], 1.15)


if __name__ == "__main__":
    main()
