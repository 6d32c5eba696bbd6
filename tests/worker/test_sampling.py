"""How fresh completions are shared out over prompts and come back as pairs."""

import json
import uuid
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.collect.intake import PromptIn, add_prompts
from app.tables.collect import Completion, Pair
from app.tables.runs import Algorithm, PolicyRun
from tests.support import make_project
from worker.sampling import COMPLETIONS, prepare, publish, share_out


@pytest.mark.parametrize(
    ("n_pairs", "n_prompts", "expected"),
    [
        (60, 346, (60, 1)),
        (1500, 346, (300, 5)),
        (10, 3, (3, 4)),
        (1000, 2, (2, 16)),
        (1, 1, (1, 1)),
        (5, 0, (0, 5)),
    ],
)
def test_pairs_are_shared_out_over_as_many_prompts_as_there_are(
    n_pairs: int, n_prompts: int, expected: tuple[int, int]
) -> None:
    assert share_out(n_pairs, n_prompts) == expected


def prompt(text: str) -> PromptIn:
    return PromptIn.model_validate({"messages": [{"role": "user", "content": text}]})


def test_few_prompts_are_asked_for_several_pairs_each(session: Session, tmp_path: Path) -> None:
    project = make_project(session, pairs_per_round=6)
    add_prompts(session, project, [prompt("One?"), prompt("Two?")])
    arguments = prepare(session, project, str(uuid.uuid4()), tmp_path)
    assert arguments[arguments.index("--n") + 1] == "6"
    assert len((tmp_path / "prompts.jsonl").read_text().splitlines()) == 2


def test_each_fresh_completion_stands_in_one_pair_and_a_blank_one_in_none(
    session: Session, tmp_path: Path
) -> None:
    project = make_project(session)
    run = PolicyRun(
        project_id=project.id,
        number=1,
        algorithm=Algorithm.SFT,
        base_model="tiny",
        configuration={},
    )
    session.add(run)
    session.flush()
    line = {
        "prompt": [{"role": "user", "content": "One?"}],
        "completions": [{"text": text} for text in ("a", "b", " ", "c", "d", "e")],
    }
    (tmp_path / COMPLETIONS).write_text(json.dumps(line) + "\n")
    publish(session, project, run.id, tmp_path)
    assert session.scalar(select(func.count()).select_from(Completion)) == 5
    assert session.scalar(select(func.count()).select_from(Pair)) == 2
