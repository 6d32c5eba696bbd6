"""The built-in base model `tiny`: a transformer of about 110,000 parameters with random weights.

Its tokenizer is made from a project's own texts, so that the whole loop runs on a laptop, offline,
in seconds. It learns small languages; it is no use for real ones.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from worker.checkpoints import verify, write_artefact
from worker.errors import TrainerError
from worker.runtime import quiet_libraries

MOST_WORDS = 600
BYTE_VOCABULARY = 2048
CONTEXT = 512
PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
ROLES = ("<system>", "<user>", "<assistant>")
SPECIAL = (PAD, EOS, UNKNOWN, *ROLES)

# Role tokens touch the text: a prompt with its generation prompt is a prefix of the conversation.
TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{ '<assistant>' + message['content'] + '<eos>' }}"
    "{%- elif message['role'] == 'system' -%}{{ '<system>' + message['content'] }}"
    "{%- else -%}{{ '<user>' + message['content'] }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<assistant>' }}{%- endif -%}"
)


def make_tiny(texts: Iterable[str], folder: Path, *, seed: int = 0) -> Path:
    """Build the tiny base model in `folder` from the texts it will read and write; once.

    A whole model already there is left as it is, whatever the texts, because reward models and
    policies grown from it must keep one vocabulary. Whole words when the texts hold at most 600
    different ones, single-spaced; else byte pairs, which can write any text.
    Raises TrainerError without a text.
    """
    if folder.is_dir() and not verify(folder):
        return folder
    quiet_libraries()
    known = sorted(set(texts))
    if not any(text.strip() for text in known):
        raise TrainerError("The tiny base model is made from a project's texts, and there is none.")

    def write(path: Path) -> None:
        tokenizer = _tokenizer(known)
        tokenizer.save_pretrained(path)
        _network(tokenizer, seed).save_pretrained(path)

    return write_artefact(folder, write, {"kind": "tiny base model", "seed": seed})


def _tokenizer(texts: list[str]) -> Any:
    import transformers

    fast: Any = transformers.PreTrainedTokenizerFast
    words = {word for text in texts for word in text.split()}
    is_single_spaced = all(" ".join(text.split()) == text for text in texts)
    is_words = is_single_spaced and len(words) <= MOST_WORDS and not words & set(SPECIAL)
    tokenizer = fast(
        tokenizer_object=_word_level(sorted(words)) if is_words else _byte_pairs(texts),
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN if is_words else None,
        extra_special_tokens=list(ROLES),
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _word_level(words: list[str]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def _byte_pairs(texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=BYTE_VOCABULARY,
        special_tokens=[token for token in SPECIAL if token != UNKNOWN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _network(tokenizer: Any, seed: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=192,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        # So narrow a network learns in half the steps from weights larger than the usual 0.02.
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)
