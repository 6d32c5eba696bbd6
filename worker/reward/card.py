"""The short model card that travels with a reward model."""

from pathlib import Path
from typing import Any

_FEW = 100
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

## How well it agrees with people

| held-out comparisons | {n} |
| --- | --- |
| accuracy | {accuracy} |
| a second person agrees with the first | {agreement} |
| “the longer one wins” | {longer_wins} |
| log-loss | {log_loss} |
| expected calibration error | {ece} |
| the same after dividing scores by {temperature} | {ece_scaled} |
| what an honest model of as many comparisons would show | {ece_scaled_by_chance} |
{by_strength}

The second row is how well one person's answer predicts another's. A model that knows what most
people would say can do better, and none does well on answers that are chance.

{losses}## How sure it is, and how often rightly

| it says | it is right | comparisons |
| --- | --- | --- |
{calibration}

## What it likes beside what people like

Correlation of a difference between two completions with the score difference, and with people's
ratings; above a gap of 0.2 the model rewards the feature and not the answer.

| feature | model | people | gap and 95% interval |
| --- | --- | --- | --- |
{features}

## Limits

{limits}

Data {data_hash}, code {code_commit}. All settings are in `manifest.json`; what the model says of
each held-out comparison is in `held_out.jsonl`.

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
            ece_scaled_by_chance=_figure(figures["ece_scaled_by_chance"]),
            temperature=_figure(figures["temperature"]),
            by_strength=_by_strength(figures["by_strength"]),
            losses=_losses(report.get("losses_tried") or {}),
            longer_wins=_figure(figures["longer_wins"]),
            agreement=_agreement(figures["agreement"]),
            calibration=_calibration(figures["calibration"]),
            features=_features(figures["features"]),
            limits="\n".join(f"- {one}" for one in limits_of(report)),
            data_hash=report["data_hash"][:12],
            code_commit=(report["code_commit"] or "unknown")[:12],
        ),
        "utf-8",
    )


def limits_of(report: dict[str, Any]) -> list[str]:
    """What this model must not be trusted with, as sentences that follow from its figures."""
    figures = report["eval"]
    limits = [
        "It learnt from these people's answers to these prompts. On other prompts, languages and "
        "completions it may be wrong and sure of it; ask people again where it is to be used."
    ]
    if figures["n"] < _FEW:
        limits.append(
            f"Only {figures['n']} held-out comparisons judge it, so every figure here is rough."
        )
    accuracy, longer = figures["accuracy"], figures["longer_wins"]
    if accuracy is not None and accuracy - (figures["standard_error"] or 0) <= longer:
        limits.append("It is not shown to be better than preferring the longer completion.")
    liked = [name for name, one in figures["features"].items() if one["is_alarming"]]
    if liked:
        limits.append(f"Its taste differs from people's by more than 0.2 in: {', '.join(liked)}.")
    if report["configuration"].get("quantisation"):
        limits.append(
            "Its base model was kept in four bits (NF4) while adapters learnt; these weights are "
            "the rounded ones with what the adapters learnt, as they were trained and judged."
        )
    if report["n_truncated"]:
        limits.append(f"{report['n_truncated']} conversations lost the beginning of their prompt.")
    if not figures["agreement"]["n_pairs"]:
        limits.append("No pair was answered by two people, so the ceiling is not known.")
    return limits


def _losses(tried: dict[str, dict[str, float]]) -> str:
    """A section about the losses that were tried; nothing where one was asked for by name."""
    if not tried:
        return ""
    rows = "\n".join(
        f"| {name} | {_figure(one['log_loss'])} "
        f"| {_with_error(one['gain'], one['gain_standard_error'])} |"
        for name, one in sorted(tried.items(), key=lambda pair: pair[1]["log_loss"])
    )
    return (
        "## Which loss it learnt by\n\nTried before the training, with heads on what the untrained "
        "network reads, on held-out pairs.\n\n| loss | log-loss | better than plain Bradley-Terry "
        f"by |\n| --- | --- | --- |\n{rows}\n\n"
    )


def _agreement(figures: dict[str, Any]) -> str:
    found = _with_error(figures["share"], figures["standard_error"])
    return f"{found}, over {figures['n_pairs']} pairs" if figures["n_pairs"] else found


def _calibration(bins: list[dict[str, float]]) -> str:
    return "\n".join(
        f"| {_figure(one['confidence'])} | {_figure(one['accuracy'])} | {one['n']} |"
        for one in bins
    )


def _features(figures: dict[str, dict[str, Any]]) -> str:
    return "\n".join(
        f"| {name} | {_figure(one['model'])} | {_figure(one['people'])} | {_figure(one['gap'])} "
        f"({_figure(one['low'])} to {_figure(one['high'])}) |"
        for name, one in figures.items()
        if one["gap"] is not None
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
