"""The real worker trains, evaluates on a file, and measures what the data is worth."""

import io
import json
import random

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.collect.intake import add_prompts
from app.datasets.service import freeze
from app.reward import service, studies
from app.tables.collect import Completion, Pair
from app.tables.jobs import Job
from app.tables.runs import Judgement, RewardRun, RunState
from app.tables.studies import Study
from tests.datasets.support import answer, answer_flag, make_flag, prompt_in
from tests.loop.worlds import make_staff
from tests.reward.worlds import basket, fruit_preferences
from tests.support import make_person
from worker.daemon import run_until_idle


@pytest.mark.slow
def test_a_run_is_judged_evaluated_and_its_data_weighed_by_the_real_worker(
    session: Session,
) -> None:
    project, _ = make_staff(session, is_loop_automatic=False)
    people = [make_person(session, name) for name in ("alice", "bob")]
    flag, stream = make_flag(session, project, "rude"), random.Random(0)
    baskets = [[basket(n, stream) for n in stream.sample(range(5), 2)] for _ in range(160)]
    add_prompts(session, project, (prompt_in(f"fill {i}", *two) for i, two in enumerate(baskets)))
    fruit = ("apple", "pear", "plum", "cherry")
    pairs = session.scalars(select(Pair).where(Pair.project_id == project.id)).all()
    for number, pair in enumerate(pairs):
        texts = [session.get_one(Completion, one).text
                 for one in (pair.completion_a_id, pair.completion_b_id)]  # fmt: skip
        more_a = sum(texts[0].count(f) for f in fruit) > sum(texts[1].count(f) for f in fruit)
        for person in people[: 1 + number % 2]:
            given = answer(session, pair, person, 2 if more_a else 7)
            answer_flag(session, given, flag, int(number % 3 == 0))
    frozen = freeze(session, project)
    run = service.request_run(session, project, frozen, configuration={"epochs": 2})
    session.commit()
    assert run_until_idle(120) == 1
    session.expire_all()
    run = session.scalars(select(RewardRun)).one()
    assert run.state is RunState.FINISHED
    assert run.report["eval"]["agreement"]["share"] == 1.0
    n = session.scalar(select(func.count()).select_from(Judgement))
    assert n == frozen.n_eval
    lines = "".join(json.dumps(line) + "\n" for line in fruit_preferences(20)).encode()
    one = studies.request_evaluation(session, run, io.BytesIO(lines), "fruit.jsonl", by=None)
    two = studies.request_worth(session, run, is_whole=False, by=None)
    session.commit()
    run_until_idle(120)
    session.expire_all()
    assert {job.error for job in session.scalars(select(Job))} == {""}
    assert session.get_one(Study, one.id).report["n"] == 20
    rows = studies.list_worths(session, session.get_one(Study, two.id))
    assert {(row.kind, row.log_loss is not None) for row in rows} == {
        ("flag", True), ("annotator", True),
    }  # fmt: skip
    assert [row.name for row in rows if row.kind == "flag"] == ["Rude"]
