"""Replies to people who wait at a page: a lane of its own, beside whatever trains.

A thread of the worker claims them one after the other and asks a child that keeps the live policy
in memory. The child dies with the worker; a reply that was not published is written by the next.
"""

import logging
import time
import uuid
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import jobs, runs
from app.collect.incoming import CompletionIn
from app.collect.talk import replies
from app.db import is_passing, session_scope
from app.jobs import Claim, Orders, Stopped
from app.policy import service as policies
from app.tables.projects import Project
from app.tables.runs import PolicyRun
from worker.child import Child
from worker.duty import STOPPED, Duty, HandedBack, Pace, put_off
from worker.errors import BROKEN_OFF, TrainerError
from worker.lane import LONGEST_PAUSE, Lane
from worker.stages import TRAINER

logger = logging.getLogger("prefloop.worker")

# Two variants at two temperatures, as Llama 2's were written (Touvron et al. 2023, section 3.1).
TEMPERATURES = (0.7, 1.0)
MOST_NEW_TOKENS = 512
PATIENCE = 1.0
TOO_LONG = (
    "The model took more than {seconds:.0f} seconds and was stopped. Let it write again, or begin "
    "a new conversation, which is shorter to read."
)
NO_POLICY = "No policy has been trained yet. The loop's first turn brings one."
BLANK = "The model answered with nothing that can be shown. Write it in other words."


class Replies(Lane):
    """The lane: a thread that claims and answers. It employs each reply as a worker does a job."""

    def __init__(self, name: str, pace: Pace, argv: tuple[str, ...] = (*TRAINER, "talk")) -> None:
        super().__init__(argv, "Replies")
        self.name, self.pace = name, pace

    def answer_all(self) -> None:
        """Answer what waits now, in this thread."""
        try:
            while self.turn():
                pass
        finally:
            self.speaker.stop()

    def _serve(self) -> None:
        pause = self.pace.listen
        try:
            while not self.is_stopping:
                try:
                    did_something = self.turn()
                    pause = self.pace.listen
                except SQLAlchemyError as error:
                    if not is_passing(error):
                        logger.error("Replies: the database refuses.", exc_info=error)
                    put_off(error, pause)
                    did_something = False
                    pause = min(2 * pause, LONGEST_PAUSE)
                if not did_something:
                    self.sleep(pause)
                    self.speaker.rest(self.pace.keep_policy)
        finally:
            self.speaker.stop()

    def turn(self) -> bool:
        """Answer one message; whether there was one."""
        with session_scope() as session:
            jobs.sweep(session, replies=True)
            job = jobs.claim_reply(session, self.name, timedelta(seconds=self.pace.lease))
        if job is None:
            return False
        Reply(self, job).do()
        return True

    def be_seen(self) -> None:
        """The worker's own thread sees to that."""


class Reply(Duty):
    """One message and its two answers."""

    def __init__(self, lane: Replies, job: Claim) -> None:
        super().__init__(lane, job)
        self.lane = lane

    def _work(self) -> None:
        turn_id = uuid.UUID(self.job.payload["turn_id"])
        messages, run_id, request = self._patiently(lambda: self._read(turn_id))
        report = self._hear(request)
        written = _written(report)

        def publish(session: Session) -> None:
            jobs.finish(session, self.job)
            replies.publish(
                session,
                turn_id,
                messages,
                written,
                policy_run_id=run_id,
                is_cut=bool(report["is_cut"]),
            )

        self._in_database(publish)

    def _read(self, turn_id: uuid.UUID) -> tuple[list[dict[str, str]], uuid.UUID, dict[str, Any]]:
        with session_scope() as session:
            messages = replies.messages_of(session, turn_id)
            project = session.get_one(Project, self.job.project_id)
            run = _policy_of(session, project)
            request = {
                "model": runs.artefact_path(run),
                "messages": messages,
                "temperatures": TEMPERATURES,
                "max_new_tokens": min(project.max_new_tokens, MOST_NEW_TOKENS),
                # Another try gets other words.
                "seed": f"{self.job.id} {self.job.attempt}",
            }
            return messages, run.id, request

    def _hear(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the child answers, under a heartbeat and within the time. Raises TrainerError."""
        give_up_at = time.monotonic() + self.lane.pace.reply
        child = self._ask(request)
        while not child.heard.is_over and not child.has_ended():
            self.lane.sleep(min(self._retry_in, max(0.01, give_up_at - time.monotonic())))
            if child.heard.is_over:
                break
            self._go_on_or_stop(child, give_up_at)
        if child.heard.result is not None:
            return child.heard.result
        if child.heard.error:
            raise TrainerError(child.heard.error)
        self.lane.speaker.stop()
        raise TrainerError(BROKEN_OFF)

    def _fail_by_mistake(self, error: Exception) -> None:
        logger.error("Reply %s failed by our mistake.", self.job.id, exc_info=error)
        self._fail(BROKEN_OFF)

    def _ask(self, request: dict[str, Any]) -> Child:
        try:
            return self.lane.speaker.ask(request)
        except OSError:
            # It ended between two requests.
            self.lane.speaker.stop()
            return self.lane.speaker.ask(request)

    def _go_on_or_stop(self, child: Child, give_up_at: float) -> None:
        """Raises, after the end of the child, when nobody needs its answer any more."""
        try:
            if self.lane.is_stopping:
                raise HandedBack
            if time.monotonic() > give_up_at:
                raise TrainerError(TOO_LONG.format(seconds=self.lane.pace.reply))
            if self._beat() is Orders.CANCEL:
                self._let_finish(child)
                raise Stopped(STOPPED)
        except BaseException:
            if not child.heard.is_over:
                self.lane.speaker.stop()
            raise

    def _let_finish(self, child: Child) -> None:
        """A moment's patience with words that nobody wants: a new child costs seconds."""
        give_up_at = time.monotonic() + PATIENCE
        while not child.heard.is_over and time.monotonic() < give_up_at:
            self.lane.sleep(0.05)


def _policy_of(session: Session, project: Project) -> PolicyRun:
    run = policies.find_live(session, project) or policies.find_reference(session, project)
    if run is None:
        raise TrainerError(NO_POLICY)
    return run


def _written(report: dict[str, Any]) -> tuple[replies.Written, replies.Written]:
    """The two answers, if people can be shown them. Raises TrainerError."""
    try:
        one, other = (CompletionIn(text=found["text"]) for found in report["completions"])
    except ValidationError as error:
        raise TrainerError(BLANK) from error
    low, high = TEMPERATURES
    return replies.Written(one.text, low), replies.Written(other.text, high)
