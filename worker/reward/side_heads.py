"""More heads on a trained reward model's trunk: another objective, and attributes.

They are linear in what the model's own head reads, are fitted when the trunk is done and change
nothing of it: one forward gives all. A safety head is a Bradley-Terry model of what a flag says of
pairs; attribute heads are regressions on people's ratings of single completions, as the five of
HelpSteer2 (Wang et al., arXiv 2406.08673).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from worker.models import encode_conversation
from worker.progress import Progress
from worker.reward.choose import fit_head
from worker.reward.data import Preference
from worker.reward.marks import rows_by_flag
from worker.reward.score import read_features
from worker.runtime import Runtime

FILE = "side_heads.safetensors"
SAFETY = "safety"
FEWEST, MOST_ROWS = 20, 2_000
_FOLDS = 4
_PRECISIONS = (0.1, 1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class SideHeads:
    """`weights` [A, H] and `biases` [A] by name; safety's output is log-odds."""

    names: tuple[str, ...]
    weights: Tensor
    biases: Tensor

    def read(self, name: str, features: Tensor) -> Tensor:
        """What one head says, [N, H] → [N]. Raises KeyError for a name that is not there."""
        if name not in self.names:
            raise KeyError(name)
        place = self.names.index(name)
        return features.float() @ self.weights[place] + self.biases[place]

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        tensors = {"weights": self.weights.contiguous(), "biases": self.biases.contiguous()}
        save_file(tensors, folder / FILE, metadata={"names": json.dumps(self.names)})

    @classmethod
    def load(cls, folder: Path) -> "SideHeads | None":
        """What `save` wrote; None for a reward model without such heads."""
        from safetensors import safe_open

        if not (folder / FILE).is_file():
            return None
        with safe_open(folder / FILE, framework="pt") as opened:
            names = tuple(json.loads(opened.metadata()["names"]))
            return cls(names, opened.get_tensor("weights"), opened.get_tensor("biases"))


class Trunk:
    """What a trained network's head reads of conversations."""

    def __init__(
        self, model: Any, tokenizer: Any, max_length: int, batch_size: int, runtime: Runtime
    ) -> None:
        self.model, self.tokenizer, self.runtime = model, tokenizer, runtime
        self.max_length, self.batch_size = max_length, batch_size

    def read(self, conversations: Sequence[Any]) -> Tensor:
        """[N, H]."""
        ids = [
            encode_conversation(self.tokenizer, one, self.max_length)[0] for one in conversations
        ]
        return read_features(self.model, ids, self.batch_size, self.runtime)

    def pairs(self, rows: Sequence[Preference]) -> Tensor:
        """Features of the chosen less those of the rejected completion, [N, H]."""
        sides = [row.prompt + row.chosen for row in rows]
        sides += [row.prompt + row.rejected for row in rows]
        chosen, rejected = self.read(sides).chunk(2)
        return chosen - rejected


def fit_side_heads(
    trunk: Trunk,
    train: Sequence[Preference],
    held_out: Sequence[Preference],
    *,
    safety_flag: str | None,
    attributes: Sequence[str],
    progress: Progress,
) -> tuple[SideHeads | None, dict[str, Any]]:
    """The heads that were asked for and that enough answers speak of, and how each does held out.

    At most 2,000 comparisons are read for each.
    """
    names, weights, biases = [], [], []
    report: dict[str, Any] = {}
    if safety_flag:
        rows = rows_by_flag(train, safety_flag)[:MOST_ROWS]
        if len(rows) < FEWEST:
            progress.note(_too_few(SAFETY, len(rows)))
        else:
            w = _preference_head(trunk.pairs(rows).double())
            names.append(SAFETY)
            weights.append(w.float())
            biases.append(0.0)
            judged = rows_by_flag(held_out, safety_flag)[:MOST_ROWS]
            report[SAFETY] = {"n_train": len(rows), **_judge_safety(trunk, judged, w)}
    for name in attributes:
        conversations, values = _marked(train, name)
        if len(values) < FEWEST:
            progress.note(_too_few(name, len(values)))
            continue
        w, bias = _regression(trunk.read(conversations).double(), torch.tensor(values).double())
        names.append(name)
        weights.append(w.float())
        biases.append(bias)
        judged_by = _judge_attribute(trunk, _marked(held_out, name), w, bias)
        report[name] = {"n_train": len(values), **judged_by}
    if not names:
        return None, report
    return SideHeads(tuple(names), torch.stack(weights), torch.tensor(biases)), report


