"""One claimed job from its first file to its last row, under a heartbeat."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import jobs, runs
from app.db import get_engine, is_passing, is_server_away, session_scope
from app.errors import DomainError
from app.jobs import Claim, LostLease, Orders, Stopped
from worker import stages
from worker.child import Child, Heard
from worker.errors import TrainerError
from worker.stages import Stage

logger = logging.getLogger("prefloop.worker")
Answer = TypeVar("Answer")
MOST_REFUSALS = 2
STOPPED = "A person stopped this job."
OUR_MISTAKE = (
    "Prefloop made a mistake while it worked on this: {error}. The worker's log says more. "
    "Try again; nothing saved before was touched."
)


@dataclass(frozen=True)
class Pace:
    """How often a worker does what, in seconds."""

    heartbeat: float = 2.0
    lease: float = jobs.LEASE.total_seconds()
    idle: float = 1.0
    seen_every: float = 20.0
    # From SIGTERM to the child until it is killed; the worker itself has 15 s in all.
    grace: float = 10.0
    longest_retry: float = 5.0
    # Replies to people who wait: how often one is looked for, how long one may take with the
    # loading of its policy, and how long the policy stays in memory after the last.
    listen: float = 0.4
    reply: float = 120.0
    keep_policy: float = 900.0
    # The live reward model: how often answers are looked for, and how long it stays in memory
    # after the last.
    listen_for_answers: float = 0.25
    keep_live: float = 3600.0


def _as_metrics(steps: list[tuple[int, dict[str, float | None]]]) -> list[runs.Metric]:
    return [runs.Metric(name, step, value) for step, values in steps
            for name, value in values.items()]  # fmt: skip


class Employer(Protocol):
    """What a duty needs of its worker."""

    pace: Pace
    is_stopping: bool

    def sleep(self, seconds: float) -> None: ...

    def wake(self) -> None: ...

    def be_seen(self) -> None: ...


class HandedBack(Exception):
    """The worker is stopping: someone else goes on."""


def put_off(error: SQLAlchemyError, seconds: float) -> None:
    """Say why it is tried again in so many seconds, and let go of connections to a server away."""
    if is_server_away(error):
        logger.warning("The database is away; trying again in %.1f s.", seconds)
        get_engine().dispose()
    else:
        reason = getattr(error, "orig", error)
        logger.warning("The database refused: %s Trying again in %.1f s.", reason, seconds)


class Duty(ABC):
    """A claim and what serves it. `do` ends the job one way or another, or leaves it to whoever
    holds its newer token."""

    def __init__(self, worker: Employer, job: Claim) -> None:
        self.worker, self.job = worker, job
        self._heard = Heard()
        self._unsent: list[runs.Metric] = []
        self._retry_in = worker.pace.heartbeat

    def do(self) -> None:
        """Prepare, run, verify, publish.

        Raises SQLAlchemyError when the database is away and we are told to stop, or refuses even
        to end the job: the lease then runs out by itself.
        """
        try:
            self._work()
        except LostLease as lost:
            logger.warning("Job %s: %s", self.job.id, lost.message)
        except Stopped:
            self._conclude(stages.end_cancelled)
        except HandedBack:
            self._conclude(stages.hand_back)
        except DomainError as error:
            self._fail(error.message)
        except SQLAlchemyError as error:
            if is_server_away(error):
                raise
            self._fail_by_mistake(error)
        except Exception as error:
            self._fail_by_mistake(error)

    @abstractmethod
    def _work(self) -> None:
        """The job from its first row to its last."""

    def _ask_leave(self) -> None:
        if self._beat() is Orders.CANCEL:
            raise Stopped(STOPPED)

    def _beat(self) -> Orders:
        """Renew the lease and report. Without a database, go on and try again later.

        Raises LostLease. Metrics go in the same transaction, so that a lost claim writes none.
        """
        try:
            with session_scope() as session:
                orders = self._renew(session, self._heard)
        except SQLAlchemyError as error:
            if not is_passing(error):
                raise
            self._retry_later(error)
            return Orders.GO_ON
        self._unsent.clear()
        self._retry_in = self.worker.pace.heartbeat
        return orders

    def _renew(self, session: Session, heard: Heard) -> Orders:
        orders = jobs.heartbeat(
            session,
            self.job,
            done=heard.done,
            total=heard.total,
            message=heard.message,
            lease=timedelta(seconds=self.worker.pace.lease),
        )
        self._write_metrics(session)
        self.worker.be_seen()
        return orders

    def _write_metrics(self, session: Session) -> None:
        """Write what the child has measured and no committed transaction holds yet."""
        self._unsent += _as_metrics(self._heard.hand_over_metrics())
        if self._unsent and self.job.run_id is not None:
            runs.record_metrics(session, self.job.run_id, self._unsent)

    def _retry_later(self, error: SQLAlchemyError) -> None:
        put_off(error, self._retry_in)
        longest = max(self.worker.pace.longest_retry, self.worker.pace.heartbeat)
        self._retry_in = min(2 * self._retry_in, longest)

    def _in_database(self, act: Callable[[Session], None]) -> None:
        """Do `act`, which checks the claim, in one transaction with the last metrics.

        When a commit's answer was lost, the second try finds the token gone: LostLease.
        """

        def transact() -> None:
            with session_scope() as session:
                act(session)
                self._write_metrics(session)

        self._patiently(transact)
        self._unsent.clear()

    def _patiently(self, act: Callable[[], Answer]) -> Answer:
        """What `act` returns, once the database lets it: waits for one that is away.

        One that refuses may do so twice. Raises SQLAlchemyError, at once when told to stop.
        """
        n_refusals = 0
        while True:
            try:
                return act()
            except SQLAlchemyError as error:
                n_refusals += not is_server_away(error)
                is_over = self.worker.is_stopping or n_refusals > MOST_REFUSALS
                if is_over or not is_passing(error):
                    raise
                self._retry_later(error)
            self.worker.sleep(self._retry_in)

    def _conclude(self, how: Callable[[Session, Claim], None]) -> None:
        try:
            self._in_database(lambda session: how(session, self.job))
        except LostLease as lost:
            logger.warning("Job %s: %s", self.job.id, lost.message)

    def _fail(self, error: str) -> None:
        logger.warning("Job %s failed: %s", self.job.id, error)
        self._conclude(lambda session, job: stages.fail(session, job, error))

    def _fail_by_mistake(self, error: Exception) -> None:
        logger.error("Job %s failed by our mistake.", self.job.id, exc_info=error)
        self._fail(OUR_MISTAKE.format(error=f"{type(error).__name__}: {error}"[:300]))


class Training(Duty):
    """A duty that a stage serves, with a child process of its own."""

    def __init__(self, worker: Employer, job: Claim, stage: Stage) -> None:
        super().__init__(worker, job)
        self.stage = stage

    def _work(self) -> None:
        folder = stages.job_folder(self.job)
        self._in_database(lambda session: stages.begin(session, self.job))
        argv = self._patiently(lambda: self._while_beating(lambda: self._prepare(folder)))
        report = self._run_child(argv, folder)
        outcome = self._while_beating(lambda: self.stage.collect(folder, report))
        self._in_database(lambda session: self.stage.publish(session, self.job, folder, outcome))
        logger.info("Job %s: finished.", self.job.id)

    def _prepare(self, folder: Path) -> list[str]:
        with session_scope() as session:
            return self.stage.prepare(session, self.job, folder)

    def _run_child(self, argv: list[str], folder: Path) -> dict[str, Any]:
        """The child's report. Raises TrainerError with the reason when there is none."""
        if self.worker.is_stopping:
            raise HandedBack
        # Whoever holds the job by now trains in this folder: Child would kill that trainer.
        self._ask_leave()
        child = Child(argv, folder, self.worker.wake)
        self._heard = child.heard
        try:
            self._in_database(lambda session: self._keep(session, child.kept))
            while not child.has_ended():
                self.worker.sleep(self._retry_in)
                self._react(child)
            status = child.finish()
        finally:
            child.kill()
            child.finish()
        self._ask_leave()
        if status == 0 and child.heard.result is not None:
            return child.heard.result
        if self.worker.is_stopping and not child.heard.error:
            raise HandedBack
        raise TrainerError(child.obituary(status))

    def _keep(self, session: Session, kept: list[tuple[int, dict[str, float | None]]]) -> None:
        """Write metrics of trainers before this one that no row holds yet."""
        jobs.hold(session, self.job)
        if self.job.run_id is not None:
            runs.record_metrics(session, self.job.run_id, _as_metrics(kept), replaces=False)

    def _react(self, child: Child) -> None:
        if self.worker.is_stopping:
            self._let_end(child)
        elif self._beat() is Orders.CANCEL:
            self._let_end(child)
            raise Stopped(STOPPED)

    def _let_end(self, child: Child) -> None:
        """Give the child its grace time to save, then kill it."""
        child.terminate()
        give_up_at = time.monotonic() + self.worker.pace.grace
        while not child.has_ended() and time.monotonic() < give_up_at:
            time.sleep(0.02)
        child.kill()

    def _while_beating(self, act: Callable[[], Answer]) -> Answer:
        """What `act` returns, from a thread of its own while this one renews the lease."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(act)
            future.add_done_callback(lambda _: self.worker.wake())
            while not future.done():
                self.worker.sleep(self._retry_in)
                if not future.done():
                    self._beat()
            return future.result()
