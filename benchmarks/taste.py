"""A taste that is known: each word of a completion is worth something, and people answer by it."""

import json
import math
import random
from collections.abc import Iterator

WORTH = {
    "honest": 0.8, "clear": 0.6, "short": 0.3, "warm": 0.4, "exact": 0.7, "kind": 0.5,
    "vague": -0.6, "rude": -0.9, "long": -0.3, "wrong": -0.8, "dull": -0.4, "odd": -0.2,
    "river": 0.0, "stone": 0.0, "window": 0.0, "paper": 0.0, "garden": 0.0, "lamp": 0.0,
}  # fmt: skip
LENGTH = 8


def write(stream: random.Random) -> str:
    """A completion of eight words."""
    return " ".join(stream.choices(list(WORTH), k=LENGTH))


def worth_of(completion: str) -> float:
    """Its true reward: differences of it are log-odds of people's choice."""
    return sum(WORTH[word] for word in completion.split())


def rate(gap: float, stream: random.Random) -> int:
    """A rating, 1 (A far better) to 8, of a pair whose B is worth `gap` more."""
    is_b = stream.random() < 1 / (1 + math.exp(-gap))
    strength = min(4, 1 + int(abs(gap) + stream.random()))
    return 4 + strength if is_b else 5 - strength


def preferences(n: int, seed: int) -> Iterator[str]:
    """Lines of a preference file: one answer each to n pairs of 50 prompts."""
    stream = random.Random(seed)
    for index in range(n):
        a, b = write(stream), write(stream)
        rating = rate(worth_of(b) - worth_of(a), stream)
        chosen, rejected = (a, b) if rating <= 4 else (b, a)
        line = {
            "prompt": f"question {seed} {index % 50}",
            "chosen": chosen,
            "rejected": rejected,
            "rating": rating,
        }
        yield json.dumps(line) + "\n"
