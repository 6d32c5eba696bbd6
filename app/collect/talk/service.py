"""What an annotator does in a conversation: say, choose, try again, take back, end.

As the helpful and harmless data was collected (Bai et al. 2022, section 2). A choice is a
comparison like any other, written by the same verb, so that all that reads comparisons reads it.
"""

import contextlib
import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import jobs
from app.collect.incoming import check_characters, check_text
from app.collect.leases import Nothing, Why, must_read
from app.collect.queries import take_room
from app.collect.service import FlagIn, TimeIn, record_comparison
from app.collect.standing import one_at_a_time, standing
from app.collect.talk.drafts import drop_turn_draft
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.tables.base import utc_now
from app.tables.collect import Assignment, AssignmentState, Comparison, Draw, Pair
from app.tables.jobs import Job, JobKind, JobState
from app.tables.projects import Project
from app.tables.talk import Conversation, ConversationState, Turn

LONGEST_MESSAGE = 4_000
MOST_TURNS = 50
# Slot 0 is the pair on the compare page, slot 1 the one after it.
SLOT = 2
LEFT_FOR = timedelta(hours=24)
ELSEWHERE = "This conversation went on in another tab. Reload the page to see it as it is now."


def require_on(project: Project) -> None:
    if not project.is_talk_on:
        raise NotFound(
            "This project does not ask for conversations. Its settings page turns them on."
        )


def why_not(session: Session, project: Project, annotator_id: uuid.UUID) -> Nothing | None:
    """Why this person may not write here now; None where they may."""
    mine = standing(session, project, annotator_id)
    if mine.is_paused or project.is_archived:
        return Nothing(Why.PAUSED)
    if must_read(project, mine):
        return Nothing(Why.UNREAD)
    if mine.hindrance is None:
        return None
    why = Why.LIMIT_REACHED if mine.hindrance.is_limit else Why.NOT_ELIGIBLE
    return Nothing(why, mine.hindrance)


def find_open(
    session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID
) -> Conversation | None:
    return session.scalar(
        select(Conversation).where(
            Conversation.project_id == project_id,
            Conversation.annotator_id == annotator_id,
            Conversation.state == ConversationState.OPEN,
        )
    )


def last_turn(session: Session, conversation_id: uuid.UUID) -> Turn | None:
    return session.scalar(
        select(Turn)
        .where(Turn.conversation_id == conversation_id)
        .order_by(Turn.position.desc())
        .limit(1)
    )


def see(session: Session, conversation: Conversation) -> None:
    """Note that the conversation's page is open; the worker writes for nobody else."""
    session.execute(
        update(Conversation)
        .where(
            Conversation.id == conversation.id,
            Conversation.seen_at < func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, 5),
        )
        .values(seen_at=func.clock_timestamp())
    )


def say(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    words: str,
    *,
    conversation_id: uuid.UUID | None,
    position: int,
) -> Turn:
    """The annotator's next message: a turn, and a job for the worker to answer it twice.

    `conversation_id` and `position` are what the page showed; none and 1 begin a conversation.
    Sent again the same is harmless. Raises Invalid, Forbidden, and Conflict where another tab was
    faster or the last answers wait for a choice.
    """
    require_on(project)
    one_at_a_time(session, annotator_id)
    words = _checked(words)
    talk = find_open(session, project.id, annotator_id)
    last = last_turn(session, talk.id) if talk else None
    if talk and (known := _turn_at(session, talk.id, position)):
        if known.message == words:
            return known
        raise Conflict(ELSEWHERE)
    if conversation_id != (talk.id if talk else None):
        raise Conflict(ELSEWHERE)
    if last is not None and last.chosen_id is None:
        raise Conflict("Choose one of the two answers first; then the conversation goes on.")
    if position != (last.position if last else 0) + 1:
        raise Conflict(ELSEWHERE)
    if position > MOST_TURNS:
        raise Conflict(f"This conversation has had its {MOST_TURNS} turns. Begin a new one.")
    if why_not(session, project, annotator_id):
        raise Forbidden("You can write nothing here at the moment. Reload the page to see why.")
    if talk is None:
        talk = Conversation(project_id=project.id, annotator_id=annotator_id)
        session.add(talk)
        session.flush()
    talk.draft = ""
    turn = Turn(id=uuid.uuid4(), conversation_id=talk.id, position=position, message=words)
    session.add(turn)
    _ask(session, talk, turn)
    return turn


def _checked(words: str) -> str:
    words = words.replace("\r\n", "\n").strip()
    if not words:
        raise Invalid("Write something first.", field="words")
    if len(words) > LONGEST_MESSAGE:
        raise Invalid(
            f"Your message has {len(words):,} characters, and the limit is {LONGEST_MESSAGE:,}. "
            "Shorten it.",
            field="words",
        )
    try:
        return check_text(check_characters(words))
    except ValueError as error:
        raise Invalid(f"Your message {error}.", field="words") from error


def _turn_at(session: Session, conversation_id: uuid.UUID, position: int) -> Turn | None:
    return session.scalar(
        select(Turn).where(Turn.conversation_id == conversation_id, Turn.position == position)
    )


def _ask(session: Session, talk: Conversation, turn: Turn) -> None:
    job = jobs.enqueue(session, talk.project_id, JobKind.REPLY, payload={"turn_id": str(turn.id)})
    turn.job_id = job.id
    talk.seen_at = utc_now()
    session.flush()


