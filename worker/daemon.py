"""The worker: see what is due, claim a job, let a child do it, publish what came out.

This process imports no torch. It stays small and awake, so that its heartbeat goes on whatever the
trainer does, and a trainer that dies takes nothing with it.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError

from app import jobs
from app.db import get_engine, is_passing, session_scope
from app.loop.idle import keep_up
from app.loop.service import advance
from app.tables.jobs import JobKind
from worker.device import describe_device
from worker.duty import Pace, Training, put_off
from worker.live import LiveLane
from worker.replies import Replies
from worker.stages import STAGES, Stage

logger = logging.getLogger("prefloop.worker")
LONGEST_PAUSE = 15.0
NEVER = float("-inf")


class Worker:
    """One worker process. Use it from the main thread: its children must not outlive it."""

    def __init__(
        self,
        *,
        name: str | None = None,
        stages: Mapping[JobKind, Stage] = STAGES,
        pace: Pace | None = None,
        device: str | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.stages = stages
        self.pace = pace or Pace()
        self.is_stopping = False
        self._wake = threading.Event()
        self._device = device or ""
        self._seen_at = NEVER
        self._said: set[str] = set()

    def stop(self, *_: object) -> None:
        """Finish what can be finished within the grace time, hand the rest back, and end."""
        self.is_stopping = True
        self._wake.set()

    def serve(self) -> None:
        """Work until told to stop. Without a database, wait for it."""
        if not self._device:
            threading.Thread(target=self._find_device, name="device", daemon=True).start()
        lanes = (Replies(self.name, self.pace), LiveLane(self.name, self.pace))
        for lane in lanes:
            lane.start()
        try:
            self._turn_until_stopped()
        finally:
            for lane in lanes:
                lane.stop()

    def _turn_until_stopped(self) -> None:
        pause = self.pace.idle
        while not self.is_stopping:
            try:
                did_something = self.turn()
            except SQLAlchemyError as error:
                if not is_passing(error):
                    raise
                put_off(error, pause)
                self.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause = self.pace.idle
            if not did_something:
                self.sleep(pause)

    def turn(self) -> bool:
        """Start what is due and do one job; whether there was anything to do."""
        self.be_seen()
        with session_scope() as session:
            sentences = advance(session)
        for sentence in sentences:
            self._say_once(sentence)
        with session_scope() as session:
            job = jobs.claim(session, self.name, timedelta(seconds=self.pace.lease))
        if job is None:
            with session_scope() as session:
                keep_up(session)
            return False
        logger.info("Job %s: %s, attempt %d.", job.id, job.kind, job.attempt)
        self._said.clear()
        Training(self, job, self.stages[job.kind]).do()
        return True

    def be_seen(self) -> None:
        """Note that this worker lives, now and then."""
        if time.monotonic() - self._seen_at < self.pace.seen_every:
            return
        self._seen_at = time.monotonic()
        with session_scope() as session:
            jobs.see_worker(session, self.name, self._device or "looking for a GPU")

    def _find_device(self) -> None:
        self._device = describe_device()
        self._seen_at = NEVER

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until something happens."""
        self._wake.wait(seconds)
        self._wake.clear()

    def wake(self) -> None:
        self._wake.set()

    def _say_once(self, sentence: str) -> None:
        """Log a sentence; one that comes back each turn while nothing changes, once."""
        if sentence not in self._said:
            logger.info("%s", sentence)
            self._said.add(sentence)


def run_daemon(once: bool = False) -> None:
    """Serve this Prefloop installation: turn the loop and train, until SIGTERM.

    With `once`, do what is due now and end.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    worker = Worker()

    def stop(number: int, _frame: FrameType | None) -> None:
        logger.info("%s: stopping.", signal.Signals(number).name)
        worker.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if once:
        while not worker.is_stopping and worker.turn():
            pass
        Replies(worker.name, worker.pace).answer_all()
    else:
        worker.serve()
    get_engine().dispose()


def run_until_idle(
    max_seconds: float,
    *,
    stages: Mapping[JobKind, Stage] = STAGES,
    pace: Pace | None = None,
    until: Callable[[], bool] = lambda: False,
) -> int:
    """Do jobs in this process until none is due, `until` holds or the time is over; how many.

    For the demonstration and for tests; call it from the main thread.
    """
    worker = Worker(stages=stages, pace=pace or Pace(idle=0.05), device="this process")
    give_up_at, n_done = time.monotonic() + max_seconds, 0
    while time.monotonic() < give_up_at and not until() and worker.turn():
        n_done += 1
    return n_done
