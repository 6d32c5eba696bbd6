"""A policy's completions of a file of prompts, written so that a killed run goes on."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from worker.errors import Stopped
from worker.models import MOST_PROMPT_TOKENS, load_policy, load_tokenizer, prompt_room
from worker.policy.files import model_identity, read_prompts
from worker.policy.sample import (
    Prompt,
    Rollouts,
    SamplingRule,
    count_cut,
    rollouts,
    training_rule,
)
from worker.progress import Progress, finite
from worker.provenance import file_hash
from worker.runtime import (
    Runtime,
    autocast,
    refuse_several_processes,
    seed_everything,
    stop_requested,
)

_ATTEMPTS = 4


@dataclass(frozen=True)
class WritingConfig:
    """What decides which completions are written."""

    model: str
    prompts: Path
    out: Path
    n: int = 2  # different completions a prompt
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    max_new_tokens: int = 40
    max_prompt_tokens: int = MOST_PROMPT_TOKENS
    batch_size: int = 128  # completions
    seed: int = 0

    @property
    def chunk(self) -> int:
        """Prompts that are sampled together and written together."""
        return max(1, self.batch_size // self.n)

    @property
    def partial(self) -> Path:
        """Where lines gather until all are there; other settings gather elsewhere."""
        decided = {
            **{key: value for key, value in asdict(self).items() if key not in _PLACES},
            "model": model_identity(self.model),
            "prompts": file_hash(self.prompts),
        }
        name = hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:12]
        return self.out.with_name(f"{self.out.name}.{name}.part")


_PLACES = {"model", "prompts", "out"}


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled answer."""

    text: str
    n_tokens: int
    is_truncated: bool
    log_prob: float  # nats, of the whole completion under the rule


def write_completions(
    config: WritingConfig, runtime: Runtime, progress: Progress
) -> dict[str, int]:
    """Write a line a prompt to `config.out`; how many prompts, completions and left-out ones.

    Each chunk of prompts has its own random stream, so a run that was killed and is started again
    writes what one that was not would have. Raises TrainerError, and Stopped after a chunk when
    the process was asked to end.
    """
    refuse_several_processes(runtime, "Writing completions")
    rows = read_prompts(config.prompts)
    partial = config.partial
    partial.parent.mkdir(parents=True, exist_ok=True)
    n_done, n_written = _keep_whole_chunks(partial, config.chunk, len(rows))
    if n_done:
        progress.note(f"Resumed after prompt {n_done} of {len(rows)}.")
    with partial.open("a", encoding="utf-8") as stream:
        for lines in _chunks(config, rows, n_done, runtime=runtime, progress=progress):
            stream.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            stream.flush()
            n_done += len(lines)
            n_written += sum(len(line["completions"]) for line in lines)
            progress.advance(n_done, len(rows), "Writing completions")
            if stop_requested() and n_done < len(rows):
                raise Stopped(f"Stopped after prompt {n_done} of {len(rows)}; they are saved.")
    partial.replace(config.out)
    for leftover in config.out.parent.glob(f"{config.out.name}.*.part"):
        leftover.unlink()
    n_dropped = len(rows) * config.n - n_written
    return {"n_prompts": len(rows), "n_completions": n_written, "n_dropped": n_dropped}


def _chunks(
    config: WritingConfig,
    rows: Sequence[tuple[str, Prompt]],
    first: int,
    *,
    runtime: Runtime,
    progress: Progress,
) -> Iterator[list[dict[str, Any]]]:
    """The lines of each chunk of prompts from `first` on."""
    tokenizer, policy = load_tokenizer(config.model), load_policy(config.model, runtime).eval()
    rule = training_rule(policy, tokenizer, config.temperature)
    rule = replace(rule, top_k=config.top_k, top_p=config.top_p)
    room = prompt_room([policy], config.max_new_tokens, config.max_prompt_tokens)
    n_cut = count_cut(tokenizer, [prompt for _, prompt in rows], room)
    if n_cut:
        progress.note(
            f"{n_cut} of {len(rows)} prompts are longer than {room} tokens; their beginning is "
            "not read."
        )
    for start in range(first, len(rows), config.chunk):
        seed_everything(config.seed, "sample", start)
        chunk = rows[start : start + config.chunk]
        prompts = [prompt for _, prompt in chunk]
        with autocast(runtime):
            found = sample_distinct(
                policy, tokenizer, prompts, config.n,
                rule=rule, max_new_tokens=config.max_new_tokens, room=room,
            )  # fmt: skip
        yield [
            {"id": name, "prompt": prompt, "completions": [finite(asdict(one)) for one in kept]}
            for (name, prompt), kept in zip(chunk, found, strict=True)
        ]


def _keep_whole_chunks(partial: Path, chunk: int, n_rows: int) -> tuple[int, int]:
    """How many lines and completions are there; what a kill left of a chunk is cut off."""
    text = partial.read_text("utf-8") if partial.is_file() else ""
    *lines, _torn = text.split("\n")
    n = n_rows if len(lines) == n_rows else len(lines) // chunk * chunk
    partial.write_text("".join(f"{line}\n" for line in lines[:n]), "utf-8")
    return n, sum(len(json.loads(line)["completions"]) for line in lines[:n])


def sample_distinct(
    policy: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    n: int,
    *,
    rule: SamplingRule,
    max_new_tokens: int,
    room: int | None = None,
) -> list[list[Completion]]:
    """Up to `n` different, non-empty completions of each prompt, all sampled together.

    A prompt whose completions are empty or equal is sampled again, a few times in all.
    """
    found: list[dict[str, Completion]] = [{} for _ in prompts]
    for _ in range(_ATTEMPTS):
        wanting = [i for i, texts in enumerate(found) for _ in range(n - len(texts))]
        if not wanting:
            break
        chosen = [prompts[i] for i in wanting]
        batch = rollouts(policy, tokenizer, chosen, rule, max_new_tokens, room=room)
        for i, completion in zip(wanting, _completions(batch, tokenizer), strict=True):
            if completion.text:
                found[i].setdefault(completion.text, completion)
    return [list(texts.values()) for texts in found]


def _completions(batch: Rollouts, tokenizer: Any) -> list[Completion]:
    lengths = batch.mask.sum(dim=1).long().tolist()
    totals = batch.logprobs.sum(dim=1).tolist()
    finished = batch.is_finished.tolist()
    return [
        Completion(text, length, not is_finished, round(total, 4))
        for text, length, is_finished, total in zip(
            batch.texts(tokenizer), lengths, finished, totals, strict=True
        )
    ]
