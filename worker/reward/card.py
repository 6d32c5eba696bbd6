"""The short model card that travels with a reward model."""

from pathlib import Path
from typing import Any

_CARD = """\
---
library_name: transformers
pipeline_tag: text-classification
tags: [reward-model]
---
# Reward model

A scalar head on `{base_model}`, trained with the {loss} Bradley-Terry loss on {n_train} human
comparisons. A higher score means that people would rather read the completion. Scores are
comparable between completions of one prompt, and say little across prompts.

| held-out comparisons | {n} |
| --- | --- |
| accuracy | {accuracy} |
| log-loss | {log_loss} |
| expected calibration error | {ece} |
| the same after dividing scores by {temperature} | {ece_scaled} |
| “the longer one wins” | {longer_wins} |
{by_strength}

Data {data_hash}, code {code_commit}. All settings are in `manifest.json`.

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
messages = [{{"role": "user", "content": "…"}}, {{"role": "assistant", "content": "…"}}]
inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
score = model(**inputs).logits[0, 0]
```
"""


def write_card(path: Path, report: dict[str, Any]) -> None:
    """Write the card of the reward model that a report describes."""
    figures = report["eval"]
    path.write_text(
        _CARD.format(
            base_model=Path(report["configuration"]["base_model"]).name,
            loss=report["configuration"]["loss"],
            n_train=report["n_train"],
            n=figures["n"],
            accuracy=_with_error(figures["accuracy"], figures["standard_error"]),
            log_loss=_with_error(figures["log_loss"], figures["log_loss_standard_error"]),
            ece=_figure(figures["ece"]),
            ece_scaled=_figure(figures["ece_scaled"]),
            temperature=_figure(figures["temperature"]),
            by_strength=_by_strength(figures["by_strength"]),
            longer_wins=_figure(figures["longer_wins"]),
            data_hash=report["data_hash"][:12],
            code_commit=(report["code_commit"] or "unknown")[:12],
        ),
        "utf-8",
    )


def _by_strength(figures: dict[str, dict[str, Any]]) -> str:
    """Rows of the table: accuracy where people were so sure, 1 (slightly better) to 4 (far)."""
    return "\n".join(
        f"| accuracy at strength {strength}, of {one['n']} "
        f"| {_with_error(one['accuracy'], one['standard_error'])} |"
        for strength, one in figures.items()
    )


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _with_error(value: float | None, error: float | None) -> str:
    return _figure(value) if error is None else f"{_figure(value)} ± {error:.3f} (standard error)"
