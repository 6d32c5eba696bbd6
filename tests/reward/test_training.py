import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.reward.worlds import fruit_preferences, write_lines
from worker.checkpoints import read_manifest, verify
from worker.errors import TrainerError
from worker.models import load_reward_model, load_tokenizer, make_tiny
from worker.progress import SilentProgress
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import encode, read_preferences
from worker.reward.files import RewardFiles
from worker.reward.score import score
from worker.reward.stage import train_reward_model
from worker.reward.strength import Loss
from worker.reward.train import train
from worker.reward.variance import widen
from worker.runtime import start_runtime

CONFIGURATION = RewardConfiguration("tiny", learning_rate=2e-3, batch_size=16, checkpoint_every=5)


@pytest.fixture
def preferences(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "preferences.jsonl", fruit_preferences(480))


def run(
    preferences: Path, out: Path, configuration: RewardConfiguration = CONFIGURATION
) -> tuple[dict[str, Any], SilentProgress]:
    progress = SilentProgress()
    files = RewardFiles(preferences, None, out, out.parent)
    runtime = start_runtime(configuration.seed, "cpu", threads=1)
    report = train_reward_model(
        files,
        lambda _network: configuration,
        runtime,
        progress,
        base_model=configuration.base_model,
        seed=configuration.seed,
    )
    return report, progress


def command(preferences: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        *("-m", "worker.main", "reward", "--base-model", "tiny", "--batch-size", "16"),
        *("--preferences", str(preferences), "--out", str(out), "--checkpoint-every", "3"),
        *("--learning-rate", "0.002", "--threads", "1", "--progress", "json", *more),
    ]


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_reward_model_learns_what_people_prefer_and_reports_it(
    preferences: Path, tmp_path: Path
) -> None:
    report, progress = run(preferences, tmp_path / "out", replace(CONFIGURATION, epochs=3))
    figures = report["eval"]
    assert figures["accuracy"] > 0.85
    assert figures["log_loss"] < 0.5
    assert 0 <= figures["ece"] < 0.3
    assert sum(one["n"] for one in figures["by_strength"].values()) == report["n_eval"]
    assert report["n_train"] + report["n_eval"] == 480
    assert progress.advances[-1][:2] == (len(progress.steps), len(progress.steps))
    assert progress.results == [report]
    manifest = read_manifest(tmp_path / "out")
    assert manifest["metrics"]["eval"]["accuracy"] == figures["accuracy"]
    assert manifest["data_hash"] == report["data_hash"]
    assert "torch" in manifest["libraries"]
    assert verify(tmp_path / "out") == []


