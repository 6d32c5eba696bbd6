"""The live reward model: a lane of its own that learns from each answer as it comes.

A thread of the worker looks a few times a second for answers that are new or changed, hands them
to a child that keeps the last layer in memory (worker.select.desk), and writes the order of the
open pairs that follows. Nothing is told on the way of an answer itself. Whatever is killed, the
next one makes the layer anew from the answers in the tables.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.db import is_passing, session_scope
from app.errors import DomainError
from app.settings import get_settings
from worker.child import Child
from worker.duty import Pace, put_off
from worker.errors import TrainerError
from worker.lane import LONGEST_PAUSE, Lane
from worker.select import answers
from worker.select.answers import LiveRun
from worker.select.pairs import FEATURES
from worker.stages import TRAINER

logger = logging.getLogger("prefloop.worker")

LOOK_SECONDS = 1.0  # for runs that are live now
POOL_SECONDS = 10.0  # for pairs that are new
SETTLE_SECONDS = 5.0  # of rest before all answers are weighed together
WAIT_SECONDS = 120.0
TEXTS_AT_ONCE = 32
# Answers commit a little after the time that stands in them.
OVERLAP = timedelta(seconds=3)
# The claim passes over rows that are being written: never all of them at once.
SHARE_AT_ONCE = 4


class LiveLane(Lane):
    """The lane: a thread, a child, and a watch over each live reward run."""

    def __init__(self, name: str, pace: Pace, argv: tuple[str, ...] = (*TRAINER, "live")) -> None:
        super().__init__(argv, "Live reward model")
        self.name, self.pace = name, pace
        self.generation = 0  # of the child: what it knows dies with it
        self.is_asleep = False
        self._watches: dict[uuid.UUID, Watch] = {}
        self._held_at: dict[uuid.UUID, float] = {}
        self._looked_at = float("-inf")

    def _serve(self) -> None:
        pause = self.pace.listen_for_answers
        try:
            while not self.is_stopping:
                try:
                    did_something = self.turn()
                    pause = self.pace.listen_for_answers
                except (SQLAlchemyError, DomainError, OSError) as error:
                    self._put_off(error, pause)
                    did_something, pause = False, min(2 * pause, LONGEST_PAUSE)
                if not did_something:
                    self.sleep(pause)
            self._let_go()
        finally:
            self.speaker.stop()

    def _put_off(self, error: Exception, pause: float) -> None:
        if isinstance(error, SQLAlchemyError):
            if not is_passing(error):
                logger.error("Live reward model: the database refuses.", exc_info=error)
            put_off(error, pause)
        else:
            logger.warning("Live reward model: %s Trying again in %.1f s.", error, pause)
        self.forget()

    def _let_go(self) -> None:
        try:
            with session_scope() as session:
                for watch in self._watches.values():
                    answers.let_go(session, watch.run, self.name)
        except SQLAlchemyError as error:
            logger.warning("Live reward model: %s", error)

    def forget(self) -> None:
        """End the child: every layer is made anew."""
        self.speaker.stop()
        self.generation += 1

    def turn(self) -> bool:
        """Learn what is new in any project; whether there was anything to do."""
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._look()
        did_something = False
        for watch in list(self._watches.values()):
            did_something = watch.turn() or did_something
        if not did_something and self.speaker.has_rested(self.pace.keep_live):
            self.forget()
            self.is_asleep = True
        return did_something

    def _look(self) -> None:
        with session_scope() as session:
            held = [run for run in answers.live_runs(session) if self._hold(session, run)]
        for run in held:
            watch = self._watches.get(run.id) or Watch(self, run)
            watch.run = run
            self._watches[run.id] = watch
        ids = {run.id for run in held}
        self._watches = {key: watch for key, watch in self._watches.items() if key in ids}
        self._looked_at = time.monotonic()

    def _hold(self, session: Session, run: LiveRun) -> bool:
        """Whether the run is ours to keep: two workers would do the same work twice."""
        now = time.monotonic()
        if now - self._held_at.get(run.id, float("-inf")) < self.pace.lease / 3:
            return True
        if not answers.hold(session, run, self.name, timedelta(seconds=self.pace.lease)):
            self._held_at.pop(run.id, None)
            return False
        self._held_at[run.id] = now
        return True

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the child answers. Raises TrainerError, and OSError where it is over."""
        child = self.speaker.ask(request)
        give_up_at = time.monotonic() + WAIT_SECONDS
        while not child.heard.is_over and not self._is_over(child, give_up_at):
            self.sleep(0.2)
        if child.heard.result is not None:
            return child.heard.result
        said = child.heard.error or "its process ended or took too long."
        raise TrainerError(f"the last layer cannot be kept: {said}")

    def _is_over(self, child: Child, give_up_at: float) -> bool:
        return child.has_ended() or self.is_stopping or time.monotonic() > give_up_at


