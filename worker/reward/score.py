"""Scores of conversations, as reward models give them and everyone else reads them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worker.checkpoints import read_manifest
from worker.errors import TrainerError
from worker.models import Message, encode_conversation, longest_input
from worker.reward.forward import one_pass
from worker.reward.scorer import Scorer
from worker.runtime import Runtime

USUAL_LENGTH = 1024  # tokens, where a model does not say what it was trained with


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
    """The scores of U token lists, [U] on the CPU; equal ones, and equal beginnings, read once."""
    scores = torch.zeros(len(sequences))
    for places, read in _read(model, sequences, batch_size, runtime):
        found = read.cpu()
        scores[places] = found if found.dim() == 1 else found[:, 0]  # a mean beside a variance
    return scores


def read_features(
    model: Any, sequences: Sequence[list[int]], batch_size: int, runtime: Runtime
) -> Tensor:
    """What the head reads of U token lists, [U, H] on the CPU.

    Raises TrainerError for a network whose last layer with one output cannot be found.
    """
    heads = [
        one for one in model.modules() if isinstance(one, torch.nn.Linear) and one.out_features == 1
    ]
    if not heads:
        raise TrainerError("This network has no linear layer with one output to read before.")
    seen: list[Tensor] = []
    hook = heads[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    rows: list[Tensor] = []
    order: list[int] = []
    try:
        for places, _ in _read(model, sequences, batch_size, runtime, has_plain_passes=True):
            read = seen.pop().float().cpu()  # [b, H], or [b, L, H]
            seen.clear()
            last = torch.tensor([len(sequences[one]) - 1 for one in places])
            rows.append(read if read.dim() == 2 else read[torch.arange(len(places)), last])
            order += places
    finally:
        hook.remove()
    return torch.cat(rows)[torch.tensor(order).argsort()].clone()  # [U, H]


def _read(
    model: Any,
    sequences: Sequence[list[int]],
    batch_size: int,
    runtime: Runtime,
    *,
    has_plain_passes: bool = False,
) -> Iterator[tuple[list[int], Tensor]]:
    """Places of `sequences` and their scores, a batch at a time, without gradients or dropout.

    `has_plain_passes`: a batch is one pass even where it is padded.
    """
    was_training = model.training
    model.eval()
    scorer = Scorer(model, runtime)
    order = scorer.reading_order(sequences)
    try:
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            chunk = [sequences[one] for one in places]
            with torch.inference_mode():
                is_padded = has_plain_passes and not scorer.is_packed
                yield places, one_pass(model, chunk, runtime) if is_padded else scorer(chunk)
    finally:
        model.train(was_training)


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
