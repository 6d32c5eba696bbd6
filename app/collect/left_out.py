"""Whose answers do not count: an admin excluded them, or their author withdrew them."""

import uuid

from sqlalchemy import Select, select

from app.tables.agree import Exclusion
from app.tables.collect import Completion, Pair


def left_out_people(project_id: uuid.UUID) -> Select[uuid.UUID]:
    """Ids of people, for an `in_`."""
    return select(Exclusion.person_id).where(
        Exclusion.project_id == project_id, Exclusion.lifted_at.is_(None)
    )


def withdrawn_pairs(project_id: uuid.UUID) -> Select[uuid.UUID]:
    """Ids of pairs with a text by someone who withdrew, for an `in_`: whoever compared them."""
    return (
        select(Pair.id)
        # By the prompt first, which has an index.
        .join(Completion, Completion.prompt_id == Pair.prompt_id)
        .join(Exclusion, Exclusion.person_id == Completion.author_id)
        .where(
            Pair.project_id == project_id,
            Completion.id.in_([Pair.completion_a_id, Pair.completion_b_id]),
            Exclusion.project_id == project_id,
            Exclusion.is_own.is_(True),
            Exclusion.lifted_at.is_(None),
        )
    )