def test_a_reward_model_gives_the_same_scores_in_plain_transformers(
    preferences: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(preferences, out)
    runtime, tokenizer = start_runtime(0, "cpu", threads=1), load_tokenizer(str(out))
    rows = read_preferences(preferences)[:6]
    conversations = [list(row.prompt + row.chosen) for row in rows]
    ours = score(
        load_reward_model(str(out), runtime, tokenizer), tokenizer, conversations, 6, runtime
    )
    script = """
import json, sys
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, conversations = sys.argv[1], json.load(sys.stdin)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
inputs = tokenizer.apply_chat_template(
    conversations, return_tensors="pt", return_dict=True, padding=True)
print(json.dumps(model(**inputs).logits[:, 0].tolist()))
assert not any(name.split(".")[0] in ("app", "worker") for name in sys.modules)
"""
    plain = subprocess.run(
        [sys.executable, "-c", script, str(out)],
        input=json.dumps(conversations),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert json.loads(plain.stdout) == pytest.approx(ours, abs=1e-5)


@pytest.mark.parametrize("loss", list(Loss))
def test_every_parameter_moves_under_every_loss(tmp_path: Path, loss: Loss) -> None:
    lines = fruit_preferences(32)
    lines[0]["is_tie"] = True
    rows = read_preferences(write_lines(tmp_path / "few", lines))
    runtime = start_runtime(0, "cpu", threads=1)
    name = str(make_tiny((text for row in rows for text in row.texts), tmp_path / "tiny"))
    tokenizer = load_tokenizer(name)
    model = load_reward_model(name, runtime, tokenizer)
    if loss is Loss.MEAN_VARIANCE:
        widen(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    train(
        model,
        encode(rows, tokenizer, 64),
        replace(CONFIGURATION, loss=loss),
        runtime,
        SilentProgress(),
        checkpoints=tmp_path / "checkpoints",
        data_hash="few",
    )
    still = [key for key, value in model.state_dict().items() if torch.equal(value, before[key])]
    assert still == []


def test_a_run_killed_at_any_step_ends_with_the_same_weights_bit_for_bit(
    preferences: Path, tmp_path: Path
) -> None:
    subprocess.run(command(preferences, tmp_path / "whole"), check=True, capture_output=True)
    out = tmp_path / "killed"
    victim = subprocess.Popen(
        command(preferences, out), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert victim.stdout is not None
    for line in victim.stdout:
        if json.loads(line).get("done") == 8:
            victim.kill()
            break
    assert victim.wait() == -signal.SIGKILL
    victim.stdout.close()
    assert not out.exists()
    again = subprocess.run(command(preferences, out), check=True, capture_output=True, text=True)
    events = events_of(again.stdout)
    notes = [event["message"] for event in events if event["event"] == "note"]
    assert any(note.startswith("Resumed after step") for note in notes)
    assert next(e["done"] for e in events if e["event"] == "progress") > 3
    metrics = read_manifest(out)["metrics"]
    tried = metrics["losses_tried"]
    assert tried["plain"]["gain"] == 0.0
    assert min(tried, key=lambda name: tried[name]["log_loss"]).startswith(
        metrics["configuration"]["loss"]
    )
    one, two = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", out))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_sigterm_saves_a_checkpoint_and_ends_with_143(preferences: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    running = subprocess.Popen(
        command(preferences, out, "--epochs", "50", "--checkpoint-every", "100000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if json.loads(line).get("done") == 4:
            running.send_signal(signal.SIGTERM)
            break
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 143
    assert "the checkpoint is saved" in errors
    assert len(list((tmp_path / "stopped.checkpoints").glob("step-*"))) == 1


def test_a_finished_run_gives_its_report_again_and_another_one_is_refused(
    preferences: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    report, _ = run(preferences, out)
    again, progress = run(preferences, out)
    assert again == json.loads(json.dumps(report))
    assert progress.steps == []
    with pytest.raises(TrainerError, match="another configuration"):
        run(preferences, out, replace(CONFIGURATION, learning_rate=1e-3))


def test_a_loss_that_is_no_number_stops_with_a_sentence_and_keeps_the_checkpoint(
    tmp_path: Path,
) -> None:
    lines = fruit_preferences(480)
    path = write_lines(tmp_path / "preferences.jsonl", lines)
    with pytest.raises(TrainerError, match="not a number any more at step"):
        run(path, tmp_path / "out", replace(CONFIGURATION, learning_rate=1e30, checkpoint_every=1))
    assert not (tmp_path / "out").exists()
    kept = list((tmp_path / "out.checkpoints").iterdir())
    assert kept
    assert all(verify(path) == [] for path in kept)


def test_a_refusal_is_an_error_event_and_exit_code_1(preferences: Path, tmp_path: Path) -> None:
    arguments = command(preferences, tmp_path / "out")
    arguments[arguments.index("tiny")] = "/no/such/model"
    refused = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    event = events_of(refused.stdout)[-1]
    assert event["event"] == "error"
    assert "There is no base model “/no/such/model”" in event["message"]
    assert event["message"] in refused.stderr
    assert "Traceback" not in refused.stderr


def test_help_is_there_without_loading_torch() -> None:
    script = "import sys, worker.main as m; m.build_app('reward'); print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"


_GRADIENTS = """
import sys, torch
from worker.models import load_reward_model, load_tokenizer
from worker.reward.forward import forward
from worker.runtime import distribute, end_runtime, start_runtime
runtime = start_runtime(0, "cpu", threads=1)
model = load_reward_model(sys.argv[1], runtime, load_tokenizer(sys.argv[1]))
spread = distribute(model, runtime)
rows = [[6 + i % 20] * (20 if i % 2 == 0 else 1 + 2 * i) for i in range(64)]
for _ in range(2):
    model.zero_grad()
    forward(spread, rows[runtime.rank :: runtime.world_size], runtime).mean().backward()
if runtime.is_main:
    torch.save({name: one.grad for name, one in model.named_parameters()}, sys.argv[2])
end_runtime(runtime)
"""


def test_processes_whose_completions_are_of_unlike_length_end_with_the_gradient_of_one(
    tmp_path: Path,
) -> None:
    base = str(make_tiny([f"word{i}" for i in range(40)], tmp_path / "tiny"))
    port = str(29500 + time.time_ns() % 1000)

    def start(rank: int, size: int, out: Path) -> subprocess.Popen[bytes]:
        places = {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_PORT": port}
        return subprocess.Popen(
            [sys.executable, "-c", _GRADIENTS, base, str(out)],
            env={**os.environ, **places, "MASTER_ADDR": "127.0.0.1"},
        )

    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    running = [start(0, 1, one), start(0, 2, two), start(1, 2, two)]
    try:
        assert [process.wait(timeout=90) for process in running] == [0, 0, 0]
    finally:
        for process in running:
            process.kill()
            process.wait()
    alone, together = torch.load(one), torch.load(two)
    for name, gradient in alone.items():
        torch.testing.assert_close(together[name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.slow
def test_two_processes_train_the_model_that_one_trains(preferences: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    one, two = tmp_path / "one" / "out", tmp_path / "two" / "out"
    # A high rate would blow up the rounding of sums in another order.
    gently = ("--learning-rate", "0.0001", "--epochs", "0.3")
    alone = command(preferences, two, *gently)
    subprocess.run(
        command(preferences, one, *gently), check=True, capture_output=True, env=environment
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launcher += ["--master_port", str(29500 + time.time_ns() % 1000)]
    subprocess.run(
        [*launcher, *alone[1:]], check=True, capture_output=True, env=environment, timeout=240
    )
    weights = [load_file(folder / "model.safetensors") for folder in (one, two)]
    for key, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][key], atol=1e-5, rtol=0)
