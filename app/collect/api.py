"""The queue as JSON under /api/v1, for annotators that are scripts: same leases, same rules."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.collect import service
from app.collect.forms import canonical_rating, canonical_side
from app.collect.service import FlagIn, Nothing, SideName
from app.collect.sheets import texts_of
from app.web.access import AnnotatorAccess
from app.web.dependencies import SessionDep

router = APIRouter(prefix="/api/v1/projects/{slug}", tags=["collect"])


class FlagBody(BaseModel):
    """One answered flag; `side` as handed out, `value` null for "not applicable"."""

    flag_id: uuid.UUID
    side: SideName | None = None
    value: int | None

    def canonical(self, is_flipped: bool) -> FlagIn:
        side = canonical_side(self.side, is_flipped) if self.side else None
        return FlagIn(self.flag_id, side, self.value)


class ComparisonBody(BaseModel):
    """One answer. 1 says that the completion handed out as A is far better, 8 says B."""

    assignment_id: uuid.UUID
    rating: int
    seconds: Annotated[float, Field(ge=0)] = 0.0
    idempotency_key: str = Field(min_length=1, max_length=200)
    flags: list[FlagBody] = []
    comment: str = ""
    is_about_equal: bool = False
    is_both_bad: bool = False
    confidence: int | None = Field(default=None, ge=1, le=5)


@router.post("/assignments")
def next_assignment(session: SessionDep, access: AnnotatorAccess) -> dict[str, Any]:
    """The caller's pair: the one leased already, or the next; else why there is none.

    Which completion comes as A is drawn anew for each annotator, as on the page.
    """
    found = service.next_assignment(session, access.project, access.person.id)
    if isinstance(found, Nothing):
        said = {"detail": found.hindrance.sentence} if found.hindrance else {}
        return {"assignment": None, "why": found.why.value, **said}
    messages, a, b = texts_of(session, found.pair_id, is_flipped=found.is_flipped)
    assignment = {
        "id": str(found.id),
        "lease_until": found.lease_until.isoformat(),
        "prompt": messages,
        "completion_a": a,
        "completion_b": b,
    }
    return {"assignment": assignment, "why": None}


@router.post("/comparisons", status_code=201)
def record_comparison(
    session: SessionDep, access: AnnotatorAccess, body: ComparisonBody
) -> dict[str, Any]:
    """Record an answer; sent again it gives the same row.

    `seconds` count up to the time since the pair was handed out.
    """
    assignment = service.own_assignment(
        session, body.assignment_id, access.person.id, project_id=access.project.id
    )
    comparison = service.record_comparison(
        session,
        annotator_id=access.person.id,
        project_id=access.project.id,
        **body.model_dump(exclude={"rating", "seconds", "flags"}),
        rating=canonical_rating(body.rating, assignment.is_flipped),
        seconds=service.active_seconds(body.seconds, assignment),
        flags=[one.canonical(assignment.is_flipped) for one in body.flags],
    )
    return {"id": str(comparison.id), "is_surplus": comparison.is_surplus}