def _too_few(name: str, n: int) -> str:
    return f"No head for {name}: {n} answers speak of it, and {FEWEST} are needed."


def _preference_head(x: Tensor) -> Tensor:
    """A head [H] whose log-odds of the chosen side are x @ w, for x [N, H] in float64."""

    def fit(rows: Tensor, precision: float) -> Tensor:
        return fit_head(rows, lambda d: softplus(-d).sum(), precision)

    unit = x.square().mean(dim=0).sqrt().clamp(min=1e-6)  # [H]
    scaled, fold = x / unit, torch.arange(len(x)) % _FOLDS

    def loss(precision: float) -> float:
        return sum(
            float(softplus(-(scaled[fold == one] @ fit(scaled[fold != one], precision))).sum())
            for one in range(_FOLDS)
        )

    return fit(scaled, min(_PRECISIONS, key=loss)) / unit


def _regression(x: Tensor, y: Tensor) -> tuple[Tensor, float]:
    """Ridge regression with a free level: weights [H] and bias, for x [N, H] and y [N]."""
    middle, unit = x.mean(dim=0), x.std(dim=0).clamp(min=1e-6)
    scaled, level = (x - middle) / unit, float(y.mean())
    fold = torch.arange(len(x)) % _FOLDS

    def fit(rows: Tensor, values: Tensor, precision: float) -> Tensor:
        eye = torch.eye(rows.shape[1], dtype=rows.dtype)
        found: Tensor = torch.linalg.solve(rows.T @ rows + precision * eye, rows.T @ values)
        return found

    def loss(precision: float) -> float:
        return sum(
            float(
                (scaled[fold == one] @ fit(scaled[fold != one], (y - level)[fold != one], precision)
                 - (y - level)[fold == one]).square().sum()
            )
            for one in range(_FOLDS)
        )  # fmt: skip

    w = fit(scaled, y - level, min(_PRECISIONS, key=loss)) / unit
    return w, level - float(middle @ w)


def _marked(rows: Sequence[Preference], name: str) -> tuple[list[Any], list[float]]:
    """Conversations of which an attribute is known, and its values."""
    conversations, values = [], []
    for row in rows[:MOST_ROWS]:
        for side, marks in zip((row.chosen, row.rejected), row.marks, strict=True):
            value = dict(marks).get(name)
            if value is not None:
                conversations.append(row.prompt + side)
                values.append(value)
    return conversations, values


def _judge_safety(trunk: Trunk, rows: Sequence[Preference], w: Tensor) -> dict[str, Any]:
    if not rows:
        return {"n": 0, "accuracy": None, "log_loss": None}
    difference = trunk.pairs(rows).double() @ w  # [N]
    return {
        "n": len(rows),
        "accuracy": float((difference > 0).double().mean()),
        "log_loss": float(softplus(-difference).mean()),
    }


def _judge_attribute(
    trunk: Trunk, marked: tuple[list[Any], list[float]], w: Tensor, bias: float
) -> dict[str, Any]:
    conversations, values = marked
    if len(set(values)) < 2:
        return {"n": len(values), "correlation": None}
    said = trunk.read(conversations).double() @ w + bias  # [N]
    both = torch.stack([said, torch.tensor(values).double()])
    return {"n": len(values), "correlation": float(torch.corrcoef(both)[0, 1])}
