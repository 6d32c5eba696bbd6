"""Training on packed rows, of causal networks and encoders: killed, spread, and sparing memory."""

import json
import multiprocessing
import os
import random
import signal
import socket
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from typer.testing import CliRunner

from tests.reward.test_packing import SMALL
from tests.reward.worlds import FRUIT, STONES, fruit_preferences, write_lines
from worker.checkpoints import verify
from worker.errors import TrainerError
from worker.main import build_app
from worker.progress import SilentProgress
from worker.reward.configuration import RewardConfiguration
from worker.reward.data import Encoded, read_preferences
from worker.reward.scorer import Scorer
from worker.reward.train import train
from worker.runtime import end_runtime, start_runtime

CONFIGURATION = RewardConfiguration(
    "small", learning_rate=2e-3, batch_size=4, checkpoint_every=2, epochs=3, has_dropout=True
)
FAMILIES = ["Llama", "Bert"]
Weights = dict[str, torch.Tensor]


def network(family: str) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SMALL)
    return transformers.AutoModelForSequenceClassification.from_config(config)


def answers() -> Encoded:
    """Tournaments of four among completions of one prompt each, with two answers a pair."""
    stream = random.Random(0)
    sequences: list[list[int]] = []
    sides: list[tuple[int, int]] = []
    for _ in range(5):
        prompt = [2, *(stream.randrange(3, 90) for _ in range(9))]
        first = len(sequences)
        for _ in range(4):
            length = stream.randrange(3, 40)
            sequences.append(prompt + [stream.randrange(3, 90) for _ in range(length)])
        for pair in combinations(range(first, first + 4), 2):
            sides += [tuple(sorted(pair, key=lambda one: -len(sequences[one])))] * 2
    n = len(sides)
    return Encoded(
        sequences=sequences,
        chosen=torch.tensor([one for one, _ in sides]),
        rejected=torch.tensor([two for _, two in sides]),
        strengths=torch.tensor([1.0 + number % 4 for number in range(n)]),
        weights=torch.ones(n),
        is_tie=torch.tensor([number % 7 == 0 for number in range(n)]),
        groups=[""] * n,
        n_truncated=0,
    )


class Victim(SilentProgress):
    """Dies of SIGKILL when `steps_left` more steps are done."""

    def __init__(self, steps_left: int) -> None:
        super().__init__()
        self.steps_left = steps_left

    def advance(self, done: int, total: int, text: str) -> None:
        super().advance(done, total, text)
        self.steps_left -= 1
        if self.steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def run(
    family: str,
    folder: Path,
    configuration: RewardConfiguration = CONFIGURATION,
    progress: SilentProgress | None = None,
) -> Weights:
    runtime = start_runtime(0, "cpu", threads=1)
    trained = train(
        *(network(family), answers(), configuration, runtime, progress or SilentProgress()),
        checkpoints=folder,
        data_hash="answers",
    )
    end_runtime(runtime)
    return dict(trained.state_dict())


