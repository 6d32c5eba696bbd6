import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch.nn.functional import logsigmoid

from worker.reward.adapters import add_adapters
from worker.reward.forward import forward
from worker.reward.packed_attention import packed_attention
from worker.reward.packing import Block, Branch, Gathered, lay_out, share_prefixes
from worker.reward.score import read_features, score_sequences
from worker.reward.scorer import Scorer, packed_forward
from worker.runtime import Runtime

RUNTIME = Runtime(torch.device("cpu"), torch.float32, 0, 1, is_main=True)
SMALL = {
    "vocab_size": 90,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
    "num_labels": 1,
    "max_position_embeddings": 512,
}
GPT2 = {
    **{key: SMALL[key] for key in ("vocab_size", "pad_token_id", "num_labels", "eos_token_id")},
    **{"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512, "bos_token_id": None},
    **{"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
}
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
DISTILBERT = {
    **{"vocab_size": 90, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    **{"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "num_labels": 1},
}
BLOOM = {"vocab_size": 90, "hidden_size": 32, "n_layer": 2, "n_head": 4, "pad_token_id": 0}
BLOOM |= {"num_labels": 1}


def network(family: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    return transformers.AutoModelForSequenceClassification.from_config(config)


def draw(length: int, stream: random.Random) -> list[int]:
    return [stream.randrange(2, 90) for _ in range(length)]


def pairs(seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Pairs with and without a prompt, short and long, one of a prompt that another pair has."""
    stream = random.Random(seed)
    prompts = [draw(n, stream) for n in (150, 30, 0, 150, 4)]
    prompts.append(prompts[1])
    lengths = [(60, 20), (12, 25), (9, 9), (30, 170), (140, 3), (8, 7)]
    return [
        (prompt + draw(a, stream), prompt + draw(b, stream))
        for prompt, (a, b) in zip(prompts, lengths, strict=True)
    ]


def loss_and_gradients(
    model: Any, score: Any, rows: list[tuple[list[int], list[int]]]
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    model.zero_grad()
    scores = score(model, [side for row in rows for side in row], RUNTIME)  # [2B]
    loss = -logsigmoid(scores[::2] - scores[1::2]).mean()
    loss.backward()
    return scores.detach(), loss.detach(), [one.grad.clone() for one in model.parameters()]


def loss_and_gradients_that_are(
    model: Any, score: Any, rows: list[list[int]]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Those of the weights that learn, by name."""
    model.zero_grad()
    scores = score(model, rows, RUNTIME)
    scores.square().sum().backward()
    learn = {name: one for name, one in model.named_parameters() if one.requires_grad}
    return scores.detach(), {name: one.grad.clone() for name, one in learn.items()}


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Llama", {**SMALL, "num_key_value_heads": 2}),
        ("Qwen2", {**SMALL, "num_key_value_heads": 2}),
        ("Llama", {**SMALL, "attention_bias": True, "mlp_bias": True}),
        ("Mistral", {**SMALL, "num_key_value_heads": 4, "sliding_window": None}),
        ("Qwen3", {**SMALL, "num_key_value_heads": 2, "head_dim": 16}),
        ("GPTNeoX", SMALL),
        ("GPT2", GPT2),
        ("Bert", {**SMALL, **STILL}),
        ("Roberta", {**SMALL, **STILL, "pad_token_id": 1}),
        ("DistilBert", DISTILBERT),
        ("Electra", {**SMALL, **STILL, "embedding_size": 16}),
    ],
)
def test_packed_scores_and_gradients_are_the_plain_ones(
    family: str, settings: dict[str, Any]
) -> None:
    model = network(family, **settings)
    scorer = Scorer(model, RUNTIME)
    assert scorer.reason is None
    plain = loss_and_gradients(model, forward, pairs())
    packed = loss_and_gradients(model, lambda _, rows, __: scorer(rows), pairs())
    torch.testing.assert_close(packed, plain, atol=1e-5, rtol=0)
    assert model.config._attn_implementation == "sdpa"


def changed(model: Any) -> Counter[str]:
    """Layers that read leanly now, by kind."""
    return Counter(type(one).__name__ for one in model.modules() if "forward" in vars(one))


def test_layers_of_llama_s_kin_are_read_leanly_while_they_are_packed_and_no_others() -> None:
    llama = network("Llama", **SMALL)
    with packed_attention(llama):
        assert changed(llama) == {"LlamaRMSNorm": 5, "LlamaMLP": 2, "LlamaAttention": 2}
    assert not changed(llama)
    for family, settings in (("GPTNeoX", SMALL), ("Llama", {**SMALL, "hidden_act": "relu"})):
        other = network(family, **settings)
        with packed_attention(other):
            assert "LlamaMLP" not in changed(other)
        assert Scorer(other, RUNTIME).reason is None


def test_layers_that_have_adapters_or_are_half_precise_are_read_as_transformers_has_them() -> None:
    rows = [side for row in pairs() for side in row]
    adapted = network("Llama", **SMALL)
    pytest.importorskip("peft")
    add_adapters(adapted, 2)
    with torch.no_grad():
        for name, one in adapted.named_parameters():
            if "lora" in name:
                one.normal_(std=0.1)
    plain = loss_and_gradients_that_are(adapted, forward, rows)
    packed = loss_and_gradients_that_are(
        adapted, lambda _, all_, __: Scorer(adapted, RUNTIME)(all_), rows
    )
    torch.testing.assert_close(packed, plain, atol=1e-5, rtol=0)

    half = replace(RUNTIME, dtype=torch.bfloat16)
    model = network("Llama", **SMALL)
    torch.testing.assert_close(
        packed_forward(model, rows, half), forward(model, rows, half), atol=0.02, rtol=0
    )


def test_a_network_of_another_attention_is_read_plainly_and_the_reason_is_said() -> None:
    reasons = {
        family: Scorer(network(family, **settings), RUNTIME).reason
        for family, settings in {
            "Bloom": BLOOM,
            "Deberta": {**SMALL, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
            "Mistral": {**SMALL, "num_key_value_heads": 4, "sliding_window": 64},
        }.items()
    }
    assert "differ" in str(reasons["Bloom"])
    assert "differ" in str(reasons["Deberta"])
    assert "window" in str(reasons["Mistral"])


def test_a_scorer_gives_scores_in_the_order_of_what_it_was_given() -> None:
    rows = [side for row in pairs() for side in row]
    for family, settings in (("Llama", SMALL), ("Bert", SMALL)):
        scorer = Scorer(network(family, **settings).eval(), RUNTIME)
        with torch.no_grad():
            together, alone = scorer(rows), torch.cat([scorer([row]) for row in rows])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["Llama", "Bert", "Bloom"])
def test_batches_of_scores_and_features_are_those_of_each_sequence_alone(family: str) -> None:
    model = network(family, **(BLOOM if family == "Bloom" else SMALL)).eval()
    rows = [side for row in pairs() for side in row]
    with torch.no_grad():
        alone = torch.cat([forward(model, [row], RUNTIME) for row in rows])
    torch.testing.assert_close(score_sequences(model, rows, 5, RUNTIME), alone, atol=1e-5, rtol=0)
    features = read_features(model, rows, 5, RUNTIME)
    head = model.score if hasattr(model, "score") else model.classifier
    torch.testing.assert_close(head(features)[:, 0].detach(), alone, atol=1e-5, rtol=0)


def test_what_sequences_begin_with_stands_once_in_the_row() -> None:
    prompt, other = [5] * 40, [6] * 7
    sequences = [[*prompt, 1], [*other, 2], [*prompt, 3, 4], [*other, 5], [9, 9]]
    groups = share_prefixes(sequences)
    assert sorted((group.trunk, set(group.members)) for group in groups) == [
        (0, {4}),
        (7, {1, 3}),
        (40, {0, 2}),
    ]
    layout = lay_out(sequences, pad=0)
    assert len(layout.ids) == 40 + 3 + 7 + 2 + 2
    assert layout.ids[layout.reads].tolist() == [1, 2, 4, 5, 9]
    assert layout.positions[layout.reads].tolist() == [40, 7, 41, 7, 1]


def test_a_beginning_that_all_share_does_not_part_those_that_share_more() -> None:
    start = [3, 3, 3]
    sequences = [start + [k] * 50 + [end] for k in (7, 8, 9) for end in (1, 2)]
    groups = share_prefixes(sequences)
    assert [group.trunk for group in groups] == [53, 53, 53]


def test_sequences_of_one_length_without_a_prompt_are_read_as_they_stand() -> None:
    stream = random.Random(0)
    layout = lay_out([draw(150, stream) for _ in range(6)], pad=0)
    assert layout.calls == (Block(0, 6, 150),)
    assert layout.order is None


def test_long_sequences_have_calls_of_their_own_and_short_ones_share_them() -> None:
    stream = random.Random(0)
    prompt, short = draw(150, stream), draw(5, stream)
    layout = lay_out(
        [prompt + draw(9, stream), prompt + draw(8, stream), [*short, 1, 2, 3], [*short, 4, 5, 6]],
        pad=0,
    )
    assert [type(call) for call in layout.calls] == [Block, Branch, Gathered]


def test_a_sequence_is_read_at_its_last_token_that_is_not_padding() -> None:
    layout = lay_out([[4, 5, 0, 0], [4, 5, 6], [0]], pad=0)
    assert layout.positions[layout.reads].tolist() == [1, 2, 0]


def test_the_loss_and_gradients_are_those_of_trl_on_the_same_batch(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    trl = pytest.importorskip("trl")
    from worker.models import load_tokenizer, make_tiny

    tokenizer = load_tokenizer(str(make_tiny([f"w{i}" for i in range(90)], tmp_path / "tiny")))
    model = network("Llama", **SMALL)
    rows = pairs()
    trainer = trl.RewardTrainer(
        model,
        args=trl.RewardConfig(
            output_dir=str(tmp_path / "out"),
            report_to="none",
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,
            disable_tqdm=True,
            max_length=None,
            per_device_train_batch_size=len(rows),
            dataloader_pin_memory=False,
        ),
        train_dataset=datasets.Dataset.from_list(
            [{"chosen_ids": chosen, "rejected_ids": rejected} for chosen, rejected in rows]
        ),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    model.config.pad_token_id = 0
    model.zero_grad()
    theirs = trainer.compute_loss(model, batch)
    theirs.backward()
    gradients = [one.grad.clone() for one in model.parameters()]
    _, ours, mine = loss_and_gradients(model, packed_forward, rows)
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(mine, gradients, atol=1e-5, rtol=0)
