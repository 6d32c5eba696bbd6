"""What a project may ask for on the compare page beside the rating: a rewrite of the better answer.

Written in the transaction of the comparison, after it: no answer is kept without what came along.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.collect.kinds.derived import Origin, Verdict, write_comparisons, write_completion
from app.collect.kinds.leases import refuse_another
from app.collect.kinds.service import checked_text
from app.errors import Invalid
from app.tables.collect import Comparison, Completion, Draw, Pair, Prompt
from app.tables.kinds import Rewrite
from app.tables.projects import Project

EDITED = "edited"


def record_additions(
    session: Session, project: Project, comparison: Comparison, extra: Mapping[str, Any] | None
) -> None:
    """Keep what came with the answer, as far as the project asks for it; flushes.

    Sent again the same is harmless. Raises Invalid, and Conflict for another rewrite than before.
    """
    words = str((extra or {}).get("rewrite", ""))
    if project.is_rewrite_on and words.strip():
        record_rewrite(session, project, comparison, words)


def record_rewrite(
    session: Session, project: Project, comparison: Comparison, words: str
) -> Rewrite | None:
    """Keep the better answer made better still: edited above chosen, chosen above rejected.

    The edit is a completion of its own, and one comparison says that it is better than what it
    was made from; that the chosen one is better than the other is the comparison itself. None
    where nothing was changed. Raises Invalid and Conflict.
    """
    words = checked_text(words, "rewrite")
    chosen, rejected = _sides(session, comparison)
    if words == checked_text(chosen.text, "rewrite"):
        return None
    if words == checked_text(rejected.text, "rewrite"):
        raise Invalid(
            "Your rewrite is the other answer, word for word. Change it, or leave it empty.",
            field="rewrite",
        )
    known = session.get(Rewrite, comparison.id)
    if known is not None:
        refuse_another(session.get_one(Completion, known.edited_id).text == words)
        return known
    prompt = session.get_one(Prompt, chosen.prompt_id)
    edited = write_completion(
        session, prompt, words, source=EDITED, author_id=comparison.annotator_id
    )
    origin = _origin(project, prompt, comparison)
    derived = write_comparisons(session, origin, [Verdict(edited, chosen)])
    rewrite = Rewrite(
        comparison_id=comparison.id,
        chosen_id=chosen.id,
        rejected_id=rejected.id,
        edited_id=edited.id,
        derived_comparison_id=derived[0].id if derived else None,
    )
    session.add(rewrite)
    session.flush()
    return rewrite


def _sides(session: Session, comparison: Comparison) -> tuple[Completion, Completion]:
    """The better completion and the other one."""
    pair = session.get_one(Pair, comparison.pair_id)
    ids: tuple[uuid.UUID, uuid.UUID] = (pair.completion_a_id, pair.completion_b_id)
    better, other = ids if comparison.rating <= 4 else ids[::-1]
    return session.get_one(Completion, better), session.get_one(Completion, other)


def _origin(project: Project, prompt: Prompt, comparison: Comparison) -> Origin:
    return Origin(
        project=project,
        prompt=prompt,
        annotator_id=comparison.annotator_id,
        # The annotator chose what to edit: no part of any uniform sample.
        draw=Draw.PRIORITY,
        probability=1.0,
        # The comparison's own seconds hold the time of the rewrite.
        seconds=0.0,
        key=f"rewrite {comparison.id}",
        guideline_version_id=comparison.guideline_version_id,
        is_surplus=comparison.is_surplus,
    )
