"""Several server processes at once, one of them killed in the midst of its work."""

import os
import signal
import subprocess
import sys
import uuid

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.collect.service import sweep_expired
from app.settings import REPOSITORY
from app.tables.accounts import Person
from app.tables.collect import Comparison
from app.tables.projects import Project
from tests.collect.worlds import broken_rules, make_world

N_PAIRS = 60
# Whoever is killed holds a lease; nobody waits twenty minutes for it here.
RUN_OUT = text("update assignment set lease_until = now() where annotator_id = :person")


def start(project: Project, person: Person) -> subprocess.Popen[str]:
    command = (sys.executable, "-m", "tests.collect.claim_and_answer")
    return subprocess.Popen(
        (*command, str(project.id), str(person.id)),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )


def kept_by(process: subprocess.Popen[str]) -> set[uuid.UUID]:
    """What it said was kept; half a line is nothing said."""
    said = process.communicate(timeout=30)[0]
    return {uuid.UUID(line) for line in said.splitlines() if len(line) == 36}


def test_a_process_killed_among_others_loses_no_answer_and_takes_no_pair_with_it(
    session: Session,
) -> None:
    project, people = make_world(session, *"abcd", n_pairs=N_PAIRS, overlap=2)
    killed, *others = (start(project, person) for person in people)
    assert killed.stdout is not None
    kept = {uuid.UUID(killed.stdout.readline().strip()) for _ in range(3)}
    killed.send_signal(signal.SIGKILL)
    kept |= kept_by(killed)
    # The others wait for what the dead one holds, until its lease has run out.
    session.execute(RUN_OUT, {"person": people[0].id})
    sweep_expired(session)
    session.commit()
    for process in others:
        kept |= kept_by(process)
        assert process.returncode == 0

    assert broken_rules(session) == []
    there = set(session.scalars(select(Comparison.id)))
    assert kept <= there
    # At most one answer was kept without anyone being told.
    assert len(there - kept) <= 1
    counted = select(func.count()).where(~Comparison.is_surplus)
    assert session.scalar(counted) == 2 * N_PAIRS
