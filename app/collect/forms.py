"""What the compare page posts."""

import uuid
from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.collect.pairing import canonical, is_rating
from app.collect.service import FlagIn, SideName, TimeIn
from app.errors import Invalid
from app.tables.work import Control

FLAG = "flag."
LONGEST_AGO = 1e9


def canonical_rating(rating: int, is_flipped: bool) -> int:
    """A rating in the order shown, turned into the frame of A and B. Raises Invalid."""
    if not is_rating(rating):
        raise Invalid("Choose one of the eight cells: a rating from 1 to 8.", field="rating")
    return canonical(rating, is_flipped)


def canonical_side(shown_as: SideName, is_flipped: bool) -> SideName:
    """Which completion stood under this letter; turned twice it is the letter again."""
    return "A" if (shown_as == "A") != is_flipped else "B"


def _last(value: object) -> object:
    return value[-1] if isinstance(value, list) else value


def _one_number(value: object) -> object:
    # An empty field says nothing: no script counts the time, or nothing was chosen.
    return None if value == "" else value


class AnswerForm(BaseModel):
    """One answer as it was shown: 1 is far on the left, 8 far on the right.

    Flags come as `flag.<id>.left`, `flag.<id>.right` or `flag.<id>`, with a number or "na".
    """

    model_config = ConfigDict(extra="allow")

    rating: int = 0
    comment: str = ""
    is_about_equal: bool = False
    is_both_bad: bool = False
    confidence: Annotated[int | None, BeforeValidator(_one_number)] = None

    def canonical_rating(self, is_flipped: bool) -> int:
        """Raises Invalid unless one of the eight cells was chosen."""
        return canonical_rating(self.rating, is_flipped)

    def flags(self, is_flipped: bool) -> list[FlagIn]:
        """The answered flags in the frame of A and B. Raises Invalid."""
        return flags_in(self.model_extra, is_flipped)


class TimedAnswerForm(AnswerForm):
    seconds: Annotated[float | None, BeforeValidator(_one_number)] = None
    # "prompt:3.2,left:10.5,right:8,rating:1.4,flag.<id>.left:2": active seconds by control.
    times: str = Field(default="", max_length=20_000)

    def control_times(self, is_flipped: bool) -> list[TimeIn]:
        """The times in the frame of A and B. Raises Invalid."""
        return [_time_in(part, is_flipped) for part in self.times.split(",") if part]


class NewAnswerForm(TimedAnswerForm):
    assignment_id: uuid.UUID
    idempotency_key: str = Field(min_length=1, max_length=200)
    # The pair that the page has turned to already, leased ahead, and for how many seconds by now.
    shown: uuid.UUID | None = None
    shown_for: Annotated[float, Field(ge=0, le=LONGEST_AGO)] = 0.0


class DraftForm(BaseModel):
    """`content` is a JSON object: the inputs answered so far, by their names."""

    assignment_id: uuid.UUID
    version: int
    content: str


class ChangedAnswerForm(TimedAnswerForm):
    revision: int
    back: str = ""


class SkipForm(BaseModel):
    """`reason` is the id of one of the project's reasons, or empty for words alone."""

    assignment_id: uuid.UUID
    reason: Annotated[uuid.UUID | None, BeforeValidator(_one_number)] = None
    other: str = ""


class PauseForm(BaseModel):
    until: str = ""

    def day(self) -> date | None:
        """None for no day in particular. Raises Invalid for what is no date."""
        if not self.until.strip():
            return None
        try:
            return date.fromisoformat(self.until)
        except ValueError as error:
            raise Invalid("Choose the day on which you come back.", field="until") from error


class LeaseForm(BaseModel):
    assignment_id: uuid.UUID


def flags_in(extra: Mapping[str, object] | None, is_flipped: bool) -> list[FlagIn]:
    """The flags among a form's further fields, in the frame of A and B. Raises Invalid."""
    return [
        _flag_in(name.removeprefix(FLAG), str(_last(value)), is_flipped)
        for name, value in (extra or {}).items()
        if name.startswith(FLAG) and value not in ("", [])
    ]


def _flag_in(name: str, value: str, is_flipped: bool) -> FlagIn:
    flag_id, _, place = name.partition(".")
    side: SideName | None = None
    if place:
        side = canonical_side("A" if place == "left" else "B", is_flipped)
    try:
        return FlagIn(uuid.UUID(flag_id), side, None if value == "na" else int(value))
    except ValueError as error:
        raise Invalid("A flag was answered in a way that this page does not know.") from error


def _time_in(part: str, is_flipped: bool) -> TimeIn:
    name, _, seconds = part.partition(":")
    letters: dict[str, SideName] = {"left": "A", "right": "B"}
    try:
        amount = float(seconds)
        if name in letters:
            side = canonical_side(letters[name], is_flipped)
            return TimeIn(Control.COMPLETION, side, None, amount)
        if name.startswith(FLAG):
            flag_id, _, place = name.removeprefix(FLAG).partition(".")
            side_of = canonical_side(letters[place], is_flipped) if place else None
            return TimeIn(Control.FLAG, side_of, uuid.UUID(flag_id), amount)
        return TimeIn(Control(name), None, None, amount)
    except (ValueError, KeyError) as error:
        raise Invalid("A time was sent for something that this page does not have.") from error


def flag_name(flag_id: uuid.UUID, side: SideName | None, is_flipped: bool) -> str:
    """The name under which the page asks a flag about a canonical side."""
    if side is None:
        return f"{FLAG}{flag_id}"
    return f"{FLAG}{flag_id}.{'left' if (side == 'A') != is_flipped else 'right'}"
