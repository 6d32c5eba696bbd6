"""What the search of one's own answers is asked, as typed into its address."""

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, Field

from app.collect.history.entries import KINDS
from app.collect.history.queries import Place, Wanted

MOST_WORDS = 8


class HistoryForm(BaseModel):
    """Every field may be anything: what cannot be read is left out, as a search does."""

    q: Annotated[str, Field(max_length=2000)] = ""
    rating: str = ""
    flag: str = ""
    said: str = ""
    kind: str = ""
    since: str = ""
    until: str = ""
    project: str = ""
    before: str = ""
    after: str = ""

    @property
    def words(self) -> list[str]:
        """Up to eight words; what stands in quotation marks is one."""
        pieces = self.q.replace("\x00", "").split('"')
        found = [w for i, one in enumerate(pieces) for w in ([one] if i % 2 else one.split())]
        return [word.strip() for word in found if word.strip()][:MOST_WORDS]

    def wanted(self) -> Wanted:
        low, high = RATINGS.get(self.rating, (None, None))
        return Wanted(
            words=tuple(self.words),
            rating=(low, high) if low and high else None,
            flag_id=_id(self.flag),
            said=self.said if self.said in SAID else "",
            kind=self.kind if self.kind in KINDS else "",
            since=_day(self.since),
            until=_day(self.until, timedelta(days=1)),
        )

    @property
    def is_empty(self) -> bool:
        return self.wanted() == Wanted()

    def place(self) -> Place | None:
        """Where the page begins: below or above an answer that another page showed."""
        for text, is_back in ((self.before, False), (self.after, True)):
            at, _, key = text.partition("_")
            answer_id = _id(key)
            try:
                seen = datetime.fromisoformat(at)
            except ValueError:
                continue
            if answer_id and seen.tzinfo is not None:
                return Place(seen, answer_id, is_back)
        return None

    def url(self, **changed: Any) -> str:
        """The query of the same search with some fields changed."""
        kept = {**self.model_dump(), "before": "", "after": "", **changed}
        return "?" + urlencode({name: value for name, value in kept.items() if value})


@dataclass(frozen=True)
class Choice:
    value: str
    words: str


# As it was shown: 1 is far on the left.
RATINGS: dict[str, tuple[int, int]] = {
    "A": (1, 4),
    "B": (5, 8),
    **{str(n): (n, n) for n in range(1, 9)},
}
RATING_CHOICES = [
    Choice("", "any"),
    Choice("A", "A, 1 to 4"),
    Choice("B", "B, 5 to 8"),
    *(Choice(str(n), str(n)) for n in range(1, 9)),
]
SAID = {
    "equal": "about equal",
    "bad": "both bad",
    "comment": "with a comment",
    "changed": "changed later",
}


def _id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _day(text: str, plus: timedelta = timedelta()) -> datetime | None:
    """The beginning of a day in UTC; a day that no calendar here reaches is left out."""
    try:
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + plus
    except (ValueError, OverflowError):
        return None


def place_of(at: datetime, answer_id: uuid.UUID) -> str:
    """What `before` and `after` hold; the inverse of `HistoryForm.place`."""
    return f"{at.isoformat()}_{answer_id}"
