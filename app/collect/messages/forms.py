"""What comes in from the pages of messages."""

import uuid
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator


def _none(value: object) -> object:
    return None if value == "" else value


About = Annotated[uuid.UUID | None, BeforeValidator(_none)]


class ChosenForm(BaseModel):
    """Who a new message goes to: as ticked on the page of members, a group, or all annotators."""

    to: list[uuid.UUID] = []
    about: About = None
    group: About = None
    to_all: Literal["", "annotators"] = ""


class MessageForm(ChosenForm):
    """`about` is the id of the comparison that the message is about, or empty."""

    body: str = ""


class ReplyForm(BaseModel):
    body: str = ""
    about: About = None
