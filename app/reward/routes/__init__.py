"""Pages of reward runs and their studies, and the frame of pages that policy runs have too."""

from fastapi import APIRouter

from app.reward.routes import ask, rewards, studies

__all__ = ["router"]

router = APIRouter()
router.include_router(ask.router)  # before run pages, whose addresses would take its own
router.include_router(rewards.router)
router.include_router(studies.router)
