"""From an answer over HTTP to other priorities in Postgres, in the running product."""

import contextlib
import http.client
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import db
from app.collect.intake import PromptIn, add_prompts
from app.collect.service import Nothing, next_assignment, record_comparison
from app.datasets.service import freeze
from app.postgres import EmbeddedPostgres
from app.reward import service as rewards
from app.settings import REPOSITORY, get_settings
from app.tables.accounts import Membership, Person, Role
from app.tables.collect import Completion, Pair
from app.tables.projects import Objective, Project
from app.tables.runs import RewardRun, RunState
from app.tables.scores import LiveReward
from benchmarks.crowd import ASSIGNMENT, KEY, Badge
from benchmarks.host import Web
from benchmarks.queue import add_annotators
from benchmarks.taste import rate, worth_of, write

N_PROMPTS, N_COMPLETIONS, N_ANSWERED = 60, 6, 240
GIVE_UP = 120.0
Order = dict[uuid.UUID, float]


def answer_to_priorities(n: int) -> list[float]:
    """Seconds from the moment an answer is sent until priorities have changed, for n answers.

    A server of two processes and a worker, as people run them, with a small network that this
    worker has trained on 240 answers; 900 pairs; one answer after the other.
    """
    with (
        tempfile.TemporaryDirectory(prefix="prefloop-live-") as name,
        EmbeddedPostgres(Path(name) / "pg") as server,
        _pointed_at(server.url, Path(name)),
    ):
        db.migrate(server.url)
        with db.get_session_factory()() as session:
            project = _make(session)
            (badge,) = add_annotators(session, project, 1)
            with Web(server.url, Path(name)) as web, _worker(Path(name)):
                _wait_until_live(session, project)
                return _time_answers(session, project, badge, web.port, n)


@contextlib.contextmanager
def _pointed_at(url: str, folder: Path) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ("DATABASE_URL", "PREFLOOP_DATA")}
    os.environ.update(DATABASE_URL=url, PREFLOOP_DATA=str(folder))
    _forget()
    try:
        yield
    finally:
        db.get_engine().dispose()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        _forget()


def _forget() -> None:
    for cached in (get_settings, db.get_engine, db.get_session_factory):
        cached.cache_clear()


def _make(session: Session) -> Project:
    """Pairs, answers to some of them, and a reward run that waits for the worker; commits."""
    project = Project(
        slug="bench", name="Bench", objective=Objective.HELPFULNESS, base_model="tiny",
        question="Which answer helps more?", low_end="A is better", high_end="B is better",
        is_loop_automatic=False,
    )  # fmt: skip
    ada = Person(name="ada", email="ada@example.org")
    session.add_all([project, ada])
    session.flush()
    session.add(Membership(project_id=project.id, person_id=ada.id, role=Role.ANNOTATOR))
    stream = random.Random(0)
    add_prompts(session, project, [_prompt(index, stream) for index in range(N_PROMPTS)])
    session.commit()
    for _ in range(N_ANSWERED):
        _answer(session, project, ada, stream)
    rewards.request_run(session, project, freeze(session, project))
    session.commit()
    return project


def _prompt(index: int, stream: random.Random) -> PromptIn:
    texts = {write(stream): None for _ in range(N_COMPLETIONS)}
    return PromptIn.model_validate(
        {
            "messages": [{"role": "user", "content": f"question {index}"}],
            "completions": [{"text": text} for text in texts],
        }
    )


def _answer(session: Session, project: Project, person: Person, stream: random.Random) -> None:
    assignment = next_assignment(session, project, person.id)
    if isinstance(assignment, Nothing):
        raise RuntimeError("The queue ran out of pairs.")
    pair = session.get_one(Pair, assignment.pair_id)
    a, b = (session.get_one(Completion, one).text
            for one in (pair.completion_a_id, pair.completion_b_id))  # fmt: skip
    record_comparison(
        session,
        assignment_id=assignment.id,
        annotator_id=person.id,
        rating=rate(worth_of(b) - worth_of(a), stream),
        seconds=3.0,
        idempotency_key=str(assignment.id),
    )
    session.commit()


@contextlib.contextmanager
def _worker(folder: Path) -> Iterator[None]:
    """`prefloop-worker run`, as people run it."""
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            (sys.executable, "-m", "worker.main", "run"),
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_live(session: Session, project: Project) -> None:
    """Until the run has trained and every open pair is ranked by its live layer."""
    give_up_at = time.monotonic() + GIVE_UP
    while time.monotonic() < give_up_at:
        session.rollback()
        session.expire_all()
        run = session.scalars(select(RewardRun)).one()
        if run.state is RunState.FAILED:
            raise RuntimeError(run.error)
        fresh = select(func.count()).where(Pair.project_id == project.id, Pair.n_taken == 0)
        unranked = session.scalar(fresh.where(Pair.reward_standard_error.is_(None)))
        if session.scalar(select(func.count(LiveReward.reward_run_id))) and not unranked:
            return
        time.sleep(0.5)
    raise RuntimeError("The live reward model was not ready in time; see worker.log.")


def _time_answers(
    session: Session, project: Project, badge: Badge, port: int, n: int
) -> list[float]:
    path, stream = f"/projects/{project.slug}/collect", random.Random(9)
    session.rollback()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    page = _ask(connection, "GET", path, badge)
    found = []
    for _ in range(n):
        time.sleep(0.3 + stream.random())  # so that the worker is met at any moment of its round
        assignment, key = ASSIGNMENT.search(page), KEY.search(page)
        if assignment is None or key is None:
            raise RuntimeError("The page shows no pair.")
        form = {
            "csrf_token": badge.csrf,
            "assignment_id": assignment[1].decode(),
            "idempotency_key": key[1].decode(),
            "seconds": "0.3",
            "rating": stream.choice("12345678"),
            "comment": "",
        }
        before = _order(session, project.id)
        began = time.perf_counter()
        _ask(connection, "POST", f"{path}/answers", badge, urlencode(form).encode())
        found.append(_until_other(session, project.id, before, began))
        page = _ask(connection, "GET", path, badge)
    return found


def _until_other(session: Session, project: uuid.UUID, before: Order, began: float) -> float:
    """A lease alone takes pairs away and changes no priority: those that are left are compared."""
    while time.perf_counter() - began < GIVE_UP:
        if _changed(session, project, before):
            return time.perf_counter() - began
        time.sleep(0.005)
    raise RuntimeError("No priority changed after an answer.")


def _order(session: Session, project: uuid.UUID) -> Order:
    rows = session.execute(
        select(Pair.id, Pair.priority).where(
            Pair.project_id == project, Pair.n_taken == 0, Pair.is_open
        )
    ).all()
    session.rollback()
    return {one: priority for one, priority in rows}  # noqa: C416 (rows are no tuples to mypy)


def _changed(session: Session, project: uuid.UUID, before: Order) -> bool:
    now = _order(session, project)
    return any(before[one] != now[one] for one in now if one in before)


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    badge: Badge,
    body: bytes | None = None,
) -> bytes:
    headers = {"cookie": badge.cookie, "sec-fetch-site": "same-origin"}
    if body is not None:
        headers |= {"content-type": "application/x-www-form-urlencoded", "hx-request": "true"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{method} {path}: {answer.status} {said[:300]!r}")
    return said
