"""Pages about projects: the start page, settings, guidelines and flags."""

from fastapi import APIRouter

from app.projects.routes import flags, guidelines, settings, skip_reasons, start

router = APIRouter(include_in_schema=False)
for pages in (start, settings, guidelines, flags, skip_reasons):
    router.include_router(pages.router)
