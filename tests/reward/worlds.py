"""Small made-up preferences that a tiny reward model can learn: more fruit is better."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FRUIT = ["apple", "pear", "plum", "cherry"]
STONES = ["granite", "slate", "basalt", "flint"]


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def basket(n_fruit: int, stream: random.Random) -> str:
    words = [stream.choice(FRUIT) for _ in range(n_fruit)]
    words += [stream.choice(STONES) for _ in range(4 - n_fruit)]
    stream.shuffle(words)
    return " ".join(words)


def fruit_preferences(n: int, seed: int = 0) -> list[dict[str, Any]]:
    """`n` comparisons; the rating grows with the difference in fruit, A is the chosen one."""
    stream, lines = random.Random(seed), []
    for index in range(n):
        more, fewer = sorted(stream.sample(range(5), 2), reverse=True)
        lines.append(
            {
                "prompt": [{"role": "user", "content": f"fill basket {index % 25}"}],
                "chosen": [{"role": "assistant", "content": basket(more, stream)}],
                "rejected": [{"role": "assistant", "content": basket(fewer, stream)}],
                "rating": 5 - (more - fewer),
            }
        )
    return lines
