"""Every table. Importing this package fills `Base.metadata`."""

from app.tables import (
    accounts,
    adjudication,
    agree,
    collect,
    consent,
    cost,
    datasets,
    gold,
    groups,
    home,
    jobs,
    kinds,
    projects,
    qualifications,
    runs,
    talk,
    work,
)
from app.tables.base import Base

__all__ = [
    "Base",
    "accounts",
    "adjudication",
    "agree",
    "collect",
    "consent",
    "cost",
    "datasets",
    "gold",
    "groups",
    "home",
    "jobs",
    "kinds",
    "projects",
    "qualifications",
    "runs",
    "talk",
    "work",
]
