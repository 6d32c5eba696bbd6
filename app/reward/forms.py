"""What comes in when a reward run is asked for: as JSON, and as typed on the page."""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.errors import Invalid
from app.tables.projects import Objective, Project

LossName = Literal["auto", "scaled", "plain", "margin", "soft", "ties", "mean-variance"]
LengthWay = Literal["off", "covariate"]
ReliabilityWay = Literal["auto", "given", "off"]
_OTHER = {Objective.HELPFULNESS: Objective.SAFETY, Objective.SAFETY: Objective.HELPFULNESS}


class RunIn(BaseModel):
    """What a run learns. With a `flag` (or “+flag”, where more of it is better), which of two
    completions that prefers; with a `safety_flag` and `attributes`, heads on the same trunk too.
    What is left out is as the loop trains by itself."""

    model_config = ConfigDict(extra="forbid")

    preference_set: int | None = None  # its number; without, the newest
    objective: Objective | None = None
    flag: str | None = None
    safety_flag: str | None = None
    attributes: list[str] = []
    loss: LossName | None = None
    reliability: ReliabilityWay | None = None
    length: LengthWay | None = None
    epochs: Annotated[float, Field(gt=0, le=100)] | None = None
    lora: Annotated[int, Field(ge=1, le=1024)] | None = None  # rank of the adapters
    ensemble: Annotated[int, Field(ge=0, le=64)] | None = None  # heads
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    is_trial: bool = False

    def options(self, project: Project) -> dict[str, Any]:
        """The configuration that was asked for, without what was left out. Raises Invalid."""
        if self.objective not in (None, project.objective) and self.flag is None:
            raise Invalid("Another objective than the project's needs a flag.", field="flag")
        if self.ensemble == 1:
            words = "One head disagrees with nobody. Ask for two or more, or for 0."
            raise Invalid(words, field="ensemble")
        asked = self.model_dump(exclude_none=True, mode="json", exclude={"preference_set"})
        asked["attributes"] = ",".join(self.attributes)
        return {name: value for name, value in asked.items() if value or name in ("seed",)}


class AskForm(BaseModel):
    """The page's fields, as typed."""

    preference_set: str = ""
    learns: Literal["answers", "flag"] = "answers"
    flag: str = ""
    safety_flag: str = ""
    attributes: list[str] = []
    loss: str = ""
    reliability: str = ""
    length: str = ""
    epochs: str = ""
    lora: str = ""
    ensemble: str = ""
    seed: str = ""
    goes_live: bool = False

    def read(self, project: Project) -> RunIn:
        """Raises Invalid with the field's name and what it takes."""
        if self.learns == "flag" and not self.flag:
            raise Invalid("Choose the flag to learn from.", field="flag")
        return RunIn(
            preference_set=_number(self, "preference_set", int),
            objective=_OTHER[project.objective] if self.learns == "flag" else None,
            flag=self.flag if self.learns == "flag" else None,
            safety_flag=self.safety_flag or None,
            attributes=self.attributes,
            loss=_one_of(self, "loss", LossName),
            reliability=_one_of(self, "reliability", ReliabilityWay),
            length=_one_of(self, "length", LengthWay),
            epochs=_number(self, "epochs", float, 0.01, 100),
            lora=_number(self, "lora", int, 1, 1024),
            ensemble=_number(self, "ensemble", int, 0, 64),
            seed=_number(self, "seed", int, 0, 2**31 - 1),
            is_trial=not self.goes_live,
        )


class CombineForm(BaseModel):
    """Two objectives as one score, as typed; no `safety_run_id` is the model's own head."""

    reward_run_id: str = ""
    safety_run_id: str = ""
    rule: str = "llama2"
    threshold: str = "0.15"
    weight: str = "1"


def as_number(typed: str) -> float:
    """nan, which every check refuses, where it is none."""
    try:
        return float(typed)
    except ValueError:
        return math.nan


def other_objective(project: Project) -> Objective:
    """What a flag may teach beside the project's own objective."""
    return _OTHER[project.objective]


def _number(
    form: AskForm, name: str, kind: type[Any], low: float = 1, high: float = 2**31 - 1
) -> Any:
    typed = str(getattr(form, name)).strip()
    if not typed:
        return None
    value = as_number(typed)
    if kind is int and not value.is_integer():
        value = math.nan
    if not low <= value <= high:
        what = "a whole number" if kind is int else "a number"
        raise Invalid(f"Give {what} from {low:g} to {high:,}, or leave it empty.", field=name)
    return kind(value)


def _one_of(form: AskForm, name: str, allowed: Any) -> Any:
    typed = getattr(form, name)
    if typed and typed not in allowed.__args__:
        raise Invalid(f"Choose one of {', '.join(allowed.__args__)}.", field=name)
    return typed or None
