"""Workers for tests: the real daemon with the fake trainer behind its stages.

As a program: `python -m tests.worker.workers NAME MODE LEASE` serves until it is told to stop.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import runs
from app.collect.intake import PromptIn, add_prompts
from app.jobs import Claim
from app.tables.jobs import Job, JobKind
from app.tables.projects import Project
from app.tables.runs import PolicyRun
from tests.support import make_project
from worker.daemon import Worker
from worker.duty import Pace
from worker.stages import STAGES, Stage

FAKE = Path(__file__).with_name("fake_trainer.py")
QUICK = Pace(heartbeat=0.1, lease=20, idle=0.05, grace=1.0, seen_every=0.2)


def fake_stages(mode: str) -> dict[JobKind, Stage]:
    """The real stages, with the fake trainer in place of the real one."""

    def with_fake(stage: Stage) -> Stage:
        def prepare(session: Session, job: Claim, folder: Path) -> list[str]:
            stage.prepare(session, job, folder)
            return [sys.executable, str(FAKE), str(folder / "model"), mode]

        return replace(stage, prepare=prepare)

    return {kind: with_fake(stage) for kind, stage in STAGES.items()}


def make_worker(mode: str, name: str = "alice", pace: Pace = QUICK) -> Worker:
    return Worker(name=name, stages=fake_stages(mode), pace=pace, device="CPU, 1 core")


def make_talking_project(session: Session, slug: str = "garden", **values: object) -> Project:
    """A project with three prompts and answers to learn from, so that SFT is due; committed."""
    project = make_project(session, slug, **values)
    prompts = [
        PromptIn.model_validate(
            {
                "messages": [{"role": "user", "content": f"Tell me about plant {i}."}],
                "completions": [{"text": f"Plant {i} is green."}, {"text": f"Plant {i} is old."}],
            }
        )
        for i in range(3)
    ]
    add_prompts(session, project, prompts)
    session.commit()
    return project


@contextmanager
def worker_process(name: str, mode: str, lease: float = 20) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.worker.workers", name, mode, str(lease)], env=os.environ
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], seconds: float = 40) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.02)


# SFT is the first job of a fresh project; a second turn would go on to sample the new policy.


def only_job(session: Session) -> Job:
    session.expire_all()
    job = session.scalars(select(Job).where(Job.kind == JobKind.SFT)).one()
    session.commit()
    return job


def only_run(session: Session) -> PolicyRun:
    session.expire_all()
    run = session.scalars(select(PolicyRun)).one()
    session.commit()
    return run


def is_counting(session: Session) -> bool:
    job = session.scalar(
        select(Job).where(Job.progress_done > 1).execution_options(populate_existing=True)
    )
    session.commit()
    return job is not None


def model_folder(session: Session) -> Path:
    return Path(runs.artefact_path(only_run(session)))


def starts(session: Session) -> list[tuple[int, int]]:
    """(step it went on from, process) of each trainer that came to its end."""
    lines = model_folder(session).with_name("starts").read_text().splitlines()
    return [(int(first), int(pid)) for first, pid in (line.split() for line in lines)]


def trainer_lock(session: Session) -> Path:
    return runs.run_folder(only_run(session).id) / "trainer.lock"


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    pace = Pace(heartbeat=0.1, lease=float(sys.argv[3]), idle=0.05, grace=2.0)
    worker = make_worker(sys.argv[2], sys.argv[1], pace)
    signal.signal(signal.SIGTERM, worker.stop)
    worker.serve()
