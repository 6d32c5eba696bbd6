"""What the pages of agreement are asked for."""

import time
import uuid
from datetime import date
from math import isfinite
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from app.agree.cost.wages import Wages
from app.agree.experts import ExpertIn
from app.agree.gold import GoldIn
from app.agree.patterns import Filter
from app.agree.testing import Rules
from app.collect.forms import AnswerForm, canonical_rating, flags_in
from app.errors import Invalid
from app.tables.agree import EVERY_VERSION
from app.tables.gold import QualificationTest, Round


def read_filter(version: str = "", since: str = "", until: str = "", group: str = "") -> Filter:
    """The filter of a page's address; an empty value leaves that part out. Raises Invalid."""
    return Filter(_version(version), _day(since, "since"), _day(until, "until"), read_group(group))


def read_group(group: str = "") -> uuid.UUID | None:
    """A group named in a page's address; None for everyone. Raises Invalid."""
    try:
        return uuid.UUID(group) if group else None
    except ValueError:
        raise Invalid("There is no such group.", field="group") from None


def read_flag(flag: str = "") -> uuid.UUID | None:
    """A flag named in a page's address; None for none. Raises Invalid."""
    try:
        return uuid.UUID(flag) if flag else None
    except ValueError:
        raise Invalid("There is no such flag.", field="flag") from None


def _version(text: str) -> uuid.UUID:
    if not text:
        return EVERY_VERSION
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Invalid("There is no such guideline version.", field="version") from None


def _day(text: str, field: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid("Write a day as year-month-day, such as 2026-03-31.", field=field) from None


class GoldForm(BaseModel):
    """A fixed answer, with A on the left: every accepted rating, why, and flags if any."""

    model_config = ConfigDict(extra="allow")

    rating: list[int] = []
    explanation: str = ""

    def read(self) -> GoldIn:
        """Raises Invalid."""
        return GoldIn(self.rating, self.explanation, flags_in(self.model_extra, False))


class GoldRulesForm(BaseModel):
    """The share in per cent; empty is never."""

    gold_seen_share: str = ""
    is_gold_told: bool = False

    def read(self) -> dict[str, float | bool | None]:
        """The columns of the project. Raises Invalid."""
        return {"gold_seen_share": self._share(), "is_gold_told": self.is_gold_told}

    def _share(self) -> float | None:
        if not self.gold_seen_share.strip():
            return None
        try:
            share = float(self.gold_seen_share) / 100
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise Invalid("Write a share from 1 to 100, or nothing.", field="gold_seen_share")
        return share


class DecisionForm(BaseModel):
    """An answer of staff's own. `opened` is when the page was, in seconds since 1970."""

    model_config = ConfigDict(extra="allow")

    pair_id: uuid.UUID | None = None
    rating: int = 0
    note: str = ""
    opened: float = 0.0
    is_guideline_at_fault: bool = False
    action: str = ""

    def read(self, *, is_flipped: bool) -> ExpertIn:
        """In the frame of A and B. Raises Invalid."""
        return ExpertIn(
            canonical_rating(self.rating, is_flipped),
            time.time() - self.opened if isfinite(self.opened) else 0.0,
            flags_in(self.model_extra, is_flipped),
            self.note.strip(),
        )

    def said(self) -> dict[str, str]:
        """As it was posted, for the page that refuses it."""
        extra = {name: str(value) for name, value in (self.model_extra or {}).items()}
        return {**extra, "rating": str(self.rating)}


class SendBackForm(BaseModel):
    words: str = ""


class TestRulesForm(BaseModel):
    """A test's rules as typed; the pass mark in per cent, empty tries are any number."""

    __test__ = False

    pass_share: str = "80"  # noqa: S105 (a mark to pass, no password)
    most_tries: str = ""
    wait_hours: str = "24"
    n_asked: str = "10"
    is_open: bool = False

    @classmethod
    def of(cls, test: QualificationTest | None) -> "TestRulesForm":
        if test is None:
            return cls(most_tries="3")
        return cls(
            pass_share=f"{100 * test.pass_share:.6g}",
            most_tries="" if test.most_tries is None else str(test.most_tries),
            wait_hours=str(test.wait_hours),
            n_asked=str(test.n_asked),
            is_open=test.is_open,
        )

    def read(self) -> Rules:
        """Raises Invalid."""
        try:
            return Rules(
                float(self.pass_share) / 100,
                int(self.most_tries) if self.most_tries.strip() else None,
                int(self.wait_hours),
                int(self.n_asked),
                self.is_open,
            )
        except (ValueError, OverflowError) as error:
            raise Invalid("Write whole numbers; only the tries may be empty.") from error


class PlaceForm(BaseModel):
    """Empty takes the item out of the test."""

    round: Annotated[Round | None, BeforeValidator(lambda value: value or None)] = None


class TestAnswerForm(AnswerForm):
    __test__ = False

    answer_id: uuid.UUID
    # The explanation was read: on to the next item.
    is_read: bool = False

    def said(self) -> dict[str, str]:
        extra = {name: str(value) for name, value in (self.model_extra or {}).items()}
        return {**extra, "rating": str(self.rating)}


class WagesForm(BaseModel):
    """Wages an hour as typed: the usual one, and `own_<person>` for each who has another."""

    model_config = ConfigDict(extra="allow")

    currency: str = ""
    usual: str = ""

    @classmethod
    def of(cls, wages: Wages) -> "WagesForm":
        own = {f"own_{person}": f"{wage:.10g}" for person, wage in wages.own.items()}
        usual = "" if wages.usual is None else f"{wages.usual:.10g}"
        return cls.model_validate({"currency": wages.currency, "usual": usual, **own})

    def typed(self, person_id: uuid.UUID) -> str:
        return str((self.model_extra or {}).get(f"own_{person_id}", ""))

    def read(self) -> tuple[float | None, dict[uuid.UUID, float]]:
        """The usual wage, and people's own. Raises Invalid."""
        own = {}
        for name, value in (self.model_extra or {}).items():
            wage = _wage(str(value)) if name.startswith("own_") else None
            if wage is not None:
                own[_person(name.removeprefix("own_"))] = wage
        return _wage(self.usual), own


def _wage(typed: str) -> float | None:
    if not typed.strip():
        return None
    try:
        wage = float(typed.strip().replace(",", "."))
    except ValueError:
        wage = -1.0
    if not isfinite(wage) or wage < 0:
        raise Invalid("Write a wage as a number from 0, or nothing.", field="usual")
    return wage


def _person(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Invalid("There is no such person.", field="usual") from None
