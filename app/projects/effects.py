"""What a new version of the guidelines did to agreement, as the guidelines' page shows it.

Agreement is measured a slice above this one: the application names who measures it
(`app.state.effects_of_changes`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.tables.projects import Project


@dataclass(frozen=True)
class Stand:
    """Ordinal alpha under one version with its 95% interval, from `n` pairs with two answers or
    more under it; None is undefined."""

    number: int
    alpha: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Effect:
    """Agreement under the version before and under this one; `difference` is after less before.

    Its ends are None where either side has too few pairs.
    """

    before: Stand
    after: Stand
    difference: float | None
    low: float | None
    high: float | None

    @property
    def is_clear(self) -> bool:
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


# Of the newest versions of a project, by the number of the version that brought the change.
EffectsOfChanges = Callable[[Session, Project], dict[int, Effect]]
