"""What people may say about themselves: the questions and their choices. Pure.

Age in bands, gender, country and education follow common census usage (education: ISCED 2011).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.accounts.countries import COUNTRIES
from app.accounts.languages import LANGUAGES
from app.errors import Invalid
from app.tables.consent import Question

UNSAID = "unsaid"
UNSAID_LABEL = "Prefer not to say"
MOST_LANGUAGES = 10


@dataclass(frozen=True)
class Asked:
    """A question as people read it; `choices` are labels by what is kept."""

    label: str
    choices: Mapping[str, str]
    is_many: bool = False

    def label_of(self, choice: str) -> str:
        return UNSAID_LABEL if choice == UNSAID else self.choices.get(choice, choice)


QUESTIONS: Mapping[Question, Asked] = {
    Question.AGE: Asked(
        "Age",
        {
            "18-24": "18 to 24",
            "25-34": "25 to 34",
            "35-44": "35 to 44",
            "45-54": "45 to 54",
            "55-64": "55 to 64",
            "65+": "65 or more",
        },
    ),
    Question.GENDER: Asked(
        "Gender",
        {"woman": "Woman", "man": "Man", "non-binary": "Non-binary", "other": "Another"},
    ),
    Question.COUNTRY: Asked("Country where you live", COUNTRIES),
    Question.LANGUAGES: Asked(
        "First languages", dict(sorted(LANGUAGES.items(), key=lambda one: one[1])), is_many=True
    ),
    Question.EDUCATION: Asked(
        "Highest education completed",
        {
            "primary": "Primary school or less",
            "lower": "Lower secondary school",
            "upper": "Upper secondary school",
            "vocational": "Vocational or short tertiary",
            "bachelor": "Bachelor's degree",
            "master": "Master's degree",
            "doctorate": "Doctorate",
        },
    ),
}


def check_choices(question: Question, choices: Sequence[str]) -> list[str]:
    """The choices to keep; none is no answer. Raises Invalid for what the page does not offer."""
    asked = QUESTIONS[question]
    wanted = sorted({one for one in choices if one})
    if UNSAID in wanted:
        return [UNSAID]
    most = MOST_LANGUAGES if asked.is_many else 1
    if any(one not in asked.choices for one in wanted) or len(wanted) > most:
        raise Invalid(f"Choose from the list under “{asked.label}”.", field=question.value)
    return wanted
