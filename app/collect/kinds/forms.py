"""What the pages of the other kinds of feedback post."""

import uuid
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.collect.controls import PromptTimeIn, check_times
from app.collect.kinds.times import times_in
from app.errors import Invalid

CHOICE = "choice."


def _one_number(value: object) -> object:
    return None if value == "" else value


class SaidForm(BaseModel):
    """What is said about a prompt: `choice.<completion>` holds its rank or rating."""

    model_config = ConfigDict(extra="allow")

    comment: str = ""
    text: str = ""
    seconds: Annotated[float | None, BeforeValidator(_one_number), Field(allow_inf_nan=False)] = (
        None
    )
    # "prompt:3.2,completion.<id>:10.5,rating.<id>:2": active seconds by control.
    times: str = Field(default="", max_length=20_000)

    def checked_times(self, seconds: float) -> Sequence[PromptTimeIn]:
        """The times, scaled to the `seconds` that are believed. Raises Invalid."""
        return check_times(times_in(self.times), claimed=self.seconds, seconds=seconds)

    def choices(self) -> dict[uuid.UUID, int]:
        """The number given to each completion; what was left open is left out. Raises Invalid."""
        try:
            return {
                uuid.UUID(name.removeprefix(CHOICE)): int(str(value))
                for name, value in (self.model_extra or {}).items()
                if name.startswith(CHOICE) and value not in ("", [])
            }
        except ValueError as error:
            raise Invalid("An answer came in a way that this page does not know.") from error


class PromptForm(SaidForm):
    assignment_id: uuid.UUID


class ChangedPromptForm(SaidForm):
    revision: int
    back: str = ""


class PromptSkipForm(BaseModel):
    """`reason` is the id of one of the project's reasons, or empty for words alone."""

    assignment_id: uuid.UUID
    reason: Annotated[uuid.UUID | None, BeforeValidator(_one_number)] = None
    other: str = ""


class PromptLeaseForm(BaseModel):
    assignment_id: uuid.UUID
