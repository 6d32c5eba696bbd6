"""Attention of a packed row in one kernel, and compiled layers: the same results, or not used."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from typer.testing import CliRunner

from tests.reward.test_packed_training import CONFIGURATION
from tests.reward.test_packing import RUNTIME, SMALL, STILL, loss_and_gradients, network, pairs
from tests.reward.worlds import fruit_preferences, write_lines
from worker.errors import TrainerError
from worker.main import build_app
from worker.reward.compiling import compile_layers, forget_compiled
from worker.reward.computing import Computing
from worker.reward.flex_attention import SQUARE, mask_of
from worker.reward.packing import lay_out
from worker.reward.scorer import Scorer

NETWORKS = {"Llama": {**SMALL, "num_key_value_heads": 2}, "Bert": {**SMALL, **STILL}}
FLEX = replace(CONFIGURATION, attention="flex", compiles="off", has_dropout=False)
SIDES = [side for row in pairs() for side in row]


def dense(query: Tensor, key: Tensor, value: Tensor, **told: Any) -> Tensor:
    """What flex attention computes, from a mask of all tokens by all tokens, with gradients."""
    mask = told["block_mask"]
    seen = create_mask(mask.mask_mod, 1, 1, *mask.seq_lengths, device="cpu")
    return scaled_dot_product_attention(
        *(query, key, value, seen), scale=told["scale"], enable_gqa=told["enable_gqa"]
    )


def small(family: str) -> Any:
    if family == "Noisy":
        return network("Bert", **SMALL)
    return network(family, **NETWORKS[family])


def settled(family: str, kernel: Any = None, **changes: Any) -> tuple[Computing, Scorer, list[str]]:
    scorer, told, computing = Scorer(small(family), RUNTIME), [], Computing()
    configuration = replace(FLEX, **changes)
    given = {"kernel": lambda: kernel} if kernel else {}
    computing.settle(scorer, configuration, n_steps=10, note=told.append, **given)
    return computing, scorer, told


@pytest.mark.parametrize("is_causal", [True, False])
def test_each_token_of_a_row_sees_its_own_sequence_and_no_square_is_passed_by_wrongly(
    is_causal: bool,
) -> None:
    stream = random.Random(0)
    for _ in range(5):
        rows = []
        for _ in range(4):
            prompt = [stream.randrange(2, 90) for _ in range(stream.randrange(0, 150))]
            for _ in range(stream.randrange(1, 5)):
                rows.append([*prompt, *(stream.randrange(2, 90) for _ in range(99))])
        layout = lay_out(rows, None, is_causal=is_causal)
        mask = mask_of(layout)
        n = len(layout.ids)
        seen = create_mask(mask.mask_mod, 1, 1, *mask.seq_lengths, device="cpu")[0, 0]
        for row, last in zip(rows, layout.reads, strict=True):
            assert int(seen[last, :n].sum()) == len(row)
            assert sorted(layout.ids[seen[last, :n]].tolist()) == sorted(row)
        n_squares = len(seen) // SQUARE
        squares = seen.view(n_squares, SQUARE, n_squares, SQUARE).transpose(1, 2)
        some, every = squares.any(-1).any(-1), squares.all(-1).all(-1)
        read = torch.zeros_like(some)
        for place in range(n_squares):
            full = mask.full_kv_indices[0, 0, place, : mask.full_kv_num_blocks[0, 0, place]]
            assert bool(every[place, full.long()].all())
            part = mask.kv_indices[0, 0, place, : mask.kv_num_blocks[0, 0, place]]
            read[place, torch.cat([full, part]).long()] = True
        assert bool((read | ~some).all())
        assert int(read.sum()) <= int(some.sum()) + n_squares


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("family", NETWORKS)
def test_scores_by_flex_attention_are_those_by_parts(family: str) -> None:
    scorer = Scorer(network(family, **NETWORKS[family]).eval(), RUNTIME)
    with torch.no_grad():
        parts = scorer(SIDES)
        scorer.kernel = flex_attention
        torch.testing.assert_close(scorer(SIDES), parts, atol=1e-5, rtol=0)


@pytest.mark.parametrize("recomputes", [False, True])
@pytest.mark.parametrize("family", NETWORKS)
def test_gradients_by_the_mask_of_a_row_are_those_by_parts(family: str, recomputes: bool) -> None:
    computing, scorer, told = settled(family, dense)
    assert (computing.attention, computing.attention_reason, told) == ("flex", "", [])

    def score(_: Any, rows: list[list[int]], __: Any) -> Tensor:
        return scorer(rows)

    with scorer.learning(has_dropout=False, recomputes=recomputes):
        row = loss_and_gradients(scorer.network, score, pairs())
    scorer.kernel = None
    with scorer.learning(has_dropout=False, recomputes=recomputes):
        parts = loss_and_gradients(scorer.network, score, pairs())
    torch.testing.assert_close(row, parts, atol=1e-5, rtol=0)


def test_a_kernel_that_fails_or_errs_or_has_no_gradients_is_not_used_and_the_run_says_so() -> None:
    def wrong(query: Tensor, key: Tensor, value: Tensor, **told: Any) -> Tensor:
        return dense(query, key, value * 1.01, **told)

    def broken(*_: Any, **__: Any) -> Tensor:
        raise RuntimeError("no such kernel")

    reasons = {
        "differs by": settled("Llama", wrong),
        "RuntimeError: no such kernel": settled("Llama", broken),
        "does not support backward on CPU": settled("Llama", flex_attention),
        "no such kernel)": settled("Llama", broken, attention="auto"),
        "gradients on GPUs alone": settled("Llama"),
        "has no dropout": settled("Noisy", dense, has_dropout=True),
    }
    for sentence, (computing, scorer, told) in reasons.items():
        assert computing.attention == "blocks"
        assert scorer.kernel is None
        assert sentence in computing.attention_reason
        assert told == [f"Attention is computed part by part: {computing.attention_reason}."]
    computing, _, told = settled("Llama", attention="auto", compiles="auto")
    assert (computing.attention, computing.is_compiled, told) == ("blocks", False, [])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling for a CPU needs g++")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_compiled_layers_give_the_same_scores_and_gradients_at_any_length() -> None:
    scorer = Scorer(network("Llama", **NETWORKS["Llama"]), RUNTIME)
    names = list(scorer.network.state_dict())

    def score(_: Any, rows: list[list[int]], __: Any) -> Tensor:
        return scorer(rows)

    plain = [loss_and_gradients(scorer.network, score, pairs(seed)[seed:]) for seed in range(3)]
    assert compile_layers(scorer) == ""
    found = []
    graphs = []
    for seed in range(3):
        found.append(loss_and_gradients(scorer.network, score, pairs(seed)[seed:]))
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[2] > 0
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=0)
    assert list(scorer.network.state_dict()) == names
    forget_compiled(scorer.network)
    assert all(one._compiled_call_impl is None for one in scorer.network.modules())


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_without_a_compiler_layers_run_as_they_are_written_and_the_run_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    torch._dynamo.reset()
    computing, scorer, told = settled("Llama", attention="blocks", compiles="on")
    torch._dynamo.reset()
    assert not computing.is_compiled
    assert computing.compile_reason.startswith("compiling fails here (")
    assert told == [f"The network is not compiled: {computing.compile_reason}."]
    assert all(one._compiled_call_impl is None for one in scorer.network.modules())


def test_the_manifest_says_how_a_run_was_computed_and_unknown_choices_are_refused(
    tmp_path: Path,
) -> None:
    rows = write_lines(tmp_path / "rows.jsonl", fruit_preferences(40))
    arguments = ["reward", "--preferences", str(rows), "--base-model", "tiny", "--device", "cpu"]
    arguments += ["--out", str(tmp_path / "out"), "--threads", "1", "--progress", "json"]
    answer = CliRunner().invoke(build_app("reward"), [*arguments, "--attention", "flex"])
    assert answer.exit_code == 0, answer.output
    assert "gradients on GPUs alone" in answer.output
    told = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    computing = told["metrics"]["computing"]
    assert computing["attention"] == "blocks"
    assert computing["is_compiled"] is False
    assert computing["compile_reason"] == "on a CPU it does not pay"
    assert told["configuration"]["attention"] == "flex"
    for wrong in (["--attention", "flash"], ["--compile", "maybe"]):
        refused = CliRunner().invoke(build_app("reward"), [*arguments, *wrong])
        assert isinstance(refused.exception, TrainerError)
        assert "is no choice here. Use auto, " in refused.exception.message
