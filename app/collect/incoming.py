"""What may come in: prompts, completions and pairs, each refusal a sentence with the field's name.

Text comes from files, from people and from policies that know no manners, so every rule that the
database or the compare page relies on is checked here, once.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ValidationInfo

from app.errors import Invalid

MAX_CHARACTERS = 100_000
MAX_COMPLETIONS = 64
MAX_MESSAGES = 200
MAX_METADATA = 20_000
MAX_DEPTH = 32


def check_characters(value: Any) -> Any:
    """Refuse what Postgres and JSON cannot hold, in words. Raises ValueError."""
    if not isinstance(value, str):
        return value
    if "\0" in value:
        raise ValueError("contains a NUL character (U+0000), which cannot be stored; remove it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(value[error.start]):04X}"
        raise ValueError(
            f"contains half of a surrogate pair ({half}), which is no character; "
            "write the file anew as UTF-8"
        ) from None
    return value


def check_text(value: str) -> str:
    if len(value) > MAX_CHARACTERS:
        raise ValueError(
            f"has {len(value):,} characters, and the limit is {MAX_CHARACTERS:,}; shorten it"
        )
    if not any(character.isprintable() and not character.isspace() for character in value):
        raise ValueError("is empty; give it a text, or leave the whole line out")
    return value


Characters = Annotated[str, BeforeValidator(check_characters)]
Text = Annotated[Characters, AfterValidator(check_text)]
Name = Annotated[Characters, Field(max_length=200)]


class Incoming(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Message(Incoming):
    """One turn of the conversation so far."""

    role: Literal["system", "user", "assistant"]
    content: Text


class CompletionIn(Incoming):
    """One answer; `source` says who wrote it (a model, a person) and is never shown blind."""

    text: Text
    source: Name = ""


class PromptIn(Incoming):
    """One prompt with its completions.

    `pairs` holds index pairs into `completions`: which two are to be compared. None lets Prefloop
    choose; an empty list asks for none. `group` names what must stay on one side of a held-out
    split, `id` is the importer's own name for the line.
    """

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    completions: list[CompletionIn] = []
    pairs: list[tuple[int, int]] | None = None
    group: Name = ""
    id: Name = ""
    metadata: dict[str, Any] = {}

    @field_validator("messages")
    @classmethod
    def _ends_with_the_user(cls, messages: list[Message]) -> list[Message]:
        if messages and messages[-1].role != "user":
            raise ValueError("must end with a message of the user, for that is what is answered")
        if any(message.role == "system" for message in messages[1:]):
            raise ValueError("may hold a system message only at the start")
        return messages

    @field_validator("completions")
    @classmethod
    def _differ(cls, completions: list[CompletionIn]) -> list[CompletionIn]:
        if len(completions) > MAX_COMPLETIONS:
            raise ValueError(
                f"holds {len(completions)} completions, and the limit is {MAX_COMPLETIONS} a line"
            )
        seen: dict[str, int] = {}
        for index, completion in enumerate(completions):
            first = seen.setdefault(completion.text, index)
            if first != index:
                raise ValueError(
                    f"holds the same text twice (numbers {first} and {index}, counted from 0); "
                    "nobody can prefer one of them"
                )
        return completions

    @field_validator("pairs", mode="before")
    @classmethod
    def _index_pairs(cls, pairs: Any) -> Any:
        return [_couple(pair) for pair in pairs] if isinstance(pairs, list) else pairs

    @field_validator("pairs")
    @classmethod
    def _within_range(
        cls, pairs: list[tuple[int, int]] | None, info: ValidationInfo
    ) -> list[tuple[int, int]] | None:
        if "completions" not in info.data:
            return pairs
        n = len(info.data["completions"])
        for one, other in pairs or []:
            outside = [index for index in (one, other) if not 0 <= index < n]
            if outside:
                raise ValueError(
                    f"names completion {outside[0]}, but the line has {n}, counted from 0"
                )
            if one == other:
                raise ValueError(f"compares completion {one} with itself")
        return pairs

    @field_validator("metadata")
    @classmethod
    def _is_storable(cls, metadata: dict[str, Any]) -> dict[str, Any]:
        check_tree(metadata)
        try:
            size = len(json.dumps(metadata, allow_nan=False))
        except (ValueError, TypeError) as error:
            raise ValueError(f"cannot be written as JSON ({error})") from None
        if size > MAX_METADATA:
            raise ValueError(f"takes {size:,} characters, and the limit is {MAX_METADATA:,}")
        return metadata


def _couple(pair: Any) -> Any:
    return tuple(pair) if isinstance(pair, list) else pair


def check_tree(value: Any, depth: int = 0) -> None:
    """Check every text in nested JSON, and that it is not nested too deeply. Raises ValueError."""
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
    check_characters(value)
    if isinstance(value, dict):
        for key, inner in value.items():
            check_characters(key)
            check_tree(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            check_tree(inner, depth + 1)


def path_of(location: Sequence[int | str]) -> str:
    """`("completions", 1, "text")` as people write it: completions[1].text."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


KINDS = {
    "missing": "is missing",
    "string_type": "must be a text",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "tuple_type": "must be a list of two completion numbers",
    "too_long": "holds too many entries",
    "too_short": "is empty",
    "int_type": "must be a whole number",
    "extra_forbidden": "is not a field that belongs here",
}


def _reason(detail: ErrorDetails) -> str:
    given, context = detail["input"], detail.get("ctx", {})
    if detail["type"] == "value_error":
        return str(context["error"])
    if detail["type"] == "literal_error":
        return f"is “{str(given)[:40]}”, and must be system, user or assistant"
    if detail["type"] == "model_type":
        return "must be a text or an object"
    if detail["type"] in ("string_too_long", "too_long") and isinstance(given, str):
        return f"has {len(str(given)):,} characters, and the limit is {context['max_length']}"
    if detail["loc"][0] == "pairs" and len(detail["loc"]) > 1:
        return "must be a list of two completion numbers"
    return KINDS.get(detail["type"], detail["msg"][:1].lower() + detail["msg"][1:])


def refusal(error: ValidationError, line: int | None = None) -> Invalid:
    """The first thing that was wrong with a prompt, as a sentence that names line and field."""
    first = error.errors(include_url=False)[0]
    location = first["loc"][:2] if first["loc"][0] == "pairs" else first["loc"]
    return refuse(path_of(location).replace("messages", "prompt", 1), _reason(first), line)


def refuse(field: str, reason: str, line: int | None = None) -> Invalid:
    place = f"Line {line}, " if line is not None else ""
    field, message = _sayable(field), _sayable(f"{place}“{field}”: {reason}.")
    return Invalid(message, field=field, line=line)


def _sayable(words: str) -> str:
    """What was wrong may be quoted in the sentence, and must not break the sentence too."""
    return words.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
