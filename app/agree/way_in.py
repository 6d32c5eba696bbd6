"""The steps from an invitation to the first pair, in order, as one person stands to them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Step(StrEnum):
    """In the order in which they are taken."""

    CONSENT = "consent"
    LANGUAGES = "languages"
    GUIDELINES = "guidelines"
    TRAINING = "training"
    QUALIFICATION = "qualification"
    WORK = "work"


class State(StrEnum):
    DONE = "done"
    NEXT = "next"  # the one to do now
    WAITS = "waits"  # behind a step that is required
    OPTIONAL = "optional"  # can be done now, and need not


@dataclass(frozen=True)
class Asked:
    """A qualification that the project asks for, and how a person stands to it.

    `n_training` items of the training round were answered of `of_training`; both 0 where there is
    no training. `test_id` is None where an admin grants it.
    """

    name: str
    is_held: bool
    test_id: str | None = None
    n_training: int = 0
    of_training: int = 0
    is_trained: bool = False


@dataclass(frozen=True)
class Facts:
    """`consent` is "given", "old", "none" or "withdrawn"; None where there is no text.

    `guidelines` and `read` are numbers of versions; None where there is none.
    """

    consent: str | None
    is_consent_required: bool
    languages: str  # that the project asks for, in words; empty for none
    is_speaker: bool
    guidelines: int | None
    read: int | None
    is_reading_required: bool
    asked: Sequence[Asked] = field(default_factory=list)
    n_answers: int = 0


@dataclass(frozen=True)
class Place:
    """One step with its state; `is_required` says whether work waits for it."""

    step: Step
    state: State
    is_required: bool
    words: str

    @property
    def is_open(self) -> bool:
        return self.state is State.NEXT or self.state is State.OPTIONAL


@dataclass(frozen=True)
class Way:
    places: list[Place]

    @property
    def next(self) -> Place:
        """What to do now; the work itself where nothing is left before it."""
        return next(one for one in self.places if one.state is State.NEXT)

    @property
    def is_ready(self) -> bool:
        return self.next.step is Step.WORK

    def at(self, step: Step) -> Place | None:
        """None for a step that the project does not have."""
        return next((one for one in self.places if one.step is step), None)


def way_in(facts: Facts) -> Way:
    """Every step that the project has. The first required one that is not done is next."""
    places: list[Place] = []
    is_blocked = False
    for step, is_done, is_required, words in _steps(facts):
        if is_done:
            state = State.DONE
        elif is_blocked:
            state = State.WAITS
        elif is_required:
            state, is_blocked = State.NEXT, True
        else:
            state = State.OPTIONAL
        places.append(Place(step, state, is_required, words))
    n = facts.n_answers
    words = f"{n:,} answer{'' if n == 1 else 's'} given" if n else "Compare pairs."
    places.append(Place(Step.WORK, State.WAITS if is_blocked else State.NEXT, True, words))
    return Way(places)


def _steps(facts: Facts) -> list[tuple[Step, bool, bool, str]]:
    """(step, whether it is done, whether it is required, what to say) of each step there is."""
    found = []
    if facts.consent is not None:
        said = {
            "given": "You agreed.",
            "old": "The text has changed since you agreed.",
            "withdrawn": "You withdrew. Agree again to go on.",
            "none": "Read what you are asked to agree to.",
        }[facts.consent]
        # Whoever withdrew gets no work, required or not.
        is_required = facts.is_consent_required or facts.consent == "withdrawn"
        found.append((Step.CONSENT, facts.consent == "given", is_required, said))
    if facts.languages:
        words = f"Its texts are in {facts.languages}: name it in your account if you read it well."
        found.append((Step.LANGUAGES, facts.is_speaker, True, words))
    if facts.guidelines is not None:
        words = f"Read version {facts.guidelines}, and confirm it at its end."
        is_read = facts.read == facts.guidelines
        found.append((Step.GUIDELINES, is_read, facts.is_reading_required, words))
    trained = [one for one in facts.asked if one.of_training]
    if trained:
        n, of = sum(one.n_training for one in trained), sum(one.of_training for one in trained)
        is_done = all(one.is_held or one.is_trained for one in trained)
        words = f"{n} of {of} pairs, each explained. It does not count."
        found.append((Step.TRAINING, is_done, True, words))
    if facts.asked:
        missing = [one for one in facts.asked if not one.is_held]
        names = " and ".join(f"“{one.name}”" for one in missing)
        by_test = all(one.test_id for one in missing)
        words = f"{names}, {'by a test' if by_test else 'from an admin or by a test'}."
        found.append((Step.QUALIFICATION, not missing, True, words if missing else "You hold it."))
    return found
