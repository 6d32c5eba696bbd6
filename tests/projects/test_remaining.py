"""What is left to answer, as the start page and the compare page both say it."""

import uuid

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.collect.service import Nothing, Why, next_assignment, release, skip
from app.projects import remaining
from app.projects import walk as walks
from app.projects.remaining import (
    LOOK,
    MANY,
    PLENTY,
    count_open_pairs,
    has_plenty,
    n_left,
)
from app.projects.walk import STEP, Walk, walk
from app.tables.projects import Project
from tests.collect.worlds import lease, make_world
from tests.support import Browsing

MANY_PAIRS = text(
    """
    with prompts as (
        insert into prompt (project_id, messages, html, renderer, content_hash)
        select :project, '[{"role": "user", "content": "Why?"}]', '["Why?"]', 1, int4send(n)
        from generate_series(1, :n) n returning id
    ),
    completions as (
        insert into completion (project_id, prompt_id, text, html, renderer, content_hash)
        select :project, id, side, side, 1, side::bytea
        from prompts cross join unnest(array['a', 'b']) side returning id, prompt_id, text
    )
    insert into pair (
        project_id, prompt_id, completion_a_id, completion_b_id, overlap, n_taken, priority
    )
    select :project, a.prompt_id, a.id, b.id, 2, :n_taken, 1
    from completions a join completions b on b.prompt_id = a.prompt_id
    where a.text = 'a' and b.text = 'b'
    """
)
ANSWERED = text(
    """
    insert into assignment (
        project_id, pair_id, annotator_id, state, draw, draw_probability, is_flipped, lease_until
    )
    select project_id, id, :annotator, 'done', 'uniform', 1, false, now()
    from pair where n_taken = 1
    """
)


# The last one that a walk comes by.
SPARED = text(
    """
    delete from assignment
    where pair_id = (select id from pair order by priority desc, id desc limit 1) returning pair_id
    """
)


def make_many(session: Session, project: Project, n: int, n_taken: int = 0) -> None:
    session.execute(MANY_PAIRS, {"project": project.id, "n": n, "n_taken": n_taken})


def test_both_pages_say_the_same(browsing: Browsing, session: Session) -> None:
    _, (alice,) = make_world(session, "alice", n_pairs=3)
    browsing.sign_in(alice)
    assert "3 pairs left" in browsing.get("/").text
    assert "<b>3</b> left" in browsing.get("/projects/garden/collect").text
    assert "3 pairs left" in browsing.get("/").text


def test_both_pages_stop_counting_at_the_same_number(browsing: Browsing, session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0)
    make_many(session, project, MANY + 50)
    session.commit()
    browsing.sign_in(alice)
    assert f"more than {MANY} pairs left" in browsing.get("/").text
    assert f"<b>more than {MANY}</b> left" in browsing.get("/projects/garden/collect").text
    assert count_open_pairs(session, project.id) == MANY + 50


def test_where_a_project_has_plenty_nobodys_own_are_counted_until_it_has_not(
    browsing: Browsing, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0)
    make_many(session, project, PLENTY + 1)
    session.commit()
    browsing.sign_in(alice)
    page = browsing.get("/projects/garden/collect").text
    assert f"<b>more than {MANY}</b> left" in page
    assert has_plenty(session, project.id)
    session.execute(text("update pair set is_open = false where n_taken = 0"))
    session.commit()
    # Trusted for a few seconds, in which nobody counts to a hundred.
    assert has_plenty(session, project.id)
    monkeypatch.setattr(remaining, "PLENTY_SECONDS", 0.0)
    remaining._plenty.clear()
    assert not has_plenty(session, project.id)
    assert "<b>1</b> left" in browsing.get("/projects/garden/collect").text


def test_what_comes_back_is_left_and_what_was_skipped_is_not(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=2)

    def left(annotator_id: uuid.UUID) -> int:
        return n_left(session, project.id, annotator_id)

    mine = lease(session, project, alice.id)
    assert (left(alice.id), left(bob.id)) == (2, 1)
    release(session, mine.id, alice.id)
    assert (left(alice.id), left(bob.id)) == (2, 2)
    mine = lease(session, project, alice.id)
    skip(session, mine.id, alice.id, "no")
    assert (left(alice.id), left(bob.id)) == (1, 2)


def test_a_pair_behind_hundreds_of_own_ones_is_not_overlooked(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0)
    make_many(session, project, LOOK + 1, n_taken=1)
    session.execute(ANSWERED, {"annotator": alice.id})
    session.commit()
    assert n_left(session, project.id, alice.id) == 0
    session.execute(
        text(
            "delete from assignment where pair_id in"
            " (select id from pair order by priority desc, id desc limit 1)"
        )
    )
    session.commit()
    assert n_left(session, project.id, alice.id) == 1
    assert not isinstance(next_assignment(session, project, alice.id), Nothing)


def test_a_long_walk_takes_several_looks_and_finds_the_last_pair(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0)
    make_many(session, project, 2 * STEP + 10, n_taken=1)
    session.execute(ANSWERED, {"annotator": alice.id})
    session.commit()
    monkeypatch.setattr(walks, "LOOK_SECONDS", 0.0)

    def look() -> Walk:
        return walk(session, project.id, alice.id)

    # Two whole steps are not the end, and nobody walks twice in vain within the pause.
    assert [look().is_over for _ in range(4)] == [False, False, True, True]
    monkeypatch.setattr(walks, "PAUSE_SECONDS", 0.0)
    spared = session.execute(SPARED).scalar_one()
    session.commit()
    looks = [look() for _ in range(3)]
    assert [one.found for one in looks] == [None, None, spared]
    assert all(one.may_find for one in looks)
    given = next_assignment(session, project, alice.id)
    assert not isinstance(given, Nothing)
    assert given.pair_id == spared


def test_while_a_walk_is_not_over_the_page_is_busy_and_not_done(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0)
    make_many(session, project, 2 * STEP + 10, n_taken=1)
    session.execute(ANSWERED, {"annotator": alice.id})
    session.commit()
    monkeypatch.setattr(walks, "LOOK_SECONDS", 0.0)
    said = [next_assignment(session, project, alice.id) for _ in range(3)]
    assert said[0] == Nothing(Why.BUSY)
    assert said[-1] == Nothing(Why.DONE)
