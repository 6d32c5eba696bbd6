import io
import json
import math

import pytest

from worker.errors import TrainerError
from worker.progress import JsonProgress, make_progress


def test_every_event_is_one_json_line_and_numbers_that_are_none_become_null() -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.advance(1, 2, "Training\nthe model")
    progress.metrics(1, {"loss": math.nan, "kl": math.inf, "accuracy": 0.5})
    progress.note("über")
    progress.result({"eval": {"by_strength": [{"accuracy": math.nan}]}})
    progress.error("Stopped.")
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"event": "progress", "done": 1, "total": 2, "message": "Training\nthe model"},
        {"event": "metrics", "step": 1, "values": {"loss": None, "kl": None, "accuracy": 0.5}},
        {"event": "note", "message": "über"},
        {"event": "result", "report": {"eval": {"by_strength": [{"accuracy": None}]}}},
        {"event": "error", "message": "Stopped."},
    ]


def test_an_unknown_kind_of_progress_is_refused_with_those_there_are() -> None:
    with pytest.raises(TrainerError, match="bar, json or none"):
        make_progress("loud")
