"""What comes in from the pages about projects: text as typed, read into values with a sentence
for each field that cannot be read."""

import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.errors import Invalid
from app.projects.flags import FlagValues
from app.projects.rules import problems
from app.tables.projects import Flag, FlagKind, FlagScope, Objective, Polarity, Project

Line = Annotated[str, Field(max_length=2000)]

WHOLE = (
    *("overlap", "lease_minutes", "comparisons_per_round", "pairs_per_round"),
    *("policy_steps", "max_new_tokens", "seed"),
)
# Empty is a value too: never, always, or everyone.
MAYBE = ("undo_hours", "skips_to_admin", "break_after_minutes")
SWITCHES = ("is_loop_automatic", "is_confidence_asked", "is_reading_required")
KINDS = (
    *("is_ranking_on", "is_rating_on", "is_demonstration_on"),
    *("is_rewrite_on", "is_span_on", "is_talk_on"),
)
TEXTS = ("name", "question", "low_end", "high_end", "base_model")


class NewProjectForm(BaseModel):
    name: Line = ""
    objective: Objective = Objective.HELPFULNESS


class SettingsForm(BaseModel):
    """The settings page, as typed."""

    name: Line = ""
    objective: Objective = Objective.HELPFULNESS
    question: Line = ""
    low_end: Line = ""
    high_end: Line = ""
    overlap: Line = ""
    lease_minutes: Line = ""
    undo_hours: Line = ""
    skips_to_admin: Line = ""
    break_after_minutes: Line = ""
    is_reading_required: bool = False
    is_confidence_asked: bool = False
    is_ranking_on: bool = False
    is_rating_on: bool = False
    is_demonstration_on: bool = False
    is_rewrite_on: bool = False
    is_span_on: bool = False
    is_talk_on: bool = False
    is_loop_automatic: bool = False
    base_model: Line = ""
    comparisons_per_round: Line = ""
    pairs_per_round: Line = ""
    policy_steps: Line = ""
    kl_coef: Line = ""
    max_new_tokens: Line = ""
    seed: Line = ""

    @classmethod
    def of(cls, project: Project) -> "SettingsForm":
        values = {name: getattr(project, name) for name in cls.model_fields}
        numbers = (*WHOLE, "kl_coef")
        for name in MAYBE:
            values[name] = "" if values[name] is None else str(values[name])
        return cls(**{k: f"{v:.15g}" if k in numbers else v for k, v in values.items()})

    def read(self) -> tuple[dict[str, Any], dict[str, str]]:
        """The columns' values, and a sentence for each field that is wrong."""
        values: dict[str, Any] = {
            "objective": self.objective,
            **{name: getattr(self, name) for name in (*SWITCHES, *KINDS)},
            **{name: " ".join(getattr(self, name).split()) for name in TEXTS},
        }
        errors: dict[str, str] = {}
        for name in (*WHOLE, "kl_coef"):
            kind = float if name == "kl_coef" else int
            try:
                values[name] = kind(getattr(self, name).strip())
            except (ValueError, OverflowError):
                errors[name] = "Write a number." if kind is float else "Write a whole number."
        for name in MAYBE:
            given = getattr(self, name).strip()
            try:
                values[name] = int(given) if given else None
            except ValueError:
                errors[name] = "Write a whole number, or leave it empty."
        return values, {**errors, **problems(values)}


class GuidelinesForm(BaseModel):
    """`after` is the number of the version that the author began from."""

    markdown: Annotated[str, Field(max_length=1_000_000)] = ""
    change_note: Line = ""
    after: int = 0
    action: Literal["save", "preview"] = "save"


class ReadingForm(BaseModel):
    """`number` is the version that was on the page."""

    number: int


class FlagForm(BaseModel):
    """A flag, as typed; `condition` is another flag's id, or empty."""

    label: Line = ""
    help_text: Line = ""
    shortcut: Line = ""
    scope: FlagScope = FlagScope.COMPLETION
    kind: FlagKind = FlagKind.YES_NO
    polarity: Polarity = Polarity.BAD
    condition: Line = ""
    is_required: bool = False

    @classmethod
    def of(cls, flag: Flag) -> "FlagForm":
        return cls(
            label=flag.label,
            help_text=flag.help_text,
            shortcut=flag.shortcut,
            scope=flag.scope,
            kind=flag.kind,
            polarity=flag.polarity,
            condition=str(flag.condition_flag_id or ""),
            is_required=flag.is_required,
        )

    def read(self) -> FlagValues:
        """Raises Invalid where the condition is no flag's id."""
        try:
            condition = uuid.UUID(self.condition) if self.condition else None
        except ValueError as error:
            raise Invalid("Choose another flag of this project.", field="condition") from error
        return FlagValues(
            self.label,
            self.scope,
            self.kind,
            self.polarity,
            self.help_text,
            self.shortcut,
            condition,
            self.is_required,
        )


class ReasonForm(BaseModel):
    label: Line = ""
    is_words_needed: bool = False


class MoveForm(BaseModel):
    """`places` is -1 for earlier, 1 for later."""

    places: Annotated[int, Field(ge=-1, le=1)]
