"""A stranger's program: load an exported file and train TRL's trainers on it as it is."""

import sys
from pathlib import Path

from datasets import load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} {{ message['content'] }} {{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}assistant {% endif %}"
)


def make_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordLevelTrainer(special_tokens=["<unk>", "<pad>", "</s>"])
    tokenizer.train_from_iterator(words, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="</s>",
        chat_template=TEMPLATE,
    )


def main(folder: Path) -> None:
    files = {"train": str(folder / "train.jsonl"), "eval": str(folder / "eval.jsonl")}
    data = load_dataset("json", data_files=files, cache_dir=str(folder / "cache"))
    print("columns", *data["train"].column_names)
    assert data["train"].features == data["eval"].features
    words = [message["content"] for row in data["train"] for message in row["prompt"]]
    tokenizer = make_tokenizer([*words, "system user assistant good bad 1 2 3"])
    size = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    common = {
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    for trainer, config, network in (
        (
            RewardTrainer,
            RewardConfig,
            LlamaForSequenceClassification(LlamaConfig(**size, num_labels=1)),
        ),
        (DPOTrainer, DPOConfig, LlamaForCausalLM(LlamaConfig(**size))),
    ):
        network.save_pretrained(folder / network.__class__.__name__)
        done = trainer(
            model=str(folder / network.__class__.__name__),
            args=config(output_dir=str(folder / trainer.__name__), **common),
            train_dataset=data["train"],
            eval_dataset=data["eval"],
            processing_class=tokenizer,
        ).train()
        print(trainer.__name__, "steps", done.global_step)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
