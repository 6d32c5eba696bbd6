"""Pages of agreement, the workforce and verdicts."""

from fastapi import APIRouter

from app.agree.routes import (
    adjudicate,
    consent,
    consent_rules,
    cost,
    gold,
    overview,
    qualify,
    verdicts,
    way_in,
    workforce,
)

router = APIRouter()
for part in (
    *(overview, workforce, verdicts, gold, adjudicate, qualify),
    *(cost, consent, consent_rules, way_in),
):
    router.include_router(part.router)
