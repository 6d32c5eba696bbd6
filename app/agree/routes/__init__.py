"""Pages of agreement, the workforce and verdicts."""

from fastapi import APIRouter

from app.agree.routes import gold, overview, verdicts, workforce

router = APIRouter()
for part in (overview, workforce, verdicts, gold):
    router.include_router(part.router)
