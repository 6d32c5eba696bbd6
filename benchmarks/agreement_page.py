"""A million ratings in the tables: the first look, and every later one, at the agreement page.

`python -m benchmarks.agreement_page [--quick]`. The rows are written without their keys being
checked, which changes nothing for reading them.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from app.agree.queries import Filter
from app.agree.service import overview
from app.agree.upkeep import catch_up
from app.db import migrate
from app.postgres import EmbeddedPostgres
from app.tables.projects import Objective, Project
from benchmarks.report import Report, arguments

PAIRS = """
    insert into pair (id, project_id, prompt_id, completion_a_id, completion_b_id, overlap, n_taken)
    select gen_random_uuid(), :project, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(),
        3, 3
    from generate_series(1, :n)
"""
# A pair's felt difference moves its three answers together; fifty people; half a year.
ANSWERS = """
    insert into comparison (id, project_id, assignment_id, pair_id, annotator_id, rating, seconds,
        is_flipped, idempotency_key, created_at, updated_at)
    select gen_random_uuid(), :project, gen_random_uuid(), p.id,
        cast(lpad(to_hex((p.k * 3 + a) % 50), 32, '0') as uuid),
        greatest(1, least(8, round(4.5 + 2.2 * p.felt + 1.6 * random_normal())))::int,
        30, random() < 0.5, '', p.at, p.at
    from (
        select id, row_number() over () as k, random_normal() as felt,
            now() - random() * interval '180 days' as at
        from pair
    ) p, generate_series(1, 3) a
"""


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report("agreement page", options.quick)
    with (
        tempfile.TemporaryDirectory(prefix="prefloop-") as folder,
        EmbeddedPostgres(Path(folder), fsync=False) as server,
    ):
        migrate(server.url)
        engine = create_engine(server.url)
        with Session(engine) as session:
            measure(session, report, 10_000 if options.quick else 333_334)
        engine.dispose()
    report.show()
    if options.json:
        report.write(options.json)


def measure(session: Session, report: Report, n_pairs: int) -> None:
    project = Project(
        slug="million",
        name="Million",
        objective=Objective.HELPFULNESS,
        question="Which?",
        low_end="A",
        high_end="B",
    )
    session.add(project)
    session.flush()
    fill(session, project, n_pairs)
    report.figures["ratings"] = n_pairs * 3
    report.figures["first catching up, s"] = seconds(lambda: catch_up(session, project.id))
    session.commit()
    report.figures["first look, s"] = seconds(lambda: overview(session, project, Filter()))
    session.commit()
    is_judged = not report.is_quick
    looks = [seconds(lambda: overview(session, project, Filter())) for _ in range(5)]
    report.at_most("slowest of five later looks, ms", 1_000 * max(looks), 300, is_judged=is_judged)
    session.execute(
        text(
            "update comparison set rating = 9 - rating "
            "where id in (select id from comparison limit 100)"
        )
    )
    session.commit()
    changed = seconds(lambda: overview(session, project, Filter()))
    report.at_most("a look after a hundred edits, ms", 1_000 * changed, 300, is_judged=is_judged)


def fill(session: Session, project: Project, n_pairs: int) -> None:
    session.execute(text("set session_replication_role = replica"))
    session.execute(text(PAIRS), {"project": project.id, "n": n_pairs})
    session.execute(text(ANSWERS), {"project": project.id})
    session.execute(text("set session_replication_role = default"))
    session.commit()
    session.execute(text("analyze"))
    session.commit()


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
