"""What every page of the slice needs."""

from typing import Any

from sqlalchemy.orm import Session

from app.accounts.groups import groups_of
from app.agree import charts
from app.agree.exact import wilson
from app.web.access import Access

BASE = "/projects/{slug}/agree"


def tools(access: Access, tab: str) -> dict[str, Any]:
    """The start of a page's context."""
    slug = access.project.slug
    return {
        "access": access,
        "tab": tab,
        "base_url": f"/projects/{slug}/agree",
        "api_url": f"/api/v1/projects/{slug}/agreement",
        "range_words": charts.range_words,
        "percent": charts.percent,
        "share_words": share_words,
    }


def group_choices(session: Session, access: Access) -> list[tuple[str, str]]:
    """The groups as options; empty where the project has none."""
    groups = [(str(one.id), one.name) for one, _ in groups_of(session, access.project.id)]
    return [("", "Everyone"), *groups] if groups else []


def share_words(n_right: int, n: int) -> str:
    """Wilson's 95% interval and n: "41 to 93%, n 8"; nothing for none."""
    low, high = wilson(n_right, n)
    return f"{100 * low:.0f} to {100 * high:.0f}%, n {n:,}" if n else ""
