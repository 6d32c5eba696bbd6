"""Scores of conversations, as reward models give them and everyone else reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.checkpoints import read_manifest
from worker.errors import TrainerError
from worker.models import Message, encode_conversation, longest_input
from worker.runtime import Runtime, autocast

USUAL_LENGTH = 1024  # tokens, where a model does not say what it was trained with
_FEWEST_TOGETHER = 8
_WORTH_SPARING = 0.2


def score(
    model: Any,
    tokenizer: Any,
    conversations: Sequence[Sequence[Message]],
    batch_size: int,
    runtime: Runtime,
    *,
    max_length: int = USUAL_LENGTH,
) -> list[float]:
    """The score of each conversation (prompt and completion), in the order given.

    Longer ones than `max_length` tokens, or than the model can read, lose their beginning.
    """
    limit = longest_input(model, max_length)
    sequences = [encode_conversation(tokenizer, one, limit)[0] for one in conversations]
    return score_sequences(model, sequences, batch_size, runtime).tolist()


def trained_length(folder: str) -> int:
    """The tokens of a conversation that a reward model was trained to read, by its manifest."""
    try:
        return int(read_manifest(Path(folder).expanduser())["configuration"]["max_length"])
    except (TrainerError, KeyError, TypeError, ValueError):
        return USUAL_LENGTH


def score_sequences(
    model: Any, sequences: Sequence[list[int]], batch_size: int, runtime: Runtime
) -> Tensor:
    """The scores of U token lists, [U] on the CPU; sorted by length inside, to spare padding."""
    was_training = model.training
    model.eval()
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    scores = torch.zeros(len(sequences))
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            found = forward(model, [sequences[index] for index in chunk], runtime).cpu()
            scores[chunk] = found if found.dim() == 1 else found[:, 0]  # a mean beside a variance
    model.train(was_training)
    return scores


def read_features(
    model: Any, sequences: Sequence[list[int]], batch_size: int, runtime: Runtime
) -> Tensor:
    """What the head reads of U token lists, [U, H] on the CPU; sorted by length inside.

    Raises TrainerError for a network whose last layer with one output cannot be found.
    """
    heads = [
        one for one in model.modules() if isinstance(one, torch.nn.Linear) and one.out_features == 1
    ]
    if not heads:
        raise TrainerError("This network has no linear layer with one output to read before.")
    seen: list[Tensor] = []
    hook = heads[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    rows: list[Tensor] = []
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                chunk = [sequences[index] for index in order[start : start + batch_size]]
                _one_pass(model, chunk, runtime)
                read = seen.pop().float().cpu()  # [b, H], or [b, L, H]
                last = torch.tensor([len(one) - 1 for one in chunk])
                rows.append(read if read.dim() == 2 else read[torch.arange(len(chunk)), last])
    finally:
        hook.remove()
        model.train(was_training)
    return torch.cat(rows)[torch.tensor(order).argsort()].clone()  # [U, H]


def forward(model: Any, sequences: Sequence[list[int]], runtime: Runtime) -> Tensor:
    """The network's scores of U token lists, [U] in float32, with gradients where they are on.

    Runs of like length are passed together where that spares enough padding.
    """
    order = sorted(range(len(sequences)), key=lambda index: len(sequences[index]))
    ordered = [sequences[index] for index in order]
    scores = torch.cat([_one_pass(model, chunk, runtime) for chunk in _like_lengths(ordered)])
    back = torch.tensor(order).argsort().to(scores.device)
    return scores[back]  # [U], sorted by length → [U], as given


def _like_lengths(ordered: Sequence[list[int]]) -> list[Sequence[list[int]]]:
    """Halve sequences sorted by length as long as that spares a fifth of the padded tokens."""
    middle = len(ordered) // 2
    if middle < _FEWEST_TOGETHER:
        return [ordered]
    longest, shorter = len(ordered[-1]), len(ordered[middle - 1])
    if (longest - shorter) * middle < _WORTH_SPARING * longest * len(ordered):
        return [ordered]
    return _like_lengths(ordered[:middle]) + _like_lengths(ordered[middle:])


def _one_pass(model: Any, sequences: Sequence[list[int]], runtime: Runtime) -> Tensor:
    # Padding goes to the right, because absolute positions of encoders count from the left.
    longest = max(map(len, sequences))
    config = getattr(model, "module", model).config
    ids = torch.full((len(sequences), longest), config.pad_token_id)  # [U, L]
    mask = torch.zeros_like(ids)  # [U, L]
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    with autocast(runtime):
        logits = model(
            input_ids=ids.to(runtime.device), attention_mask=mask.to(runtime.device)
        ).logits  # [U, 1]
    scores: Tensor = logits.float().squeeze(-1)  # [U, 1] → [U]
    return scores


def calibrate_temperature(differences: Tensor) -> float:
    """The temperature T that makes σ(difference / T) most honest on held-out pairs.

    differences: [N], score of the chosen minus score of the rejected completion. Minimises the
    mean log-loss over 1/T by Newton's method, in which it is convex (Guo et al., arXiv
    1706.04599, §4.2); held between 0.05 and 20, which separable pairs would leave.
    """
    values = differences.double()
    inverse = 1.0
    for _ in range(50):
        p = torch.sigmoid(values * inverse)
        slope = float(((p - 1) * values).mean())
        curvature = float((p * (1 - p) * values.square()).mean()) + 1e-9
        inverse = min(20.0, max(0.05, inverse - max(-1.0, min(1.0, slope / curvature))))
    return 1.0 / inverse
