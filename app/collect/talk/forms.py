"""What the page of a conversation posts."""

import uuid
from typing import Annotated

from pydantic import BaseModel, BeforeValidator

from app.collect.forms import TimedAnswerForm


def _nothing(value: object) -> object:
    return None if value == "" else value


class MessageForm(BaseModel):
    """`conversation_id` is empty where the message begins one."""

    words: str = ""
    conversation_id: Annotated[uuid.UUID | None, BeforeValidator(_nothing)] = None
    position: int = 1


class ChoiceForm(TimedAnswerForm):
    """The eight cells and what stands beside them, as they were shown."""

    turn_id: uuid.UUID


class TurnForm(BaseModel):
    turn_id: uuid.UUID


class EndForm(BaseModel):
    """`conversation_id` is the one on the page; where another is open by now, it stays."""

    conversation_id: uuid.UUID
    leaves: bool = False
