"""What comes in from the pages of messages."""

import uuid
from typing import Annotated

from pydantic import BaseModel, BeforeValidator


def _none(value: object) -> object:
    return None if value == "" else value


About = Annotated[uuid.UUID | None, BeforeValidator(_none)]


class ChosenForm(BaseModel):
    """Who a new message goes to, as ticked on the page of members."""

    to: list[uuid.UUID] = []
    about: About = None


class MessageForm(ChosenForm):
    """`about` is the id of the comparison that the message is about, or empty."""

    body: str = ""


class ReplyForm(BaseModel):
    body: str = ""
    about: About = None
