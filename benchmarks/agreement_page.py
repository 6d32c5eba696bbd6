"""A million ratings in the tables: the first counting of them, and looks at agreement's pages.

`python -m benchmarks.agreement_page [--quick]`. A quarter of the answers say something about three
flags, one of them for each completion: a million answers to flags. The rows are written without
their keys being checked, which changes nothing for reading them.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from app.agree.flags import by_flag
from app.agree.patterns import Filter
from app.agree.service import overview
from app.agree.upkeep import catch_up, catch_up_flags
from app.db import migrate
from app.postgres import EmbeddedPostgres
from app.tables.projects import Flag, FlagKind, FlagScope, Objective, Polarity, Project
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


# A rude completion here and there, whether the pair fits the project, how hard the prompt is.
FLAGS = (
    ("rude", FlagScope.COMPLETION, FlagKind.YES_NO),
    ("apt", FlagScope.COMPARISON, FlagKind.YES_NO_NA),
    ("hard", FlagScope.PROMPT, FlagKind.RATING_7),
)
FLAG_ANSWERS = """
    insert into flag_answer (comparison_id, flag_id, completion_id, value)
    select c.id, f.id,
        case s.side when 1 then p.completion_a_id when 2 then p.completion_b_id end,
        case f.kind when 'yes_no' then (random() < 0.1)::int
            when 'yes_no_na' then (array[0, 1, 1, 1, null])[1 + floor(random() * 5)::int]
            else 1 + floor(random() * 7)::int end
    from comparison c join pair p on p.id = c.pair_id
    cross join flag f
    join (values ('completion', 1), ('completion', 2), ('comparison', 0), ('prompt', 0))
        s (scope, side) on s.scope = f.scope
    where get_byte(uuid_send(c.id), 15) < 64
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
    is_judged = not report.is_quick
    first = seconds(lambda: catch_up(session, project.id))
    report.at_most("first counting of the ratings, s", first, 5, is_judged=is_judged)
    session.commit()
    report.figures["first look, s"] = seconds(lambda: overview(session, project, Filter()))
    session.commit()
    report.figures["first counting of the flags, s"] = seconds(
        lambda: catch_up_flags(session, project.id)
    )
    session.commit()
    look(session, report, "of five later looks", lambda: overview(session, project, Filter()))
    look(session, report, "of five looks at the flags", lambda: by_flag(session, project, Filter()))
    change(session)
    changed = seconds(lambda: overview(session, project, Filter()))
    report.at_most("a look after a hundred edits, ms", 1_000 * changed, 300, is_judged=is_judged)


def look(session: Session, report: Report, name: str, work: Callable[[], object]) -> None:
    slowest = max(seconds(work) for _ in range(5))
    session.commit()
    report.at_most(f"slowest {name}, ms", 1_000 * slowest, 300, is_judged=not report.is_quick)


def change(session: Session) -> None:
    """A hundred answers say the opposite, and half of what they said of flags goes."""
    hundred = "(select id from comparison where get_byte(uuid_send(id), 15) < 64 limit 100)"
    session.execute(text(f"update comparison set rating = 9 - rating where id in {hundred}"))
    session.execute(text(f"delete from flag_answer where comparison_id in {hundred} and value = 0"))
    session.commit()


def fill(session: Session, project: Project, n_pairs: int) -> None:
    session.execute(text("set session_replication_role = replica"))
    session.execute(text(PAIRS), {"project": project.id, "n": n_pairs})
    session.execute(text(ANSWERS), {"project": project.id})
    session.add_all(
        Flag(
            project_id=project.id, key=key, label=key, scope=scope, kind=kind, polarity=Polarity.BAD
        )
        for key, scope, kind in FLAGS
    )
    session.flush()
    session.execute(text(FLAG_ANSWERS))
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
