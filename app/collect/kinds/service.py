"""What an annotator answers about a whole prompt: a ranking, ratings, a demonstration."""

import uuid
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.incoming import check_characters, check_text
from app.collect.kinds.derived import Origin, Verdict, write_comparisons, write_completion
from app.collect.kinds.leases import Finished, finish, refuse_another
from app.collect.kinds.order import dense, pairs_of_ranking
from app.errors import Invalid
from app.tables.collect import Completion, Draw, Prompt
from app.tables.kinds import (
    CompletionRating,
    Demonstration,
    PromptAssignment,
    RankedCompletion,
    RankingComparison,
)
from app.tables.projects import Project

DEMONSTRATED = "demonstrated"


def record_ranking(
    session: Session,
    assignment: PromptAssignment,
    ranks: Mapping[uuid.UUID, int],
    said: Finished,
) -> None:
    """Keep the ranks (1 is best, equal ones tie) and write the pairs that follow from them.

    Sent again the same is harmless. Raises Invalid unless each completion shown has a rank, and
    Conflict for another ranking than before or for what was skipped.
    """
    check_all(assignment, ranks, range(1, len(assignment.shown) + 1), "rank")
    places = dense(ranks)
    if not finish(session, assignment, said):
        before = select(RankedCompletion).where(RankedCompletion.ranking_id == assignment.id)
        known = {one.completion_id: one.rank for one in session.scalars(before)}
        refuse_another(known == places)
        return
    session.add_all(
        RankedCompletion(ranking_id=assignment.id, completion_id=one, rank=rank)
        for one, rank in places.items()
    )
    completions = {
        one.id: one for one in session.scalars(select(Completion).where(Completion.id.in_(places)))
    }
    verdicts = [
        Verdict(completions[one], completions[other], is_tie)
        for one, other, is_tie in pairs_of_ranking(places)
    ]
    comparisons = write_comparisons(session, _origin(session, assignment), verdicts)
    session.add_all(
        RankingComparison(comparison_id=one.id, ranking_id=assignment.id) for one in comparisons
    )
    session.flush()


def _origin(session: Session, assignment: PromptAssignment) -> Origin:
    return Origin(
        project=session.get_one(Project, assignment.project_id),
        prompt=session.get_one(Prompt, assignment.prompt_id),
        annotator_id=assignment.annotator_id,
        # Prompts to rank are drawn at random, each with all its answers.
        draw=Draw.UNIFORM,
        probability=1.0,
        seconds=assignment.seconds or 0.0,
        key=f"ranking {assignment.id}",
        guideline_version_id=assignment.guideline_version_id,
        ranking_id=assignment.id,
        is_surplus=assignment.is_surplus,
    )


def record_ratings(
    session: Session,
    assignment: PromptAssignment,
    ratings: Mapping[uuid.UUID, int],
    said: Finished,
) -> None:
    """Keep a rating from 1 to 7 of each completion shown. Raises Invalid and Conflict."""
    check_all(assignment, ratings, range(1, 8), "rating")
    if not finish(session, assignment, said):
        before = select(CompletionRating).where(CompletionRating.assignment_id == assignment.id)
        known = {one.completion_id: one.rating for one in session.scalars(before)}
        refuse_another(known == dict(ratings))
        return
    session.add_all(
        CompletionRating(assignment_id=assignment.id, completion_id=one, rating=rating)
        for one, rating in ratings.items()
    )
    session.flush()


def record_demonstration(
    session: Session, assignment: PromptAssignment, words: str, said: Finished
) -> None:
    """Keep the answer that the annotator wrote: a completion, and data for fine-tuning.

    Raises Invalid for an empty or unstorable text, and Conflict.
    """
    words = checked_text(words, "text")
    prompt = session.get_one(Prompt, assignment.prompt_id)
    if not finish(session, assignment, said):
        known = session.get_one(Demonstration, assignment.id)
        refuse_another(session.get_one(Completion, known.completion_id).text == words)
        return
    completion = write_completion(
        session, prompt, words, source=DEMONSTRATED, author_id=assignment.annotator_id
    )
    session.add(Demonstration(assignment_id=assignment.id, completion_id=completion.id))
    session.flush()


def checked_text(words: str, field: str) -> str:
    """A text that people wrote here, with the line ends of Unix. Raises Invalid."""
    words = words.replace("\r\n", "\n").strip()
    try:
        return check_text(check_characters(words))
    except ValueError as error:
        raise Invalid(f"The text {error}.", field=field) from error


def check_all(
    assignment: PromptAssignment, given: Mapping[uuid.UUID, int], allowed: range, what: str
) -> None:
    """Each completion shown has a number, and nothing else has. Raises Invalid."""
    if set(given) - set(assignment.shown):
        raise Invalid("One of these answers was not on your page. Reload it.", field=what)
    missing = [
        letter
        for letter, one in zip(LETTERS, assignment.shown, strict=False)
        if given.get(one) not in allowed
    ]
    if missing:
        raise Invalid(
            f"Give answer {' and '.join(missing)} a {what} from 1 to {allowed.stop - 1}.",
            field=what,
        )


LETTERS = "ABCDEFGHI"
