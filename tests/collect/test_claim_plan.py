"""The claim's plan on a large table, and with statistics from before anyone began."""

import uuid
from collections.abc import Iterator
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.collect import queries
from app.collect.standing import one_at_a_time
from app.tables.accounts import Person
from benchmarks.queue import answer_in_bulk, make_project
from tests.support import make_person

MOST_ROWS = 60  # the front's twenty, each probed and looked up


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def explain(session: Session, project_id: uuid.UUID, person: Person) -> list[dict[str, Any]]:
    one_at_a_time(session, person.id)
    values = {
        "project": project_id, "annotator": person.id, "draw": "uniform", "probability": 1.0,
        "seed": 0, "minutes": 20, "slot": 0, "answers": 1, "point": uuid.uuid4(),
        "look": queries.LOOK,
    }  # fmt: skip
    said = session.execute(
        text(f"explain (analyze, format json) {queries._CLAIM.text}"), values
    ).scalar_one()
    session.rollback()
    return list(nodes(said[0]["Plan"]))


def test_a_claim_reads_few_rows_by_index_when_one_person_answered_much_that_is_still_open(
    session: Session,
) -> None:
    project = make_project(session, 100_000)
    person = make_person(session)
    session.commit()
    # No statistics after this: a busy first hour, before the database has looked again.
    answer_in_bulk(session, project, person.id, 20_000)

    for node in explain(session, project.id, person):
        # A bitmap made from an index is a look-up by index too; its rows are bounded like the rest.
        assert node["Node Type"] != "Seq Scan", node
        assert node["Actual Rows"] * node["Actual Loops"] <= MOST_ROWS, node
        assert node.get("Rows Removed by Filter", 0) <= MOST_ROWS, node
