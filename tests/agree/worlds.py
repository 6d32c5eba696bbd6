"""Small answers written by hand, for tests of what is made of them."""

import numpy as np

from app.agree.answers import Answers


def answers_of(
    rows: list[tuple[int, int, int]], *, flipped: list[bool] | None = None, n_choices: int = 8
) -> Answers:
    """Rows of (pair, person, rating), ratings from 1 as people see them in the canonical frame."""
    pairs, people, ratings = (
        np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)
    )
    is_flipped = np.array(flipped if flipped is not None else [False] * len(rows))
    n = int(pairs.max()) + 1, int(people.max()) + 1
    return Answers(pairs, people, ratings - 1, is_flipped, *n, n_choices)


def one_person(shown: list[int]) -> Answers:
    """One person's displayed ratings of as many pairs."""
    return answers_of([(pair, 0, rating) for pair, rating in enumerate(shown)])
