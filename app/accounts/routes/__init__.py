"""Pages about people: signing in, one's own account, everyone else, and what was done."""

from fastapi import APIRouter

from app.accounts.routes import account, audit, groups, members, people, sign_in

router = APIRouter()
for pages in (sign_in, account, people, members, groups, audit):
    router.include_router(pages.router)
