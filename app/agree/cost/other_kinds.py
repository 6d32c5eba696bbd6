"""Active time by part of the pages that ask for a ranking, ratings or a demonstration."""

import math
import uuid
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.agree.cost import queries
from app.tables.kinds import PromptKind
from app.tables.work import PromptControl

KINDS = {
    PromptKind.RANK: "Ranking",
    PromptKind.RATE: "Rating",
    PromptKind.DEMONSTRATE: "Writing",
}
PARTS = {
    PromptControl.PROMPT: "Reading the prompt",
    PromptControl.COMPLETION: "Reading the answers",
    PromptControl.RATING: "The numbers and the bar below",
    PromptControl.TEXT: "The text",
    PromptControl.COMMENT: "Comment",
}


@dataclass(frozen=True)
class KindPart:
    """Active `seconds` on one part in all `n` answers of a kind whose parts were measured;
    `n_timed` of them spent time on it, and `share` is of the kind's measured time."""

    kind: str
    part: str
    n: int
    n_timed: int
    seconds: float
    share: float | None

    @property
    def seconds_each(self) -> float:
        return self.seconds / self.n


def kind_parts(session: Session, project_id: uuid.UUID) -> list[KindPart]:
    """In the order of the pages and their parts; parts that took no time are left out."""
    rows = {(row.kind, row.control): row for row in queries.prompt_controls(session, project_id)}
    measured = queries.prompt_measured(session, project_id)
    found = []
    for kind, kind_name in KINDS.items():
        whole = math.fsum(row.seconds for (of, _), row in rows.items() if of == kind)
        for control, part_name in PARTS.items():
            row = rows.get((kind, control))
            if row is not None:
                share = row.seconds / whole if whole else None
                n = measured[kind]
                found.append(KindPart(kind_name, part_name, n, row.n, row.seconds, share))
    return found


def kind_rows(found: list[KindPart]) -> tuple[list[str], list[list[object]]]:
    head = ["kind", "part", "answers", "answers_timed", "active_seconds", "seconds_each"]
    return [*head, "share_of_time"], [
        [one.kind, one.part, one.n, one.n_timed, one.seconds, one.seconds_each, one.share]
        for one in found
    ]
