"""What the page of a conversation shows, and nothing about who writes the answers."""

import uuid
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from app import jobs
from app.collect.sheets import Sheet, sheet_of
from app.collect.talk.service import MOST_TURNS, find_open, last_turn
from app.markdown import render_markdown
from app.tables.collect import Pair
from app.tables.jobs import Job, JobKind, JobState
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RunState
from app.tables.talk import Conversation, Turn

AWAY = "The model stopped, because the conversation was left."
GONE = "The reply was lost. Let the model write again."


class Stage(StrEnum):
    BEGIN = "begin"  # no conversation is open
    WRITE = "write"  # the annotator's turn
    WAIT = "wait"  # the policy writes
    FAILED = "failed"  # it could not, or was stopped
    CHOOSE = "choose"  # two answers are there
    FULL = "full"  # as long as a conversation may be


class Waiting(StrEnum):
    """Why the answers are not there yet."""

    WRITING = "writing"
    QUEUED = "queued"  # others are before us
    NOBODY = "nobody"  # no worker runs


@dataclass(frozen=True)
class Dialogue:
    """What was said so far, without the two answers that wait for a choice."""

    roles: tuple[str, ...] = ()
    html: tuple[str, ...] = ()

    def and_then(self, role: str, html: str) -> "Dialogue":
        return Dialogue((*self.roles, role), (*self.html, html))


@dataclass(frozen=True)
class Desk:
    """The page of one annotator. `sheet` holds the two answers at the stage CHOOSE."""

    stage: Stage
    conversation: Conversation | None = None
    turn: Turn | None = None
    dialogue: Dialogue = Dialogue()
    sheet: Sheet | None = None
    waiting: Waiting | None = None
    n_before: int = 0
    error: str = ""

    @property
    def position(self) -> int:
        """The position of the next message."""
        return self.turn.position + 1 if self.turn else 1

    @property
    def mark(self) -> str:
        """Differs where the page would look different."""
        turn = self.turn.id if self.turn else ""
        return f"{self.stage}.{turn}.{self.waiting or ''}.{self.n_before}"


def can_talk(session: Session, project: Project) -> bool:
    """Whether the project asks for conversations and has a policy that can answer."""
    return project.is_talk_on and has_policy(session, project.id)


def invitation(session: Session, project: Project, annotator_id: uuid.UUID) -> str:
    """What a conversation waits for from this person, in words; nothing where none can be had."""
    if not can_talk(session, project):
        return ""
    talk = find_open(session, project.id, annotator_id)
    last = last_turn(session, talk.id) if talk else None
    if last is None:
        return "a model to talk with"
    if last.pair_id is None:
        return "a conversation: the model is writing to you"
    if last.chosen_id is None:
        return "a conversation: two answers wait for your choice"
    return "a conversation: it is your turn"


def has_policy(session: Session, project_id: uuid.UUID) -> bool:
    """Whether some policy can answer: the live one, or the project's first."""
    first = PolicyRun.algorithm.in_([Algorithm.BASE, Algorithm.SFT])
    found = exists().where(
        PolicyRun.project_id == project_id,
        PolicyRun.is_live | (first & (PolicyRun.state == RunState.FINISHED)),
    )
    return bool(session.scalar(select(found)))


def desk_of(session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID) -> Desk:
    talk = find_open(session, project_id, annotator_id)
    if talk is None:
        return Desk(Stage.BEGIN)
    turn = last_turn(session, talk.id)
    if turn is None:
        return Desk(Stage.WRITE, talk)
    if turn.chosen_id is not None:
        stage = Stage.FULL if turn.position >= MOST_TURNS else Stage.WRITE
        return Desk(stage, talk, turn, _with_choice(session, turn))
    if turn.pair_id is not None:
        sheet = sheet_of(session, turn.pair_id, is_flipped=turn.is_flipped)
        return Desk(Stage.CHOOSE, talk, turn, Dialogue(sheet.roles, sheet.html), sheet)
    before = session.scalar(
        select(Turn).where(Turn.conversation_id == talk.id, Turn.position == turn.position - 1)
    )
    dialogue = _with_choice(session, before) if before else Dialogue()
    dialogue = dialogue.and_then("user", render_markdown(turn.message))
    return _waiting(session, Desk(Stage.WAIT, talk, turn, dialogue))


def _with_choice(session: Session, turn: Turn) -> Dialogue:
    pair = session.get_one(Pair, turn.pair_id)
    sheet = sheet_of(session, pair.id, is_flipped=False)
    chosen = sheet.left if turn.chosen_id == pair.completion_a_id else sheet.right
    return Dialogue(sheet.roles, sheet.html).and_then("assistant", chosen.html)


def _waiting(session: Session, desk: Desk) -> Desk:
    job = session.get(Job, desk.turn.job_id) if desk.turn and desk.turn.job_id else None
    if job is None or job.state is JobState.FINISHED:
        return replace(desk, stage=Stage.FAILED, error=GONE)
    if job.state is JobState.FAILED:
        return replace(desk, stage=Stage.FAILED, error=job.error)
    if job.state is JobState.CANCELLED:
        return replace(desk, stage=Stage.FAILED, error=AWAY)
    if job.state is JobState.RUNNING:
        return replace(desk, waiting=Waiting.WRITING)
    if not jobs.live_workers(session):
        return replace(desk, waiting=Waiting.NOBODY)
    n_before = session.scalar(
        select(func.count()).where(
            Job.kind == JobKind.REPLY,
            Job.state.in_([JobState.QUEUED, JobState.RUNNING]),
            Job.created_at < job.created_at,
        )
    )
    return replace(desk, waiting=Waiting.QUEUED, n_before=n_before or 0)
