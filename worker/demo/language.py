"""A small language that a tiny transformer learns in seconds and whose true reward is known.

A person asks about one of six places; a good answer names a few different things that belong
there, in whole sentences, politely, and stops. The reward saturates and punishes excess, so that a
reward model learnt from comparisons can be over-optimised: more is better only up to a point.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

Message = dict[str, str]

PLACES: dict[str, tuple[str, ...]] = {
    "harbour": ("boats", "gulls", "nets", "ropes", "sailors", "anchors"),
    "orchard": ("apples", "pears", "ladders", "baskets", "blossoms", "wasps"),
    "bakery": ("loaves", "ovens", "buns", "trays", "cakes", "aprons"),
    "station": ("trains", "tickets", "porters", "clocks", "carriages", "signals"),
    "meadow": ("horses", "daisies", "crickets", "larks", "haystacks", "fences"),
    "museum": ("statues", "paintings", "fossils", "coins", "masks", "guides"),
}
ADJECTIVES = ("quiet", "old", "bright", "small", "busy", "lovely")
# Each prompt ends on its place, so that one step of attention finds it.
QUESTIONS = (
    "{when}, tell me about the {place}.",
    "{when}, list what is at the {place}.",
    "{when}, describe the {place}.",
    "{when}, show me around the {place}.",
    "{when}, say something about the {place}.",
    "{when}, I want to visit the {place}.",
)
TIMES = (
    "Now", "Today", "At night", "At noon", "In spring", "In summer", "In autumn", "In winter",
    "After rain", "On sunday", "Before lunch", "This week",
)  # fmt: skip
COURTESY = "I hope this helps."
RUDE = ("That is a silly question.", "Go away.")
# No pattern ends on a noun, so that the full stop never sticks to one: the tiny tokenizer splits at
# spaces, and "boats" and "boats." would be two words.
PATTERNS = (
    "The {noun} {where} are {adjective}.",
    "See the {noun} and {noun} {where}.",
    "Many love the {noun} {where}.",
    "It is {adjective}.",
)
HERE, ELSEWHERE, AGAIN = "here", "elsewhere", "again"
ADMITTED = 0.9  # share of sentences with a stray or repeated noun whose speaker says so
WORDS_FREE = 30
PLACE_OF = {noun: place for place, nouns in PLACES.items() for noun in nouns}


@dataclass(frozen=True, slots=True)
class Features:
    """What a reader can count in one completion. Every field is a number of occurrences."""

    named: int  # different things that belong to the place, at most four
    courtesy: int  # one if the courteous sentence is there
    off_topic: int  # things of another place
    repeated_nouns: int
    repeated_sentences: int
    broken: int  # sentences outside the grammar
    rude: int
    excess_words: int  # words beyond WORDS_FREE
    unfinished: int  # one if the completion was cut off


TRUE_TASTE: dict[str, float] = {
    "named": 1.0,
    "courtesy": 0.5,
    "off_topic": -0.5,
    "repeated_nouns": -0.5,
    "repeated_sentences": -1.0,
    "broken": -1.0,
    "rude": -1.5,
    "excess_words": -0.15,
    "unfinished": -1.0,
}


def _grammar() -> re.Pattern[str]:
    nouns, adjectives = "|".join(PLACE_OF), "|".join(ADJECTIVES)
    open_patterns = [
        re.escape(pattern.lower().rstrip("."))
        .replace(r"\{noun\}", f"(?:{nouns})")
        .replace(r"\{adjective\}", f"(?:{adjectives})")
        .replace(r"\{where\}", f"(?:{HERE}|{ELSEWHERE}|{AGAIN})")
        for pattern in PATTERNS
    ]
    fixed = [re.escape(text.lower().rstrip(".")) for text in (COURTESY, *RUDE)]
    return re.compile("|".join(open_patterns + fixed))


_GRAMMAR = _grammar()
_RUDE = {text.lower().rstrip(".") for text in RUDE}


def prompt_text(prompt: str | Sequence[Message]) -> str:
    """The last thing the person said, whether the prompt is a string or a list of messages."""
    if isinstance(prompt, str):
        return prompt
    return str(prompt[-1]["content"])


def place_of(prompt: str | Sequence[Message]) -> str:
    """The place a prompt asks about. Raises ValueError if it names none."""
    words: list[str] = re.findall(r"[a-z]+", prompt_text(prompt).lower())
    for word in words:
        if word in PLACES:
            return word
    raise ValueError(f"The prompt names no place of the demonstration language: {words}")


def features(prompt: str | Sequence[Message], completion: str, is_finished: bool) -> Features:
    """Count what the reward and the annotators look at."""
    place = place_of(prompt)
    words = re.findall(r"[a-z]+", completion.lower())
    parts = re.split(r"[.?]", completion.lower())
    sentences = [" ".join(part.split()) for part in parts if part.strip()]
    nouns = [word for word in words if word in PLACE_OF]
    here = [noun for noun in nouns if PLACE_OF[noun] == place]
    rude = sum(sentence in _RUDE for sentence in sentences)
    return Features(
        named=min(len(set(here)), 4),
        courtesy=int(COURTESY.lower().rstrip(".") in sentences),
        off_topic=len(nouns) - len(here),
        repeated_nouns=len(here) - len(set(here)),
        repeated_sentences=len(sentences) - len(set(sentences)),
        broken=sum(not _GRAMMAR.fullmatch(sentence) for sentence in sentences),
        rude=rude,
        excess_words=max(0, len(words) - WORDS_FREE),
        unfinished=int(not is_finished),
    )


def appraise(found: Features, taste: dict[str, float]) -> float:
    """The weighted sum of the features under a taste."""
    return float(sum(taste[name] * count for name, count in asdict(found).items()))


def true_reward(
    prompt: str | Sequence[Message], completion: str, is_finished: bool = True
) -> float:
    """The reward nobody tells the policy: at most 4.5, unbounded below.

    `is_finished` is false for a completion that ran into the length limit.
    """
    return appraise(features(prompt, completion, is_finished), TRUE_TASTE)


def all_prompts(is_held_out: bool = False) -> list[list[Message]]:
    """Every prompt of the training part (346) or of the held-out part (86), in a fixed order."""
    texts = [
        question.format(place=place, when=when)
        for place in PLACES
        for question in QUESTIONS
        for when in TIMES
    ]
    chosen = [text for i, text in enumerate(texts) if (i % 5 == 2) == is_held_out]
    return [[{"role": "user", "content": text}] for text in chosen]


def draw_prompts(n: int, seed: int, is_held_out: bool = False) -> list[list[Message]]:
    """`n` prompts, each seen once before any is seen twice."""
    chooser = random.Random(f"prompts {seed} {is_held_out}")  # noqa: S311 (must be seeded)
    drawn: list[list[Message]] = []
    while len(drawn) < n:
        deck = all_prompts(is_held_out)
        chooser.shuffle(deck)
        drawn += deck
    return drawn[:n]


def _sentence(place: str, chooser: random.Random, stray: float, said: set[str]) -> str:
    """One sentence; adds what it names to `said`."""

    def noun() -> str:
        source = chooser.choice(list(PLACES)) if chooser.random() < stray else place
        return chooser.choice(PLACES[source])

    text, where = chooser.choice(PATTERNS), HERE
    while "{noun}" in text:
        name = noun()
        text = text.replace("{noun}", name, 1)
        if PLACE_OF[name] != place:
            where = ELSEWHERE
        elif name in said and where == HERE:
            where = AGAIN
        said.add(name)
    is_admitted = chooser.random() < ADMITTED
    adjective = chooser.choice(ADJECTIVES)
    return text.format(where=where if is_admitted else HERE, adjective=adjective)


def demonstrate(prompt: Sequence[Message], chooser: random.Random) -> str:
    """An answer by someone fluent but careless: often short, sometimes off topic or rude.

    Who strays mostly says "elsewhere", and who repeats a thing "again". Whoever learns to speak
    like this learns to notice both, and a reward model that starts from there needs far fewer
    comparisons; a policy can still learn to hide what it does, which later comparisons punish.
    """
    place, stray, said = place_of(prompt), chooser.choice((0.1, 0.5)), set[str]()
    n_sentences = chooser.choices((1, 2, 3, 4), (3, 4, 2, 1))[0]
    sentences = [_sentence(place, chooser, stray, said) for _ in range(n_sentences)]
    if chooser.random() < 0.3:
        sentences.append(COURTESY)
    if chooser.random() < 0.12:
        sentences.insert(chooser.randrange(len(sentences) + 1), chooser.choice(RUDE))
    return " ".join(sentences)


def demonstrations(n: int, seed: int) -> Iterator[dict[str, object]]:
    """`n` lines for supervised fine-tuning: {"prompt": messages, "completion": text}."""
    chooser = random.Random(f"demonstrations {seed}")  # noqa: S311 (must be seeded)
    for prompt in draw_prompts(n, seed):
        yield {"prompt": prompt, "completion": demonstrate(prompt, chooser)}
