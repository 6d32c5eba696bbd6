"""What comes in from the pages of consent."""

from typing import Annotated

from pydantic import BaseModel, Field

from app.agree.withdrawal import Withdrawal
from app.tables.consent import Question

Choices = Annotated[list[Annotated[str, Field(max_length=20)]], Field(max_length=20)]


class AgreeForm(BaseModel):
    """`number` is the version that was on the page."""

    number: int


class AboutMeForm(BaseModel):
    """One field a question; those that the project does not ask are dropped."""

    age: Choices = []
    gender: Choices = []
    country: Choices = []
    languages: Choices = []
    education: Choices = []

    def read(self) -> dict[Question, list[str]]:
        return {one: getattr(self, one.value) for one in Question}


class WithdrawForm(BaseModel):
    what: Withdrawal | None = None


class ConsentTextForm(BaseModel):
    markdown: str = ""
    is_asked_again: bool = False


class ConsentRulesForm(BaseModel):
    is_required: bool = False
    is_leaving_out_allowed: bool = False
    questions: list[Question] = []
