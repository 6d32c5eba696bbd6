"""Pairs of superseded policies leave the queue by a rule that the project sets."""

import uuid

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.freshness import closed_pairs, expire_superseded, reopen
from app.collect.intake import CompletionIn, Message, PromptIn, add_prompts
from app.collect.service import Nothing, next_assignment
from app.errors import Conflict
from app.policy.service import make_live
from app.tables.accounts import AuditEvent, Role
from app.tables.base import utc_now
from app.tables.collect import Comparison, Completion, Expiry, Pair
from app.tables.projects import Project
from app.tables.runs import Algorithm, PolicyRun, RunState
from tests.collect.test_mixture import answer
from tests.collect.worlds import broken_rules, lease, make_annotators, make_pairs
from tests.support import Browsing, join, make_person, make_project


def write(session: Session, project: Project, run: PolicyRun, n: int) -> list[Pair]:
    """The policy writes two completions to each of `n` prompts; commits."""
    words = f"run {run.number}"
    add_prompts(
        session,
        project,
        [
            PromptIn(
                messages=[Message(role="user", content=f"Sampled {i} by {words}?")],
                completions=[CompletionIn(text=f"{side} of {i} {words}") for side in "ab"],
            )
            for i in range(n)
        ],
        policy_run_id=run.id,
    )
    run.sampled_at = utc_now()
    session.commit()
    return [pair for pair in session.scalars(select(Pair)) if is_by(session, pair, run.id)]


def is_by(session: Session, pair: Pair, run_id: uuid.UUID) -> bool:
    return session.get_one(Completion, pair.completion_a_id).policy_run_id == run_id


def go_live(session: Session, project: Project, number: int) -> PolicyRun:
    run = PolicyRun(
        project_id=project.id, number=number, algorithm=Algorithm.PPO, base_model="tiny",
        configuration={}, state=RunState.FINISHED,
    )  # fmt: skip
    session.add(run)
    session.flush()
    make_live(session, run)
    session.commit()
    return run


def open_ones(session: Session, pairs: list[Pair]) -> int:
    session.expire_all()
    return sum(pair.is_open for pair in pairs)


def test_the_live_policy_and_the_one_before_are_kept_and_imports_for_ever(
    session: Session,
) -> None:
    project = make_project(session)
    (alice,) = make_annotators(session, project, "alice")
    imported = make_pairs(session, project, 2)
    first = write(session, project, go_live(session, project, 1), 3)
    second = write(session, project, go_live(session, project, 2), 3)
    assert (open_ones(session, first), open_ones(session, second)) == (3, 3)
    go_live(session, project, 3)
    assert [open_ones(session, one) for one in (imported, first, second)] == [2, 0, 3]
    assert {pair.expiry for pair in first} == {Expiry.SUPERSEDED}
    assert expire_superseded(session, project) == 0
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "pairs.superseded")).one()
    assert event.detail == {"closed": 3, "kept_policies": 2}
    seen = set()
    while not isinstance(given := next_assignment(session, project, alice.id), Nothing):
        seen.add(given.pair_id)
        answer(session, given)
    assert seen == {pair.id for pair in imported + second}


def test_answers_to_what_expires_are_kept_and_an_open_page_may_finish(session: Session) -> None:
    project = make_project(session, kept_policies=1, overlap=2)
    alice, bob = make_annotators(session, project, "alice", "bob")
    (pair,) = write(session, project, go_live(session, project, 1), 1)
    answer(session, lease(session, project, alice.id))
    open_page = lease(session, project, bob.id)
    go_live(session, project, 2)
    assert open_ones(session, [pair]) == 0
    assert not answer(session, open_page).is_surplus
    assert len(session.scalars(select(Comparison)).all()) == 2
    assert [tuple(row) for row in closed_pairs(session, project.id)] == [(1, 1, 1)]
    assert broken_rules(session) == []


def test_gold_audits_and_finished_pairs_do_not_expire(session: Session) -> None:
    project = make_project(session, kept_policies=1)
    (alice,) = make_annotators(session, project, "alice")
    pairs = write(session, project, go_live(session, project, 1), 3)
    answer(session, lease(session, project, alice.id))
    session.expire_all()
    waiting = [pair for pair in pairs if pair.n_taken == 0]
    waiting[0].is_gold, waiting[1].is_audit = True, True
    session.commit()
    go_live(session, project, 2)
    assert open_ones(session, pairs) == 3


def test_what_an_admin_opens_again_stays_open(session: Session) -> None:
    project = make_project(session, kept_policies=1)
    pairs = write(session, project, go_live(session, project, 1), 2)
    go_live(session, project, 2)
    assert reopen(session, project, 1, by=None) == 2
    go_live(session, project, 3)
    assert open_ones(session, pairs) == 2
    with pytest.raises(Conflict, match="No pair"):
        reopen(session, project, 1, by=None)


def test_nothing_expires_without_a_live_policy(session: Session) -> None:
    project = make_project(session)
    assert expire_superseded(session, project) == 0


def test_the_data_page_says_how_many_were_closed_and_opens_them(
    browsing: Browsing, session: Session
) -> None:
    project = make_project(session, kept_policies=1)
    rita = make_person(session, "rita")
    join(session, project, rita, Role.RESEARCHER)
    pairs = write(session, project, go_live(session, project, 1), 2)
    go_live(session, project, 2)
    rita_is_in = browsing.sign_in(rita)
    url = f"/projects/{project.slug}/datasets"
    assert "2 pairs closed" in rita_is_in.get(url).text
    assert rita_is_in.post(f"{url}/freshness/1/open").status_code == 303
    assert "superseded" not in rita_is_in.get(url).text
    assert rita_is_in.post(f"{url}/freshness/1/open").status_code == 409
    assert open_ones(session, pairs) == 2
