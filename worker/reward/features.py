"""What of a completion can be counted without reading it: length, and marks of its format."""

import re
from collections.abc import Mapping, Sequence

from worker.models import Message

_LINE = re.MULTILINE
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "list items": re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+\S", _LINE),
    "headings": re.compile(r"^\s{0,3}#{1,6}\s+\S", _LINE),
    "bold": re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__"),
    "code blocks": re.compile(r"^\s*(?:```|~~~)", _LINE),
    "exclamation marks": re.compile(r"!(?=\s|$)", _LINE),
    # Agreement with the asker in place of an answer, one of the biases of Bharadwaj et al.,
    # “Flattery, fluff, and fog”, arXiv 2506.05339.
    "flattery": re.compile(
        r"\b(?:(?:great|excellent|good|fantastic|wonderful) (?:question|point|idea)"
        r"|you(?:'|’)?(?: a)?re (?:absolutely |completely |so )?right|i (?:completely|totally) "
        r"agree)\b",
        re.IGNORECASE,
    ),
}
LENGTH = "length"
NAMES = (LENGTH, *_PATTERNS)


def features_of(messages: Sequence[Message]) -> dict[str, int]:
    """Counts of each of NAMES in a completion; length is in words."""
    text = "\n".join(message["content"] for message in messages)
    counts = {name: sum(1 for _ in one.finditer(text)) for name, one in _PATTERNS.items()}
    return {LENGTH: len(text.split()), **counts, "code blocks": counts["code blocks"] // 2}


def feature_differences(chosen: Sequence[Message], rejected: Sequence[Message]) -> dict[str, int]:
    """Counts of the preferred completion less those of the other."""
    one, other = features_of(chosen), features_of(rejected)
    return {name: one[name] - other[name] for name in NAMES}
