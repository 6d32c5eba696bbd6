"""A tiny untrained policy, a tiny reward model and prompts, for tests that train for real."""

import json
from dataclasses import replace
from pathlib import Path

from worker.checkpoints import write_artefact
from worker.demo.language import all_prompts, demonstrations
from worker.models import load_reward_model, load_tokenizer, make_tiny
from worker.policy.config import PolicyConfig
from worker.progress import SilentProgress
from worker.runtime import Runtime, start_runtime


def runtime() -> Runtime:
    return start_runtime(0, device="cpu", threads=1)


def write_lines(path: Path, rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def world(folder: Path, **settings: object) -> PolicyConfig:
    """A configuration of a run that takes a second or two."""
    rows = list(demonstrations(200, seed=1))
    texts = [text for row in rows for text in (row["prompt"][0]["content"], row["completion"])]
    base = make_tiny(texts, folder / "tiny", seed=1)
    tokenizer = load_tokenizer(str(base))

    def write(path: Path) -> None:
        load_reward_model(str(base), runtime(), tokenizer).save_pretrained(path)
        tokenizer.save_pretrained(path)

    if not (folder / "reward").exists():
        write_artefact(folder / "reward", write, {"kind": "reward model"})
    config = PolicyConfig(
        policy=str(base),
        reference=str(base),
        reward_model=str(folder / "reward"),
        prompts=write_lines(folder / "prompts.jsonl", ({"prompt": p} for p in all_prompts())),
        out=folder / "out",
        steps=3,
        batch_size=16,
        minibatches=2,
        epochs=2,
        max_new_tokens=8,
        evaluate_every=2,
        n_evaluation_prompts=6,
        checkpoint_every=1,
    )
    return replace(config, **settings)


def silent() -> SilentProgress:
    return SilentProgress()
