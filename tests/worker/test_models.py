from pathlib import Path

import pytest
import torch

from worker.checkpoints import artefact_hash
from worker.errors import ModelNotFound, TrainerError
from worker.models import (
    encode_completion,
    encode_conversation,
    load_policy,
    load_reward_model,
    load_tokenizer,
    make_tiny,
    render_prompt,
)
from worker.reward.score import score
from worker.runtime import start_runtime

WORDS = ["tell me about the garden", "the bees love it .", "i hope this helps ."]
WILD = ["Héllo  wörld\n", "two\nlines  here", "x" * 50, "a <eos> in the text", "\x00\t🙂"]


@pytest.mark.parametrize("texts", [WORDS, WILD], ids=["words", "bytes"])
def test_the_tiny_tokenizer_gives_back_every_text_it_saw(tmp_path: Path, texts: list[str]) -> None:
    tokenizer = load_tokenizer(str(make_tiny(texts, tmp_path / "tiny")))
    for text in texts:
        ids = encode_completion(tokenizer, text)
        assert ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(ids[:-1]) == text
        assert encode_completion(tokenizer, text, is_finished=False) == ids[:-1]
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.padding_side == "left"


@pytest.mark.parametrize("texts", [WORDS, WILD[:3]], ids=["words", "bytes"])
def test_a_prompt_and_its_completion_make_the_conversation_token_by_token(
    tmp_path: Path, texts: list[str]
) -> None:
    tokenizer = load_tokenizer(str(make_tiny(texts, tmp_path / "tiny")))
    prompt = [{"role": "system", "content": texts[2]}, {"role": "user", "content": texts[0]}]
    whole, is_cut = encode_conversation(
        tokenizer, [*prompt, {"role": "assistant", "content": texts[1]}], 512
    )
    assert not is_cut
    assert whole == render_prompt(tokenizer, prompt) + encode_completion(tokenizer, texts[1])


def test_text_that_looks_like_a_control_token_is_not_read_as_one(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(make_tiny(WILD, tmp_path / "tiny")))
    ids = render_prompt(tokenizer, [{"role": "user", "content": "a <eos> b <assistant> c"}])
    assert ids.count(tokenizer.eos_token_id) == 0
    assert ids.count(tokenizer.convert_tokens_to_ids("<assistant>")) == 1


def test_a_conversation_that_the_chat_template_refuses_is_a_sentence(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(make_tiny(WORDS, tmp_path / "tiny")))
    tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(TrainerError, match="refuses a conversation of system: System role"):
        render_prompt(tokenizer, [{"role": "system", "content": "be kind"}])


def test_the_tiny_model_is_small_the_same_for_a_seed_and_built_once(tmp_path: Path) -> None:
    folder = make_tiny(WORDS, tmp_path / "a", seed=4)
    model = load_policy(str(folder), start_runtime(0, "cpu"))
    assert 100_000 < sum(p.numel() for p in model.parameters()) < 130_000
    assert artefact_hash(folder) == artefact_hash(make_tiny(WORDS, tmp_path / "b", seed=4))
    assert artefact_hash(folder) != artefact_hash(make_tiny(WORDS, tmp_path / "c", seed=5))
    before = artefact_hash(folder)
    assert artefact_hash(make_tiny(WILD, folder, seed=9)) == before


def test_a_tiny_model_of_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="texts"):
        make_tiny([" "], tmp_path / "tiny")


@pytest.mark.parametrize("name", ["/no/such/folder", "tiny", "./here", "nobody/nothing", "a b"])
def test_a_base_model_that_does_not_exist_is_refused_with_what_to_give(name: str) -> None:
    with pytest.raises(ModelNotFound, match="Give the path of a folder") as refusal:
        load_policy(name, start_runtime(0, "cpu"))
    assert f"“{name}”" in refusal.value.message


def test_weights_in_a_pickle_are_refused(tmp_path: Path) -> None:
    folder = make_tiny(WORDS, tmp_path / "tiny")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match="safetensors"):
        load_policy(str(folder), start_runtime(0, "cpu"))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model that can be used"):
        load_tokenizer(str(tmp_path))


def test_a_fresh_reward_head_starts_near_zero_and_ignores_padding(tmp_path: Path) -> None:
    name = str(make_tiny(WORDS, tmp_path / "tiny"))
    runtime, tokenizer = start_runtime(0, "cpu"), load_tokenizer(name)
    model = load_reward_model(name, runtime, tokenizer)
    conversations = [
        [{"role": "user", "content": WORDS[0]}, {"role": "assistant", "content": text}]
        for text in ("bees", WORDS[1], f"{WORDS[1]} {WORDS[2]}")
    ]
    together = score(model, tokenizer, conversations, 3, runtime)
    alone = [score(model, tokenizer, [one], 1, runtime)[0] for one in conversations]
    assert together == pytest.approx(alone, abs=1e-6)
    assert len(set(alone)) == 3
    assert max(map(abs, alone)) < 0.5


def test_an_encoder_reads_the_prompt_and_the_completion_between_its_own_marks(
    tmp_path: Path,
) -> None:
    name = str(small_encoder(tmp_path / "bert"))
    runtime, tokenizer = start_runtime(0, "cpu"), load_tokenizer(name)
    conversation = [
        {"role": "user", "content": "tell me about"},
        {"role": "assistant", "content": "bees"},
    ]
    ids, _ = encode_conversation(tokenizer, conversation, 64)
    expected = ["[CLS]", "tell", "me", "about", "[SEP]", "bees", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens(ids) == expected
    cut, is_cut = encode_conversation(tokenizer, conversation, 4)
    assert (tokenizer.convert_ids_to_tokens(cut), is_cut) == (
        ["[CLS]", "[SEP]", "bees", "[SEP]"],
        True,
    )
    model = load_reward_model(name, runtime, tokenizer)
    longer = [*conversation[:1], {"role": "assistant", "content": "bees " * 9}]
    together = score(model, tokenizer, [conversation, longer], 2, runtime)
    assert together[0] == pytest.approx(score(model, tokenizer, [conversation], 1, runtime)[0])


def small_encoder(folder: Path) -> Path:
    """A random BERT of two layers over a handful of words."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tell", "me", "about", "bees"]
    tokenizer = BertTokenizerFast(vocab={word: index for index, word in enumerate(words)})
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
