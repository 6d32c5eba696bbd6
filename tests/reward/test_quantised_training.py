"""Adapters beside a base model in four bits: they learn, come back, and end in a plain folder."""

import json
import multiprocessing
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from typer.testing import CliRunner

from tests.reward.test_packed_training import CONFIGURATION, FAMILIES, Victim, answers, network
from tests.reward.worlds import fruit_preferences, write_lines
from worker.errors import TrainerError
from worker.main import build_app
from worker.models import load_reward_model, make_tiny
from worker.progress import SilentProgress
from worker.quantised import is_quantised, n_weights
from worker.reward.adapters import merge_adapters
from worker.reward.data import read_preferences
from worker.reward.forward import forward
from worker.reward.train import train
from worker.runtime import Runtime, end_runtime, start_runtime

RUNTIME = Runtime(torch.device("cpu"), torch.float32, 0, 1, is_main=True)
QUANTISED = replace(CONFIGURATION, lora_rank=4, quantisation="4bit")
Weights = dict[str, torch.Tensor]


class Tokens:
    pad_token_id = 0


class Losses(SilentProgress):
    """Keeps the loss of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def metrics(self, step: int, values: Any) -> None:
        super().metrics(step, values)
        self.seen.append(values["loss"])


@pytest.fixture(autouse=True)
def _with_the_library() -> None:
    pytest.importorskip("bitsandbytes")


def save(family: str, folder: Path) -> Path:
    network(family).save_pretrained(folder)
    return folder


def load(base: Path) -> Any:
    torch.manual_seed(0)
    return load_reward_model(str(base), RUNTIME, Tokens(), is_quantised=True)


def run(base: Path, folder: Path, progress: SilentProgress | None = None) -> Weights:
    """A training with the weights that would be published."""
    runtime = start_runtime(0, "cpu", threads=1)
    trained = train(
        *(load(base), answers(), QUANTISED, runtime, progress or SilentProgress()),
        checkpoints=folder,
        data_hash="answers",
    )
    end_runtime(runtime)
    merge_adapters(trained)
    return dict(trained.state_dict())


def scores(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return forward(model.eval(), answers().sequences[:6], RUNTIME)


def in_a_process(*given: Any, out: Path | None = None, **environment: str) -> Any:
    def work() -> None:
        os.environ.update(environment)
        weights = run(*given)
        if out is not None:
            torch.save(weights, out)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_in_four_bits_stand_still_while_the_adapters_beside_them_learn(
    family: str, tmp_path: Path
) -> None:
    base = save(family, tmp_path / "base")
    model = load(base)
    layers = {name: one for name, one in model.named_modules() if is_quantised(one)}
    assert len(layers) > 10
    assert all(name.startswith(model.base_model_prefix) for name in layers)
    assert n_weights(model) == n_weights(network(family))
    before = {name: one.clone() for name, one in model.state_dict().items()}
    progress, runtime = Losses(), start_runtime(0, "cpu", threads=1)
    configuration = replace(QUANTISED, has_dropout=False, epochs=8, learning_rate=2e-2)
    train(
        *(model, answers(), configuration, runtime, progress),
        checkpoints=tmp_path / "checkpoints",
        data_hash="answers",
    )
    assert sum(progress.seen[-4:]) < 0.8 * sum(progress.seen[:4])
    after = model.state_dict()
    still = {name.replace(".weight", ".base_layer.weight"): one for name, one in before.items()}
    found = [name for name, one in still.items() if name in after and one.dtype == torch.uint8]
    assert len(found) >= len(layers)
    assert all(torch.equal(after[name], still[name]) for name in found)
    trained = scores(model)
    merge_adapters(model)
    assert not any(is_quantised(one) for one in model.modules())
    merged = scores(model)
    torch.testing.assert_close(merged, trained, atol=1e-5, rtol=0)
    model.save_pretrained(tmp_path / "out")
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert not hasattr(plain.config, "quantization_config")
    again = scores(plain)
    torch.testing.assert_close(again, trained, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_killed_run_in_four_bits_ends_with_the_same_weights_bit_for_bit(
    family: str, tmp_path: Path
) -> None:
    base = save(family, tmp_path / "base")
    whole = run(base, tmp_path / "whole")
    process = in_a_process(base, tmp_path / "kept", Victim(5))
    process.join(240)
    assert process.exitcode == -signal.SIGKILL
    state = next((tmp_path / "kept").glob("step-*")) / "state.pt"
    names = torch.load(state, weights_only=True)["model"]
    assert any("lora" in name for name in names)
    assert not any("base_layer" in name or "embed" in name for name in names)
    again = run(base, tmp_path / "kept")
    assert again.keys() == network(family).state_dict().keys()
    assert all(torch.equal(again[name], one) for name, one in whole.items())


def test_two_processes_with_a_copy_in_four_bits_each_end_with_the_weights_of_one(
    tmp_path: Path,
) -> None:
    base = save("Llama", tmp_path / "base")
    alone = in_a_process(base, tmp_path / "one", out=tmp_path / "one.pt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    places = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [
        in_a_process(
            *(base, tmp_path / "two"),
            out=tmp_path / f"{rank}.pt",
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            **places,
        )
        for rank in range(2)
    ]
    for process in (alone, *both):
        process.join(240)
        assert process.exitcode == 0
    one = torch.load(tmp_path / "one.pt")
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), one, atol=1e-5, rtol=0)


def test_the_command_trains_in_four_bits_and_leaves_a_folder_for_plain_transformers(
    tmp_path: Path,
) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", fruit_preferences(240))
    held = write_lines(tmp_path / "held.jsonl", fruit_preferences(40, seed=1))
    out, report = tmp_path / "out", tmp_path / "report.json"
    arguments = ["--preferences", str(rows), "--eval", str(held), "--base-model", "tiny"]
    arguments += ["--out", str(out), "--json", str(report), "--device", "cpu", "--threads", "1"]
    arguments += ["--lora", "8", "--quantise", "4bit", "--epochs", "4", "--learning-rate", "0.01"]
    answer = CliRunner().invoke(build_app("reward"), ["reward", *arguments, "--progress", "none"])
    assert answer.exit_code == 0, answer.output
    told = json.loads(report.read_text())
    assert told["configuration"]["quantisation"] == "4bit"
    assert told["eval"]["accuracy"] > 0.75
    assert "four bits" in (out / "README.md").read_text("utf-8")
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(out).eval()
    assert all(one.dtype == torch.float32 for one in plain.parameters())
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    lines = (out / "held_out.jsonl").read_text("utf-8").splitlines()
    for row, line in zip(read_preferences(held)[:4], lines, strict=False):
        read = tokenizer.apply_chat_template(
            [list(row.prompt + row.chosen), list(row.prompt + row.rejected)],
            return_tensors="pt",
            return_dict=True,
            padding=True,
        )
        with torch.no_grad():
            chosen, rejected = plain(**read).logits[:, 0].tolist()
        assert chosen - rejected == pytest.approx(json.loads(line)["margin"], abs=1e-5)


def test_what_four_bits_do_not_go_with_is_refused_with_a_sentence(tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", fruit_preferences(20))
    arguments = ["reward", "--preferences", str(rows), "--base-model", "tiny"]
    arguments += ["--out", str(tmp_path / "out"), "--device", "cpu", "--progress", "none"]
    for told, sentence in (
        (["--quantise", "4bit"], "Ask for some with --lora"),
        (["--quantise", "8bit", "--lora", "4"], "is no quantisation"),
        (["--quantise", "4bit", "--lora", "4", "--shard"], "not spread over processes"),
    ):
        answer = CliRunner().invoke(build_app("reward"), [*arguments, *told])
        assert isinstance(answer.exception, TrainerError)
        assert sentence in answer.exception.message
    assert not (tmp_path / "out").exists()


def test_without_the_library_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_tiny(["some words"], tmp_path / "tiny")
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(TrainerError, match="need the library bitsandbytes, which is not installed"):
        load(base)
