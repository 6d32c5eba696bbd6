"""What a reward run may be asked to learn: the sets of a project and the flags of completions."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.tables.collect import FlagAnswer
from app.tables.projects import Flag, FlagKind, FlagScope, Polarity


@dataclass(frozen=True)
class FlagChoice:
    """A flag about single completions, and how often people answered it."""

    key: str
    label: str
    is_scale: bool
    polarity: Polarity
    n_answers: int

    @property
    def ways(self) -> list[tuple[str, str]]:
        """(option of the trainer, words): which of two completions the flag may prefer."""
        less = (self.key, f"less “{self.label}” is better ({self.n_answers:,} answers)")
        more = (f"+{self.key}", f"more “{self.label}” is better ({self.n_answers:,} answers)")
        ways = {Polarity.BAD: [less], Polarity.GOOD: [more], Polarity.NEUTRAL: [less, more]}
        return ways[self.polarity]


def list_flags(session: Session, project_id: uuid.UUID) -> list[FlagChoice]:
    """Flags of the project about single completions, hidden ones that were answered included."""
    n = func.count(FlagAnswer.comparison_id)
    rows = session.execute(
        select(Flag, n)
        .outerjoin(FlagAnswer, FlagAnswer.flag_id == Flag.id)
        .where(Flag.project_id == project_id, Flag.scope == FlagScope.COMPLETION)
        .group_by(Flag.id)
        .having((n > 0) | ~Flag.is_archived)
        .order_by(n == 0, Flag.position, Flag.key)
    )
    return [
        FlagChoice(flag.key, flag.label, flag.kind is FlagKind.RATING_7, flag.polarity, found)
        for flag, found in rows
    ]


LOSSES = {
    "auto": "the one that does best on held-out comparisons",
    "scaled": "Bradley-Terry, scaled by strength",
    "plain": "plain Bradley-Terry",
    "margin": "with a margin by strength",
    "soft": "soft targets",
    "ties": "with ties",
    "mean-variance": "a mean and a variance for each completion",
}


def describe_wish(configuration: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    """What a run was asked to learn and how, a clause each; `names` are flags' by key."""
    found = []
    flag = configuration.get("flag")
    if flag:
        way = "more" if str(flag).startswith("+") else "less"
        key = str(flag).removeprefix("+")
        found.append(f"from a flag: of two completions, the one with {way} “{_name(key, names)}”")
    else:
        found.append("what people preferred")
    safety = configuration.get("safety_flag")
    if safety:
        key = str(safety).removeprefix("+")
        found.append(f"a safety head on the same network, from the flag “{_name(key, names)}”")
    attributes = [one for one in str(configuration.get("attributes") or "").split(",") if one]
    if attributes:
        words = ", ".join(f"“{_name(one.strip(), names)}”" for one in attributes)
        found.append(f"a head for each attribute: {words}")
    if configuration.get("loss"):
        found.append(f"loss: {LOSSES.get(str(configuration['loss']), configuration['loss'])}")
    if configuration.get("lora"):
        found.append(f"low-rank adapters of rank {configuration['lora']} alone")
    if configuration.get("ensemble"):
        found.append(f"an ensemble of {configuration['ensemble']} heads")
    if configuration.get("length", "off") != "off":
        found.append("length as a covariate")
    if configuration.get("is_trial"):
        found.append("a trial, which does not go live by itself")
    return found


@dataclass(frozen=True)
class Head:
    """A head beside the model's own: how it does on held-out answers, None where none speak of it.

    `figure` is safety's accuracy on pairs that its flag tells apart, an attribute's correlation
    with people's answers.
    """

    name: str
    is_safety: bool
    n_train: int
    n: int
    figure: float | None


def list_heads(report: Mapping[str, Any], names: Mapping[str, str]) -> list[Head]:
    """The heads that a finished run's report speaks of."""
    found = []
    for key, one in (report.get("side_heads") or {}).items():
        is_safety = "accuracy" in one
        figure = one.get("accuracy") if is_safety else one.get("correlation")
        name = "Safety" if is_safety else _name(key, names)
        found.append(Head(name, is_safety, one["n_train"], one["n"], figure))
    return found


def _name(key: str, names: Mapping[str, str]) -> str:
    return names.get(key, key)
