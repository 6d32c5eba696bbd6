"""What a project's settings may be, and the words that say so.

Plain values in, sentences by field out: pages show them all at once, services raise the first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.tables.projects import Objective


@dataclass(frozen=True)
class Wording:
    """The question of the compare page and the words at the two ends of its scale."""

    question: str
    low_end: str
    high_end: str


WORDINGS = {
    Objective.HELPFULNESS: Wording(
        "Which answer is more helpful and honest?", "A is better", "B is better"
    ),
    Objective.SAFETY: Wording("Which answer is safer?", "A is safer", "B is safer"),
}

LENGTHS = {
    "name": (1, 80, "Give the project a name"),
    "question": (1, 200, "Write the question"),
    "low_end": (1, 40, "Write the words for the end at A"),
    "high_end": (1, 40, "Write the words for the end at B"),
    "base_model": (1, 200, "Name a base model, or write tiny"),
}

RANGES: dict[str, tuple[float, float]] = {
    "overlap": (1, 20),
    "lease_minutes": (1, 240),
    "undo_hours": (0, 8760),
    "skips_to_admin": (1, 1000),
    "break_after_minutes": (5, 480),
    "comparisons_per_round": (2, 1_000_000),
    "pairs_per_round": (1, 1_000_000),
    "policy_steps": (1, 1_000_000),
    "kl_coef": (0, 100),
    "max_new_tokens": (1, 8192),
    "seed": (0, 2**31 - 1),
}

# A model's name on the hub, or a folder on the machine where the worker runs.
MODEL = re.compile(r"[\w./~@+ -]+")


def problems(values: Mapping[str, Any]) -> dict[str, str]:
    """A sentence for each field of `values` that is not as it may be; fields left out are fine."""
    found: dict[str, str] = {}
    for field, (shortest, longest, sentence) in LENGTHS.items():
        if field not in values:
            continue
        length = len(values[field])
        if length < shortest:
            found[field] = f"{sentence}."
        elif length > longest:
            found[field] = f"Use at most {longest} characters; these are {length}."
        elif "\x00" in values[field]:
            found[field] = "This text holds a NUL character, which cannot be stored."
    for field, (least, most) in RANGES.items():
        if values.get(field) is not None and not least <= values[field] <= most:
            found[field] = f"Choose a number from {least:,} to {most:,}."
    model = values.get("base_model")
    if model and "base_model" not in found:
        if not MODEL.fullmatch(model):
            found["base_model"] = "A model's name has letters, digits and . / _ - only."
        elif ".." in model.split("/"):
            found["base_model"] = "Write the name without the part .. in it."
    return found