def in_a_process(*given: Any, out: Path | None = None, **environment: str) -> Any:
    """`run` in a fork of this process, which a kill or a process group cannot harm."""

    def work() -> None:
        os.environ.update(environment)
        weights = run(*given)
        if out is not None:
            torch.save(weights, out)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_run_killed_at_random_steps_ends_with_the_same_weights_bit_for_bit(
    family: str, tmp_path: Path
) -> None:
    whole = run(family, tmp_path / "whole")
    assert Scorer(network(family), start_runtime(0, "cpu", threads=1)).is_packed
    stream = random.Random()
    codes: list[int] = []
    steps: list[int] = []
    while not codes or codes[-1] != 0:
        steps.append(stream.randrange(3, 7))
        out = tmp_path / "killed.pt"
        process = in_a_process(family, tmp_path / "kept", CONFIGURATION, Victim(steps[-1]), out=out)
        process.join(240)
        codes.append(process.exitcode)
        assert process.exitcode in (0, -signal.SIGKILL), (steps, codes)
    assert len(codes) > 2
    killed = torch.load(out)
    assert all(torch.equal(killed[name], one) for name, one in whole.items()), steps


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_of_a_batch_one_after_another_give_the_weights_of_all_at_a_time(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = replace(CONFIGURATION, has_dropout=False, batch_size=16)  # several tournaments
    together = run(family, tmp_path / "together", calm)
    monkeypatch.setattr("worker.reward.learner._FEWEST_TOKENS", 1)
    monkeypatch.setattr("worker.reward.learner._NUMBERS_NEAR", 1)
    apart = run(family, tmp_path / "apart", calm)
    torch.testing.assert_close(apart, together, atol=2e-6, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_states_computed_twice_give_the_weights_of_states_that_were_kept(
    family: str, tmp_path: Path
) -> None:
    kept = run(family, tmp_path / "kept")
    twice = run(family, tmp_path / "twice", replace(CONFIGURATION, recomputes=True))
    torch.testing.assert_close(twice, kept, atol=1e-6, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_learn_on_packed_rows_come_back_after_a_stop_and_end_within_the_weights(
    family: str, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    before = dict(network(family).state_dict())
    configuration = replace(CONFIGURATION, lora_rank=4)
    whole = run(family, tmp_path / "whole", configuration)
    process = in_a_process(family, tmp_path / "kept", configuration, Victim(5))
    process.join(240)
    assert process.exitcode == -signal.SIGKILL
    state = next((tmp_path / "kept").glob("step-*")) / "state.pt"
    names = torch.load(state, weights_only=True)["model"]
    assert any("lora" in name for name in names)
    assert not any("embed" in name for name in names)
    again = run(family, tmp_path / "kept", configuration)
    assert again.keys() == before.keys()
    assert all(torch.equal(again[name], one) for name, one in whole.items())
    moved = {name for name, one in whole.items() if not torch.equal(one, before[name])}
    assert any("layer" in name for name in moved)
    assert not any("embed" in name or "norm" in name.lower() for name in moved)


@pytest.mark.parametrize("is_sharded", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_processes_end_with_the_weights_of_one_by_copies_and_by_shards(
    family: str, is_sharded: bool, tmp_path: Path
) -> None:
    configuration = replace(
        CONFIGURATION, learning_rate=1e-4, has_dropout=False, is_sharded=is_sharded
    )
    alone = run(family, tmp_path / "one", configuration)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    places = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    outs = [tmp_path / "0.pt", tmp_path / "1.pt"]

    def together(progress: SilentProgress) -> list[int | None]:
        processes = [
            in_a_process(
                *(family, tmp_path / "two", configuration, progress),
                out=out,
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                **places,
            )
            for rank, out in enumerate(outs)
        ]
        for process in processes:
            process.join(240)
        return [process.exitcode for process in processes]

    assert together(SilentProgress()) == [0, 0]
    for out in outs:
        torch.testing.assert_close(torch.load(out), alone, atol=1e-5, rtol=0)
    # Taken up from the checkpoint after the last step, it is the same again.
    for out in outs:
        out.unlink()
    assert together(SilentProgress()) == [0, 0]
    torch.testing.assert_close(torch.load(outs[0]), alone, atol=1e-5, rtol=0)


def test_an_encoder_whose_loss_is_no_number_stops_with_a_sentence_and_keeps_a_checkpoint(
    tmp_path: Path,
) -> None:
    with pytest.raises(TrainerError, match="not a number any more at step"):
        run("Bert", tmp_path, replace(CONFIGURATION, learning_rate=1e30, checkpoint_every=1))
    kept = list(tmp_path.iterdir())
    assert kept
    assert all(verify(path) == [] for path in kept)


def test_an_encoder_of_the_command_s_defaults_is_packed_and_loads_in_plain_transformers(
    tmp_path: Path,
) -> None:
    base = fruit_encoder(tmp_path / "bert")
    rows = write_lines(tmp_path / "rows.jsonl", fruit_preferences(160))
    held = write_lines(tmp_path / "held.jsonl", fruit_preferences(40, seed=1))
    out, report = tmp_path / "out", tmp_path / "report.json"
    arguments = ["--preferences", str(rows), "--eval", str(held), "--base-model", str(base)]
    arguments += ["--out", str(out), "--json", str(report), "--device", "cpu", "--threads", "1"]
    answer = CliRunner().invoke(build_app("reward"), ["reward", *arguments, "--progress", "json"])
    assert answer.exit_code == 0, answer.output
    assert "reads each completion apart" not in answer.output
    told = json.loads(report.read_text())
    assert told["configuration"]["has_dropout"] is True
    assert told["n_eval"] == 40
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(out).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    lines = (out / "held_out.jsonl").read_text("utf-8").splitlines()
    margins = [json.loads(line)["margin"] for line in lines]
    for row, margin in zip(read_preferences(held)[:4], margins, strict=False):
        read = tokenizer.apply_chat_template(
            [list(row.prompt + row.chosen), list(row.prompt + row.rejected)],
            return_tensors="pt",
            return_dict=True,
            padding=True,
        )
        with torch.no_grad():
            chosen, rejected = plain(**read).logits[:, 0].tolist()
        assert chosen - rejected == pytest.approx(margin, abs=1e-5)


def fruit_encoder(folder: Path) -> Path:
    """A random BERT over the words of the fruit world."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FRUIT, *STONES, "fill", "basket"]
    vocabulary = {word: index for index, word in enumerate([*words, *map(str, range(25))])}
    torch.manual_seed(0)
    config = transformers.BertConfig(**{**SMALL, "vocab_size": len(vocabulary)})
    transformers.BertModel(config).save_pretrained(folder)
    transformers.BertTokenizerFast(vocab=vocabulary).save_pretrained(folder)
    return folder
