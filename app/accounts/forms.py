"""What comes in from the pages about people. Text is taken as typed and judged by the services."""

import uuid
from typing import Annotated

from pydantic import BaseModel, Field

from app.errors import Invalid
from app.tables.accounts import Role

Line = Annotated[str, Field(max_length=2000)]


class SignInForm(BaseModel):
    email: Line = ""
    password: Line = ""
    next: Line = "/"


class WelcomeForm(BaseModel):
    """`email` is asked of the first owner only; None leaves it as it is."""

    name: Line = ""
    email: Line | None = None
    password: Line = ""


class ProfileForm(BaseModel):
    name: Line = ""
    email: Line = ""


class LanguagesForm(BaseModel):
    languages: Line = ""


class QualificationsForm(BaseModel):
    """The ids of all that the person is to hold in this project."""

    held: list[uuid.UUID] = []


class PasswordForm(BaseModel):
    current_password: Line = ""
    password: Line = ""


class ApiTokenForm(BaseModel):
    token_name: Line = ""
    days: Line = ""
    is_read_only: bool = False

    def whole_days(self) -> int:
        """Raises Invalid where the field holds no whole number."""
        if not self.days.strip().isascii() or not self.days.strip().isdigit():
            raise Invalid("Write a whole number of days.", field="days")
        return int(self.days.strip()[:9])


class InviteForm(BaseModel):
    """`project` is a slug, or empty for none."""

    email: Line = ""
    name: Line = ""
    project: Line = ""
    roles: list[Role] = []
    groups: list[uuid.UUID] = []


class GroupForm(BaseModel):
    name: Line = ""
    people: list[uuid.UUID] = []


class GroupsForm(BaseModel):
    """The ids of all groups that the person is to be in."""

    groups: list[uuid.UUID] = []


class RolesForm(BaseModel):
    roles: list[Role] = []