def own_turn(
    session: Session, turn_id: uuid.UUID, annotator_id: uuid.UUID, project_id: uuid.UUID
) -> Turn:
    """A turn of the annotator's conversations in that project. Raises NotFound."""
    one_at_a_time(session, annotator_id)
    found = session.scalar(
        select(Turn)
        .join(Conversation, Conversation.id == Turn.conversation_id)
        .where(
            Turn.id == turn_id,
            Conversation.annotator_id == annotator_id,
            Conversation.project_id == project_id,
        )
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound("There is no such turn of yours. Reload the page.")
    return found


@dataclass(frozen=True)
class Choice:
    """What the annotator says about the two answers, in the frame of A and B."""

    rating: int
    seconds: float
    idempotency_key: str
    flags: tuple[FlagIn, ...] = ()
    times: tuple[TimeIn, ...] = ()
    comment: str = ""
    is_about_equal: bool = False
    is_both_bad: bool = False
    confidence: int | None = None


def choose(session: Session, turn: Turn, annotator_id: uuid.UUID, choice: Choice) -> Comparison:
    """Record the comparison and let the better answer go on: A for a rating to 4, else B.

    Sent again the same is harmless. Raises Conflict, and Invalid as `record_comparison` does.
    """
    if turn.pair_id is None:
        raise Conflict("The answers are not there yet. Reload the page.")
    pair = session.get_one(Pair, turn.pair_id)
    comparison = record_comparison(
        session,
        assignment_id=_assignment_id(session, turn, pair, annotator_id),
        annotator_id=annotator_id,
        rating=choice.rating,
        seconds=choice.seconds,
        idempotency_key=choice.idempotency_key,
        flags=choice.flags,
        times=choice.times,
        comment=choice.comment,
        is_about_equal=choice.is_about_equal,
        is_both_bad=choice.is_both_bad,
        confidence=choice.confidence,
        project_id=pair.project_id,
    )
    if turn.comparison_id is None:
        turn.comparison_id = comparison.id
        turn.chosen_id = pair.completion_a_id if choice.rating <= 4 else pair.completion_b_id
        drop_turn_draft(session, turn.id)
        session.flush()
    return comparison


def _assignment_id(session: Session, turn: Turn, pair: Pair, annotator_id: uuid.UUID) -> uuid.UUID:
    """The pair's only assignment: nobody else is asked, so no lease is needed before the answer."""
    if turn.comparison_id is not None:
        return session.get_one(Comparison, turn.comparison_id).assignment_id
    has_room = take_room(session, pair.id)
    assignment = Assignment(
        id=uuid.uuid4(),
        project_id=pair.project_id,
        pair_id=pair.id,
        annotator_id=annotator_id,
        state=AssignmentState.LEASED if has_room else AssignmentState.EXPIRED,
        slot=SLOT,
        draw=Draw.CONVERSATION,
        draw_probability=1.0,
        is_flipped=turn.is_flipped,
        lease_until=utc_now(),
        created_at=turn.answered_at,
    )
    session.add(assignment)
    session.flush()
    return assignment.id


def try_again(session: Session, turn: Turn) -> None:
    """Let the policy write once more, where writing failed or was stopped."""
    if turn.pair_id is not None or _is_waiting(session, turn):
        return
    _ask(session, session.get_one(Conversation, turn.conversation_id), turn)


def _is_waiting(session: Session, turn: Turn) -> bool:
    job = session.get(Job, turn.job_id) if turn.job_id else None
    return job is not None and job.state in (JobState.QUEUED, JobState.RUNNING)


def take_back(session: Session, turn: Turn) -> None:
    """Stop the reply and put the message back into the field. Raises Conflict once it is there."""
    _stop_writing(session, turn)
    if turn.pair_id is not None:
        raise Conflict("The answers came at this moment. Reload the page to see them.")
    session.get_one(Conversation, turn.conversation_id).draft = turn.message
    session.delete(turn)
    session.flush()


def end(session: Session, conversation: Conversation) -> None:
    """Close the conversation, and stop what is written for it. What was chosen stays."""
    if conversation.state is ConversationState.ENDED:
        return
    last = last_turn(session, conversation.id)
    if last is not None:
        _stop_writing(session, last)
    conversation.state, conversation.ended_at = ConversationState.ENDED, utc_now()
    session.flush()


def find_left(
    session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID
) -> Conversation | None:
    """The conversation that was ended last, if it was today's and can go on."""
    last = session.scalar(
        select(Conversation)
        .where(Conversation.project_id == project_id, Conversation.annotator_id == annotator_id)
        .order_by(Conversation.created_at.desc())
        .limit(1)
    )
    if last is None or last.ended_at is None or utc_now() - last.ended_at > LEFT_FOR:
        return None
    turn = last_turn(session, last.id)
    return last if turn is not None and turn.position < MOST_TURNS else None


def go_on(session: Session, project: Project, annotator_id: uuid.UUID) -> None:
    """Open again what was ended last. Raises Conflict where there is nothing to go on with."""
    require_on(project)
    one_at_a_time(session, annotator_id)
    if find_open(session, project.id, annotator_id):
        return
    left = find_left(session, project.id, annotator_id)
    if left is None:
        raise Conflict("There is no conversation of today to go on with. Begin a new one.")
    left.state, left.ended_at = ConversationState.OPEN, None
    session.flush()


def _stop_writing(session: Session, turn: Turn) -> None:
    """Cancel the reply's job. First the job and then the turn, in the worker's order."""
    if turn.pair_id is None and turn.job_id is not None:
        # It may have ended since, which is as well.
        with contextlib.suppress(Conflict):
            jobs.request_cancel(session, turn.job_id)
    session.refresh(turn, with_for_update=True)
