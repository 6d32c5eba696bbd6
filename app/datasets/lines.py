"""The import format: one JSON object a line, read as a stream, refused with line and field.

A line holds `prompt` (a text or a list of messages) and either `completions` (texts, or objects
with `text` and `source`) or `chosen` and `rejected`, which become two completions without an
answer. `pairs`, `group`, `id` and `metadata` may follow; any other field is kept as metadata.
"""

import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, BinaryIO, NoReturn

from pydantic import ValidationError

from app.collect.incoming import MAX_METADATA, PromptIn, check_tree, refusal, refuse
from app.errors import Invalid, TooLarge

MAX_LINE_BYTES = 16 * 2**20
MAX_LINES = 5_000_000
BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
FIELDS = ("prompt", "completions", "chosen", "rejected", "pairs", "group", "id", "metadata")
EXAMPLE = '{"prompt": "…", "completions": ["…", "…"]}'


@dataclass
class Position:
    """How far a file has been read: bytes as they lie on disk, and lines."""

    n_bytes: int = 0
    n_lines: int = 0


def read_prompts(
    stream: BinaryIO, position: Position, *, allow_single: bool = False, max_bytes: int = 2**31
) -> Iterator[PromptIn]:
    """The prompts of a seekable stream, plain or gzip; `position` moves along.

    `allow_single` accepts lines with one completion or none. `max_bytes` bounds what a gzip file
    may unpack to. Blank lines, CRLF and a byte order mark do no harm. Raises Invalid, which names
    line and field, and TooLarge.
    """
    n_prompts = 0
    for raw in _raw_lines(stream, position, max_bytes):
        line = raw.removeprefix(BOM) if position.n_lines == 1 else raw
        if line.strip():
            n_prompts += 1
            yield parse_line(line, position.n_lines, allow_single=allow_single)
    if n_prompts == 0:
        raise Invalid(f"The file holds no prompt. Each line should look like {EXAMPLE}.")


def _raw_lines(stream: BinaryIO, position: Position, max_bytes: int) -> Iterator[bytes]:
    is_packed = stream.read(2) == GZIP
    stream.seek(0)
    source: Any = gzip.GzipFile(fileobj=stream) if is_packed else stream
    reader = source if hasattr(source, "readline") else io.BufferedReader(source)
    n_unpacked = 0
    while True:
        try:
            raw: bytes = reader.readline(MAX_LINE_BYTES + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Invalid(
                f"The gzip file is damaged after line {position.n_lines}: {error}. "
                "Pack it again, or send it unpacked.",
                line=position.n_lines,
            ) from error
        if not raw:
            return
        n_unpacked += len(raw)
        position.n_lines += 1
        position.n_bytes = stream.tell() if is_packed else n_unpacked
        _check_size(raw, n_unpacked, max_bytes, position.n_lines)
        yield raw


def _check_size(raw: bytes, n_unpacked: int, max_bytes: int, line: int) -> None:
    if len(raw) > MAX_LINE_BYTES:
        raise TooLarge(
            f"Line {line} is longer than {MAX_LINE_BYTES // 2**20} MB. Each prompt needs a line "
            "of its own; is this a JSON list in place of JSON lines?",
            line=line,
        )
    if n_unpacked > max_bytes or line > MAX_LINES:
        raise TooLarge(
            f"The file unpacks to more than {max_bytes / 2**20:,.0f} MB or {MAX_LINES:,} lines. "
            "Split it and import the parts.",
            line=line,
        )


def parse_line(raw: bytes, line: int, *, allow_single: bool = False) -> PromptIn:
    """One line as a prompt. Raises Invalid with the line, the field and what to do."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Invalid(
            f"Line {line} is not UTF-8 (byte {error.start + 1} is 0x{raw[error.start]:02x}). "
            "Save the file as UTF-8 and import it again.",
            line=line,
        ) from error
    row = _parse_json(text, line)
    if not isinstance(row, dict):
        raise Invalid(
            f"Line {line} is {_kind(row)}, not an object. It should look like {EXAMPLE}.", line=line
        )
    fields = _fields(row, line)
    if not allow_single and len(fields["completions"]) < 2:
        raise refuse(
            "completions",
            f"holds {len(fields['completions'])}, and a comparison needs two; to import prompts "
            "for a policy to answer, say that lines may lack completions",
            line,
        )
    try:
        return PromptIn.model_validate(fields)
    except ValidationError as error:
        raise _renamed(refusal(error, line), "chosen" in row) from error


def _parse_json(text: str, line: int) -> Any:
    try:
        return json.loads(
            text, parse_constant=_no_constant, parse_int=_parse_int, parse_float=_parse_float
        )
    except RecursionError:
        raise Invalid(f"Line {line} is nested too deeply to be a prompt.", line=line) from None
    except json.JSONDecodeError as error:
        if "\0" in text:
            where = f"Line {line} contains a NUL character at column {text.index(chr(0)) + 1}"
            raise Invalid(f"{where}, which cannot be stored; remove it.", line=line) from error
        raise Invalid(
            f"Line {line} is not JSON: {error.msg.lower()} at column {error.colno}. "
            f"It should look like {EXAMPLE}.",
            line=line,
        ) from error
    except ValueError as error:
        raise Invalid(f"Line {line}: {error}.", line=line) from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON knows; write null or leave it out")


def _parse_int(digits: str) -> int:
    if len(digits) > 19:
        raise ValueError(f"the number {digits[:12]}… has {len(digits)} digits, and the limit is 19")
    return int(digits)


def _parse_float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}
    return kinds.get(type(value), "a number")


def _fields(row: dict[str, Any], line: int) -> dict[str, Any]:
    """The line's fields as PromptIn names them."""
    is_preference = "chosen" in row or "rejected" in row
    if is_preference and "completions" in row:
        raise refuse("completions", "stands beside “chosen” or “rejected”; give one or other", line)
    if is_preference and "pairs" not in row:
        messages, completions = _from_preference(row, line)
    else:
        messages = _messages(row.get("prompt"), line)
        completions = _completions(row.get("completions", []), line)
    known = {key: row[key] for key in ("pairs", "group", "id") if row.get(key) is not None}
    metadata = {**_rest(row, line, is_preference), **_given_metadata(row, line)}
    return {"messages": messages, "completions": completions, "metadata": metadata, **known}


def _given_metadata(row: dict[str, Any], line: int) -> dict[str, Any]:
    metadata = row.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise refuse("metadata", f"must be an object, and is {_kind(metadata)}", line)
    return metadata or {}


def _rest(row: dict[str, Any], line: int, is_preference: bool) -> dict[str, Any]:
    """Fields we do not know, kept as metadata, unless one looks like a slip of the pen."""
    rest = {key: value for key, value in row.items() if key not in FIELDS}
    for key in rest:
        meant = get_close_matches(key, FIELDS, n=1, cutoff=0.85)
        if meant and not is_preference:
            raise refuse(key[:80], f"is no field of an import line; is “{meant[0]}” meant?", line)
    try:
        check_tree(rest)
    except ValueError as error:
        raise refuse("metadata", str(error), line) from error
    if rest and len(json.dumps(rest)) > MAX_METADATA:
        raise refuse(
            ", ".join(rest)[:80],
            f"would be kept as metadata, but take more than {MAX_METADATA:,} characters; "
            "leave out what nobody needs",
            line,
        )
    return rest


def _messages(prompt: Any, line: int) -> list[Any]:
    if prompt is None:
        raise refuse("prompt", "is missing; give a text or a list of messages", line)
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list):
        raise refuse("prompt", f"is {_kind_or_object(prompt)}, not a text or a list", line)
    return prompt


