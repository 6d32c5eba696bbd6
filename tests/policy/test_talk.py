"""The child that answers line by line: different words, and no name of the policy in a refusal."""

import io
import json
from pathlib import Path

import pytest

from tests.policy.worlds import runtime
from worker.policy.talk import Request, Speaker, Wordless, converse
from worker.tiny import make_tiny

MESSAGES = [{"role": "user", "content": "How far is the harbour?"}]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    texts = [f"Sentence {n} says that the harbour is {n % 7} miles away." for n in range(100)]
    return str(make_tiny(texts, tmp_path_factory.mktemp("model") / "tiny", seed=0))


def ask(model: str, **values: object) -> dict[str, object]:
    asked = {"messages": MESSAGES, "temperatures": [0.7, 1.0], "max_new_tokens": 6, "seed": "a"}
    return {"model": model, **asked, **values}


def test_two_temperatures_give_two_answers_and_a_seed_gives_the_same_again(tiny: str) -> None:
    speaker = Speaker(runtime())
    first = speaker.answer(Request.read(json.dumps(ask(tiny))))
    again = speaker.answer(Request.read(json.dumps(ask(tiny))))
    other = speaker.answer(Request.read(json.dumps(ask(tiny, seed="b"))))
    assert first == again
    assert first["completions"] != other["completions"]
    assert len({one["text"] for one in first["completions"]}) == 2
    assert not first["is_cut"]


def test_what_is_longer_than_the_policy_reads_is_cut_and_said(tiny: str) -> None:
    long = [{"role": "user", "content": "How far is the harbour? " * 600}]
    found = Speaker(runtime()).answer(Request.read(json.dumps(ask(tiny, messages=long))))
    assert found["is_cut"]


def test_a_policy_that_repeats_itself_is_refused_in_words(tiny: str) -> None:
    asked = ask(tiny, temperatures=[1e-4, 1e-4], max_new_tokens=2)
    with pytest.raises(Wordless, match="same answer twice"):
        Speaker(runtime()).answer(Request.read(json.dumps(asked)))


def test_a_refusal_is_no_end_and_names_no_policy(tiny: str, tmp_path: Path) -> None:
    lines = [json.dumps(ask(str(tmp_path / "secret"))), "", json.dumps(ask(tiny))]
    out, log = io.StringIO(), io.StringIO()
    converse(Speaker(runtime()), lines, out, log)
    refused, answered = (json.loads(line) for line in out.getvalue().splitlines())
    assert refused["event"] == "error"
    assert "secret" not in refused["message"]
    assert "secret" in log.getvalue()
    assert len(answered["report"]["completions"]) == 2