class Watch:
    """One live reward run: what of it is known here, and when what was last looked at."""

    def __init__(self, lane: LiveLane, run: LiveRun) -> None:
        self.lane, self.run = lane, run
        self._generation = -1
        self._since: datetime | None = None
        self._known: dict[str, int] = {}  # answers that the overlap brings again, by revision
        self._decided: tuple[int, int] | None = None
        self._beliefs: dict[uuid.UUID, float] = {}
        self._missing: list[str] = []
        self._pool_at = self._changed_at = self._decided_at = float("-inf")
        self._is_settled = True

    def turn(self) -> bool:
        if self.lane.is_asleep and self._since is not None:
            if not self._changes() and not self._is_decided_anew():
                return False
            self.lane.is_asleep = False
        if not self._is_open() or self._is_decided_anew():
            return self._begin()
        fresh = self._changes()
        if fresh:
            self._learn(fresh)
            return True
        return self._tend()

    def _is_open(self) -> bool:
        return self._generation == self.lane.generation and self._since is not None

    def _is_decided_anew(self) -> bool:
        if time.monotonic() - self._decided_at < LOOK_SECONDS:
            return False
        self._decided_at = time.monotonic()
        found: tuple[int, int] = self._read(lambda session: answers.decided(session, self.run))
        return found != self._decided

    def _begin(self) -> bool:
        """Make the layer as the tables have it."""
        if not self._is_open():
            folder = get_settings().runs_folder / self.run.artefact
            self.lane.is_asleep = False
            self._ask("open", model=str(folder), features=str(folder.with_name(FEATURES)))
            self._generation = self.lane.generation
        with session_scope() as session:
            self._since = answers.now(session)
            self._decided = answers.decided(session, self.run)
            self._beliefs = answers.beliefs(session, self.run)
            all_ = answers.different(session, self.run, self._beliefs)
        self._learn(all_, is_all=True)
        self._fill_pool()
        return True

    def _changes(self) -> list[dict[str, Any]]:
        """Answers that are new or changed since the last look."""
        since = self._since
        assert since is not None  # noqa: S101 (an open watch has looked)

        def look(session: Session) -> tuple[datetime, list[dict[str, Any]]]:
            return answers.now(session), answers.changed_since(
                session, self.run, self._beliefs, since - OVERLAP
            )

        self._since, found = self._read(look)
        fresh = [one for one in found if self._known.get(one["id"]) != one["revision"]]
        self._known = {one["id"]: one["revision"] for one in found}
        return fresh

    def _learn(self, said: Sequence[dict[str, Any]], *, is_all: bool = False) -> None:
        report = self._ask("learn", answers=said, is_all=is_all)
        while report["missing"]:
            for start in range(0, len(report["missing"]), TEXTS_AT_ONCE):
                self._read_completions(report["missing"][start : start + TEXTS_AT_ONCE])
            report = self._ask("learn", answers=said, is_all=is_all)
        self._publish(report["ranked"])
        if is_all or report["n"]:
            with session_scope() as session:
                answers.publish_state(session, self.run, report)
        if report["n"]:
            self._changed_at, self._is_settled = time.monotonic(), False

    def _tend(self) -> bool:
        """What can wait for a quiet moment: pairs that are new, completions not read yet, rest."""
        if self._missing and not self.run.is_ranking:
            self._read_completions(self._missing[:TEXTS_AT_ONCE])
            self._missing = self._missing[TEXTS_AT_ONCE:]
            if not self._missing:
                self._fill_pool()
            return True
        is_quiet = time.monotonic() - self._changed_at > SETTLE_SECONDS
        if not self._is_settled and is_quiet:
            self._is_settled = True
            self._publish(self._ask("settle")["ranked"])
            return True
        if time.monotonic() - self._pool_at > POOL_SECONDS and not self.run.is_ranking:
            self._fill_pool()
        return False

    def _fill_pool(self) -> None:
        """Hand over the pairs that are open now, and rank those that were read.

        Meanwhile the ranking after a training may read the completions anyway: see `_tend`.
        """
        self._pool_at = time.monotonic()
        pairs = self._read(lambda session: answers.open_pairs(session, self.run))
        report = self._ask("pool", pairs=pairs)
        self._publish(report["ranked"])
        self._missing = report["missing"]

    def _read_completions(self, ids: Sequence[str]) -> None:
        found = self._read(lambda session: answers.texts(session, ids))
        scores = self._ask("read", texts=found)["scores"]
        with session_scope() as session:
            answers.publish_scores(session, self.run.id, scores)

    def _publish(self, ranked: Sequence[Sequence[Any]]) -> None:
        size = max(1, min(64, len(ranked) // SHARE_AT_ONCE))
        for start in range(0, len(ranked), size):
            with session_scope() as session:
                answers.publish_ranks(session, self.run, ranked[start : start + size])

    def _ask(self, do: str, **values: Any) -> dict[str, Any]:
        return self.lane.ask({"do": do, "run": str(self.run.id), **values})

    def _read(self, look: Callable[[Session], Any]) -> Any:
        with session_scope() as session:
            return look(session)
