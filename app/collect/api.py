"""The queue as JSON under /api/v1, for annotators that are scripts: same leases, same rules."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.collect import service
from app.collect.service import FlagIn, Nothing, SideName
from app.collect.sheets import texts_of
from app.web.access import AnnotatorAccess
from app.web.dependencies import SessionDep

router = APIRouter(prefix="/api/v1/projects/{slug}", tags=["collect"])


class FlagBody(BaseModel):
    """One answered flag; `value` is null for "not applicable"."""

    flag_id: uuid.UUID
    side: SideName | None = None
    value: int | None


class ComparisonBody(BaseModel):
    """One answer. `rating` is canonical: 1 is A far better, 8 is B far better."""

    assignment_id: uuid.UUID
    rating: int
    seconds: Annotated[float, Field(ge=0)] = 0.0
    idempotency_key: str = Field(min_length=1, max_length=200)
    flags: list[FlagBody] = []
    comment: str = ""
    is_about_equal: bool = False
    is_both_bad: bool = False


@router.post("/assignments")
def next_assignment(session: SessionDep, access: AnnotatorAccess) -> dict[str, Any]:
    """The caller's pair: the one leased already, or the next; else why there is none."""
    found = service.next_assignment(session, access.project, access.person.id)
    if isinstance(found, Nothing):
        return {"assignment": None, "why": found.why.value}
    messages, a, b = texts_of(session, found.pair_id)
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
    """Record an answer; sent again it gives the same row."""
    flags = [FlagIn(one.flag_id, one.side, one.value) for one in body.flags]
    comparison = service.record_comparison(
        session,
        annotator_id=access.person.id,
        project_id=access.project.id,
        **body.model_dump(exclude={"flags"}),
        flags=flags,
    )
    return {"id": str(comparison.id), "is_surplus": comparison.is_surplus}
