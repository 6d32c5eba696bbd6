"""A process of its own that claims, looks ahead and answers until nothing is left.

It says the id of each answer that was kept.

`python -m tests.collect.claim_and_answer PROJECT PERSON`, with DATABASE_URL set.
"""

import random
import sys
import time
import uuid

from app.collect.service import Nothing, Why, lease_ahead, next_assignment, record_comparison
from app.db import session_scope
from app.tables.projects import Project


def main(project_id: uuid.UUID, annotator_id: uuid.UUID) -> None:
    rng = random.Random(annotator_id.int)
    while True:
        with session_scope() as session:
            mine = next_assignment(session, session.get_one(Project, project_id), annotator_id, rng)
        if isinstance(mine, Nothing):
            if mine.why is not Why.BUSY:
                return
            time.sleep(0.02)
            continue
        with session_scope() as session:
            project = session.get_one(Project, project_id)
            lease_ahead(session, project, annotator_id, page=mine.id, rng=rng)
        with session_scope() as session:
            said = record_comparison(
                session,
                assignment_id=mine.id,
                annotator_id=annotator_id,
                rating=rng.randint(1, 8),
                seconds=1.0,
                idempotency_key=str(mine.id),
            )
        # After the commit: what a page would have been told.
        print(said.id, flush=True)


if __name__ == "__main__":
    main(*(uuid.UUID(one) for one in sys.argv[1:3]))
