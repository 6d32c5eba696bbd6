"""Simulated annotators of known taste and known noise, for the demonstration and for tests.

They see what a person sees: the prompt, two texts and an order on the page. Their answers are a
function of the seed, the annotator and the pair, so the order in which pairs arrive changes
nothing.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.demo.language import TRUE_TASTE, Features, Message, appraise, features, prompt_text

EVEN_CUTS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One answer: the rating 1 to 8 in the canonical frame, flags per completion, seconds taken."""

    rating: int
    flags_a: tuple[str, ...]
    flags_b: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Annotator:
    """Who answers. Differences are in units of the true reward, positive where B is better.

    `noise` is the standard deviation of the perceived difference, `position_bias` what the
    completion shown on the left gains, `cuts` the seven ascending thresholds between the eight
    ratings, `lapse` the chance that an answer is given without reading.
    """

    name: str
    noise: float = 0.5
    position_bias: float = 0.0
    cuts: tuple[float, ...] = EVEN_CUTS
    lapse: float = 0.0
    words_per_second: float = 4.0
    taste: dict[str, float] = field(default_factory=lambda: dict(TRUE_TASTE))

    def compare(
        self,
        prompt: str | Sequence[Message],
        text_a: str,
        text_b: str,
        is_a_left: bool,
        seed: int = 0,
    ) -> Judgement:
        """Answer one pair. `is_a_left` is the order shown; the rating is canonical all the same."""
        words = [seed, self.name, prompt_text(prompt), text_a, text_b]
        chance = random.Random("\n".join(map(str, words)))  # noqa: S311 (must be seeded)
        seen_a, seen_b = (_seen(prompt, text) for text in (text_a, text_b))
        left_gain = -self.position_bias if is_a_left else self.position_bias
        gap = appraise(seen_b, self.taste) - appraise(seen_a, self.taste)
        felt = gap + left_gain + chance.gauss(0.0, self.noise)
        is_lapse = chance.random() < self.lapse
        rating = chance.randint(1, 8) if is_lapse else 1 + sum(felt > cut for cut in self.cuts)
        n_words = len(f"{prompt_text(prompt)} {text_a} {text_b}".split())
        reading = 1.0 if is_lapse else n_words / self.words_per_second
        return Judgement(
            rating=rating,
            flags_a=() if is_lapse else _flags(seen_a),
            flags_b=() if is_lapse else _flags(seen_b),
            seconds=round(reading * chance.lognormvariate(0.0, 0.3) + 0.8, 2),
        )


def _seen(prompt: str | Sequence[Message], text: str) -> Features:
    return features(prompt, text, is_finished=text.rstrip().endswith("."))


def _flags(seen: Features) -> tuple[str, ...]:
    raised = {
        "off-topic": seen.off_topic > 0,
        "rude": seen.rude > 0,
        "repeats itself": seen.repeated_sentences > 0,
        "hard to read": seen.broken > 0,
    }
    return tuple(name for name, is_raised in raised.items() if is_raised)


def panel(n: int = 4, n_careless: int = 0) -> list[Annotator]:
    """`n` annotators who differ as people do, the last `n_careless` of them hardly reading."""
    people = [
        Annotator("ada", noise=0.4),
        Annotator("ben", noise=0.6, position_bias=0.2, cuts=tuple(0.8 * c for c in EVEN_CUTS)),
        Annotator("cleo", noise=0.5, cuts=tuple(1.4 * c for c in EVEN_CUTS), words_per_second=3.0),
        Annotator("dev", noise=0.9, lapse=0.03, taste=TRUE_TASTE | {"courtesy": 1.0}),
    ]
    crowd = [
        people[i] if i < len(people) else Annotator(f"annotator-{i + 1}", noise=0.4 + 0.1 * (i % 5))
        for i in range(n - n_careless)
    ]
    careless = [
        Annotator(f"hasty-{i + 1}", noise=2.0, position_bias=1.0, lapse=0.5, words_per_second=20.0)
        for i in range(n_careless)
    ]
    return crowd + careless
