"""What every page of the slice needs."""

from typing import Any

from app.agree import charts
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
    }
