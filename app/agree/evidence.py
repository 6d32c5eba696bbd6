"""Evidence about how a person answers, each kind on its own: position, sameness, speed and gold.

An evidence is a statistic with its sample size and its p or bound, what it says, and what could be
true and stay unseen at that sample size. Nothing here adds kinds up: a person decides, with all of
it in view. Thresholds on many people hold the share of false flags at `RATE`
(`app.agree.exact.discoveries`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from app.agree.answers import Answers, Integers
from app.agree.exact import (
    NORMAL,
    Floats,
    binomial_at_least,
    binomial_two_sided,
    discoveries,
    wilson,
)

RATE = 0.05
# Scales have favourite answers: up to this share of one and the same is nothing to test.
USUAL_MODE = 0.4
ALARMING_MODE = 0.6
ALARMING_RUN = 1e-4
# 600 words a minute: beyond skimming (Rayner et al. 2016 put its limit below).
SECONDS_A_WORD = 0.1
FEWEST_SECONDS = 2.0
ALARMING_FAST = 0.5
GOLD_BOUND = 0.75
FEWEST_GOLD = 5


class Kind(StrEnum):
    AGREEMENT = "agreement"
    POSITION = "position"
    SAMENESS = "sameness"
    SPEED = "speed"
    GOLD = "gold"
    DRIFT = "drift"


@dataclass(frozen=True)
class Evidence:
    """`statistic` and `p` or `bound` are None where there is too little to say; `n` are answers."""

    kind: Kind
    person: int
    n: int
    statistic: float | None
    p: float | None
    bound: float | None
    is_flagged: bool
    says: str
    not_visible: str


def position(answers: Answers) -> list[Evidence]:
    """How often each person chose the left side; the order was drawn, so 1/2 if it plays no part.

    Exact two-sided binomial test on the displayed side; one evidence a person.
    """
    n = answers.n_by_person
    is_left = (answers.shown < answers.n_choices / 2 - 0.5).astype(np.float64)
    left = np.bincount(answers.people, is_left, answers.n_people)
    p = [binomial_two_sided(int(k), int(m)) if m else None for k, m in zip(left, n, strict=True)]
    flagged = discoveries(p, RATE)
    return [
        Evidence(
            Kind.POSITION,
            person,
            m := int(n[person]),
            float(left[person]) / m if m else None,
            p[person],
            None,
            bool(flagged[person]),
            f"Chose the left side in {left[person]:.0f} of {m} answers.",
            _unseen_position(m, answers.n_people),
        )
        for person in range(answers.n_people)
    ]


def _unseen_position(n: int, n_people: int) -> str:
    if n == 0:
        return "There is no answer yet."
    reach = NORMAL.inv_cdf(1 - RATE / max(n_people, 1) / 2) + NORMAL.inv_cdf(0.8)
    share = 0.5 + reach * 0.5 / n**0.5
    if share >= 1:
        return f"{n} answers are too few to see any habit of one side."
    return f"At {n} answers a side chosen less than {share:.0%} of the time mostly goes unseen."


def sameness(answers: Answers) -> list[Evidence]:
    """How often each person gave their commonest displayed rating, and their longest run of one.

    The share is tested against `USUAL_MODE`, one-sided; a run is alarming where the person's own
    shares would hardly ever bring one so long (`run_chance`). `bound` is that chance.
    """
    given = [answers.shown[answers.people == person] for person in range(answers.n_people)]
    shares, chances = [_mode_share(one) for one in given], [run_chance(one) for one in given]
    p = [
        None if share is None else binomial_at_least(round(share * len(one)), len(one), USUAL_MODE)
        for share, one in zip(shares, given, strict=True)
    ]
    found = discoveries(p, RATE / 5)
    return [
        Evidence(
            Kind.SAMENESS,
            person,
            len(one),
            shares[person],
            p[person],
            chances[person],
            bool(found[person] and (shares[person] or 0) >= ALARMING_MODE)
            or chances[person] < ALARMING_RUN,
            _says_sameness(one),
            _unseen_sameness(len(one), answers.n_people),
        )
        for person, one in enumerate(given)
    ]


def _mode_share(given: Integers) -> float | None:
    return float(np.bincount(given).max() / len(given)) if len(given) else None


def longest_run(given: Integers) -> int:
    """The most equal answers in a row."""
    if len(given) == 0:
        return 0
    changes = np.flatnonzero(np.diff(given)) + 1
    return int(np.diff(np.concatenate([[0], changes, [len(given)]])).max())


def run_chance(given: Integers) -> float:
    """At most how likely a run as long as the longest is, if answers came in any order.

    The expected number of such runs (Markov's inequality): value v with share p starts one of
    length L at the first place, or after another value, with p^L (1 + (n - L)(1 - p)).
    """
    n, length = len(given), longest_run(given)
    if n == 0:
        return 1.0
    shares = np.bincount(given) / n
    return min(1.0, float((shares**length * (1 + (n - length) * (1 - shares))).sum()))


def _says_sameness(given: Integers) -> str:
    if len(given) == 0:
        return "Gave no answer yet."
    mode = int(np.bincount(given).max())
    return (
        f"Gave one and the same rating in {mode} of {len(given)} answers, "
        f"at most {longest_run(given)} in a row."
    )


def _unseen_sameness(n: int, n_people: int) -> str:
    for k in range(int(np.ceil(ALARMING_MODE * n)), n + 1):
        if n and binomial_at_least(k, n, USUAL_MODE) <= RATE / 5 / max(n_people, 1):
            return (
                f"At {n} answers less than {k} of one kind is not flagged; "
                "alternating between two ratings is never seen here."
            )
    return f"{n} answers are too few to see anything but a single rating throughout."


def speed(answers: Answers, seconds: Floats, words: Floats) -> list[Evidence]:
    """How often each person answered faster than the texts can be read.

    `seconds` and `words` [M]: active time, and words of prompt and completions. Too fast is under
    2 s or under 0.1 s a word; flagged where Wilson's lower bound says more than half are. A text
    seen before reads faster, so several pairs of one prompt count too harshly: look at them.
    """
    is_fast = seconds < np.maximum(FEWEST_SECONDS, SECONDS_A_WORD * words)
    fast = np.bincount(answers.people, is_fast.astype(np.float64), answers.n_people)
    return [
        Evidence(
            Kind.SPEED,
            person,
            int(n),
            float(fast[person]) / int(n) if n else None,
            None,
            low := wilson(fast[person], int(n))[0],
            low > ALARMING_FAST,
            f"Answered {fast[person]:.0f} of {n} pairs faster than 600 words a minute.",
            "Someone who leaves the page open and does not read looks slow here. "
            + _least_seen(int(n), lambda k, m: wilson(k, m)[0] > ALARMING_FAST, "fast answers"),
        )
        for person, n in enumerate(answers.n_by_person)
    ]


def _least_seen(n: int, is_seen: Callable[[int, int], bool], what: str) -> str:
    for k in range(n + 1):
        if is_seen(k, n):
            return f"At {n} answers it takes {k} {what} to be flagged."
    return f"{n} answers are too few to be flagged at all."


def gold(right: Sequence[int], asked: Sequence[int]) -> list[Evidence]:
    """Gold items within the accepted range, `right` [J] of `asked` [J].

    Flagged where Wilson's upper bound lies below three in four; weak, as its sentence says.
    """
    return [_gold(person, k, n) for person, (k, n) in enumerate(zip(right, asked, strict=True))]


def _gold(person: int, k: int, n: int) -> Evidence:
    high = wilson(k, n)[1]
    return Evidence(
        Kind.GOLD,
        person,
        n,
        k / n if n else None,
        None,
        high,
        n >= FEWEST_GOLD and high < GOLD_BOUND,
        f"Answered {k} of {n} gold items within the accepted range.",
        _unseen_gold(n),
    )


def _unseen_gold(n: int) -> str:
    caught = [k for k in range(n + 1) if wilson(k, n)[1] < GOLD_BOUND]
    if n < FEWEST_GOLD or not caught:
        return f"{n} gold items are too few to flag anyone."
    for percent in range(74, 0, -1):
        if 1 - binomial_at_least(caught[-1] + 1, n, percent / 100) >= 0.8:
            return (
                f"At {n} gold items someone right more than {percent}% of the time mostly goes "
                "unseen."
            )
    return f"At {n} gold items mostly even guessing goes unseen."
