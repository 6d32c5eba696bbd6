"""What the worker reads of a turn, and the two answers that it writes to it.

Prompt, completions and pair are rows like those that are imported, so that everything that reads
them reads these. Each turn has a pair of its own even where the same words were said before.
"""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app import jobs
from app.collect.incoming import Message
from app.collect.intake import prompt_hash, text_hash
from app.collect.pairing import comes_first
from app.errors import Conflict
from app.markdown import RENDERER, render_markdown
from app.tables.base import utc_now
from app.tables.collect import Completion, Pair, Prompt
from app.tables.projects import Project
from app.tables.talk import Conversation, ConversationState, Turn

# Browsers let a page in the background ask once a minute.
PATIENCE = timedelta(seconds=90)
CHANCE = random.SystemRandom()


@dataclass(frozen=True)
class Written:
    """One answer of the policy, and how boldly it was sampled."""

    text: str
    temperature: float


def messages_of(session: Session, turn_id: uuid.UUID) -> list[dict[str, str]]:
    """The conversation up to this turn's message, as the policy reads it.

    Raises Stopped where the turn was taken back, its conversation ended, or nobody looks at it.
    """
    turn = session.get(Turn, turn_id)
    talk = session.get(Conversation, turn.conversation_id) if turn else None
    if turn is None or talk is None or talk.state is ConversationState.ENDED:
        raise jobs.Stopped("The message was taken back.")
    if utc_now() - talk.seen_at > PATIENCE:
        raise jobs.Stopped("Nobody was on the page any more.")
    before = session.execute(
        select(Turn.message, Completion.text)
        .join(Completion, Completion.id == Turn.chosen_id)
        .where(Turn.conversation_id == talk.id, Turn.position < turn.position)
        .order_by(Turn.position)
    )
    messages = []
    for said, answered in before:
        messages.append({"role": "user", "content": said})
        messages.append({"role": "assistant", "content": answered})
    return [*messages, {"role": "user", "content": turn.message}]


def publish(
    session: Session,
    turn_id: uuid.UUID,
    messages: Sequence[dict[str, str]],
    written: tuple[Written, Written],
    *,
    policy_run_id: uuid.UUID,
    is_cut: bool,
    rng: random.Random = CHANCE,
) -> Pair:
    """Write the two answers, shown in an order that chance decides; flushes.

    The pair stays out of the queue: whoever holds the conversation compares it. Raises Conflict
    where the turn is gone.
    """
    turn = session.scalar(select(Turn).where(Turn.id == turn_id).with_for_update())
    if turn is None:
        raise Conflict("The message was taken back while the answers were written.")
    talk = session.get_one(Conversation, turn.conversation_id)
    project = session.get_one(Project, talk.project_id)
    prompt = _prompt(session, talk, messages)
    one, other = (_completion(prompt, turn, words, policy_run_id) for words in written)
    session.add_all([one, other])
    session.flush()
    a, b = one, other
    if not comes_first(prompt.content_hash, one.content_hash, other.content_hash):
        a, b = other, one
    pair = Pair(
        id=uuid.uuid4(),
        project_id=project.id,
        prompt_id=prompt.id,
        completion_a_id=a.id,
        completion_b_id=b.id,
        overlap=project.overlap,
        is_open=False,
        conversation_id=talk.id,
    )
    session.add(pair)
    session.flush()
    turn.pair_id, turn.answered_at, turn.is_cut = pair.id, utc_now(), is_cut
    turn.is_flipped = rng.random() < 0.5
    session.flush()
    return pair


def _prompt(session: Session, talk: Conversation, messages: Sequence[dict[str, str]]) -> Prompt:
    key = prompt_hash(Message.model_validate(one) for one in messages)
    row = {
        "project_id": talk.project_id,
        "messages": list(messages),
        "html": [render_markdown(one["content"]) for one in messages],
        "renderer": RENDERER,
        "content_hash": key,
        # All turns of one conversation on one side of a held-out split: they share their words.
        "group_key": f"conversation {talk.id}",
    }
    session.execute(insert(Prompt).values(row).on_conflict_do_nothing())
    found = select(Prompt).where(Prompt.project_id == talk.project_id, Prompt.content_hash == key)
    return session.scalars(found).one()


def _completion(
    prompt: Prompt, turn: Turn, written: Written, policy_run_id: uuid.UUID
) -> Completion:
    return Completion(
        id=uuid.uuid4(),
        project_id=prompt.project_id,
        prompt_id=prompt.id,
        text=written.text,
        html=render_markdown(written.text),
        renderer=RENDERER,
        content_hash=text_hash(written.text),
        source=f"turn {turn.id}, temperature {written.temperature:g}",
        policy_run_id=policy_run_id,
    )
