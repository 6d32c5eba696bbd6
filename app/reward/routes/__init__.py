"""Pages of reward runs, and the frame of pages that policy runs have too."""

from app.reward.routes.rewards import router

__all__ = ["router"]