def _completions(given: Any, line: int) -> list[Any]:
    if not isinstance(given, list):
        raise refuse("completions", f"is {_kind_or_object(given)}, not a list", line)
    return [{"text": one} if isinstance(one, str) else one for one in given]


def _kind_or_object(value: Any) -> str:
    return "an object" if isinstance(value, dict) else _kind(value)


def _from_preference(row: dict[str, Any], line: int) -> tuple[list[Any], list[Any]]:
    """Prompt and completions of a chosen/rejected line, in TRL's forms.

    Either side is a text or a list of messages that ends with the assistant's; a list may repeat
    the prompt before it, and then the prompt may be left out (the "implicit prompt").
    """
    (before, chosen), (other_before, rejected) = (
        _side(row.get(name), name, line) for name in ("chosen", "rejected")
    )
    if row.get("prompt") is not None:
        messages = _messages(row["prompt"], line)
    else:
        messages = before or _messages(None, line)
    for name, given in (("chosen", before), ("rejected", other_before)):
        if given and given != messages:
            raise refuse(name, "begins with another conversation than the prompt", line)
    return messages, [{"text": chosen}, {"text": rejected}]


def _side(given: Any, name: str, line: int) -> tuple[list[Any], Any]:
    if given is None:
        raise refuse(name, "is missing", line)
    if isinstance(given, str):
        return [], given
    last = given[-1] if isinstance(given, list) and given else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        raise refuse(name, "must be a text, or messages of which the last is the assistant's", line)
    return given[:-1], last.get("content")


def _renamed(error: Invalid, is_preference: bool) -> Invalid:
    """Name the field as the line names it, where chosen and rejected became completions."""
    if not is_preference or error.field is None:
        return error
    message, field = error.message, error.field
    for index, name in enumerate(("chosen", "rejected")):
        message = message.replace(f"completions[{index}].text", name)
        field = field.replace(f"completions[{index}].text", name)
    return Invalid(message, field=field, line=error.line)
