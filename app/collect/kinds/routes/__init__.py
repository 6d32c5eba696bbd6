"""The pages of the other kinds of feedback."""

from fastapi import APIRouter

from app.collect.kinds.routes import asking, editing, files

router = APIRouter()
for part in (asking.router, editing.router, files.router):
    router.include_router(part)
