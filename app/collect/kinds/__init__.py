"""Feedback of other kinds than a comparison, and how much of it is left for one person."""

from app.collect.kinds.leases import open_work
from app.tables.kinds import PromptKind

__all__ = ["PromptKind", "open_work"]
