"""What people say is recorded once, kept whatever happens, and changed only with its history."""

import threading
import uuid

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.collect.pairing import canonical, shown
from app.collect.service import (
    FlagIn,
    change_comparison,
    read_flags,
    record_comparison,
    skip,
    sweep_expired,
)
from app.db import session_scope
from app.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from app.tables.collect import Assignment, Comparison, ComparisonRevision, FlagAnswer, Pair
from app.tables.projects import FlagKind, FlagScope, GuidelineVersion
from tests.collect.worlds import broken_rules, expire, lease, make_flag, make_world


def say(session: Session, assignment: Assignment, rating: int = 3, **values: object) -> Comparison:
    given = {"seconds": 1.5, "idempotency_key": "a key", **values}
    return record_comparison(
        session,
        assignment_id=assignment.id,
        annotator_id=assignment.annotator_id,
        rating=rating,
        **given,  # type: ignore[arg-type]
    )


def test_a_rating_given_on_the_flipped_page_is_turned_and_turned_back() -> None:
    assert [canonical(n, True) for n in range(1, 9)] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert [shown(canonical(n, True), True) for n in range(1, 9)] == list(range(1, 9))
    assert canonical(3, False) == 3
    for wrong in (0, 9, -1, True, 4.0, "4"):
        with pytest.raises(ValueError, match="whole number from 1 to 8"):
            canonical(wrong, False)  # type: ignore[arg-type]


def test_an_answer_knows_the_guidelines_it_was_given_under(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    for number in (1, 2):
        version = GuidelineVersion(project_id=project.id, number=number, markdown="x", html="x")
        session.add(version)
    session.commit()
    assert say(session, lease(session, project, alice.id)).guideline_version_id == version.id


def test_two_connections_posting_one_answer_at_once_leave_one_row(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    mine = lease(session, project, alice.id)
    barrier, rows = threading.Barrier(2), []

    def click() -> None:
        with session_scope() as own:
            barrier.wait()
            rows.append(say(own, mine).id)

    clicks = [threading.Thread(target=click) for _ in range(2)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    assert len(rows) == 2
    assert len(set(rows)) == 1
    assert list(session.scalars(select(Comparison.id))) == rows[:1]
    assert broken_rules(session) == []


def test_another_answer_to_the_same_pair_is_refused_and_the_first_one_kept(
    session: Session,
) -> None:
    project, (alice,) = make_world(session, "alice")
    mine = lease(session, project, alice.id)
    first = say(session, mine, 3)
    assert say(session, mine, 3, idempotency_key="another tab").id == first.id
    with pytest.raises(Conflict, match="answered this pair before"):
        say(session, mine, 6)
    assert first.rating == 3


def test_a_late_answer_counts_while_there_is_room(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=1)
    mine = lease(session, project, alice.id)
    expire(session, mine.id)
    sweep_expired(session)
    session.commit()
    assert not say(session, mine).is_surplus
    session.commit()
    assert session.scalar(select(Pair.n_taken)) == 1
    assert broken_rules(session) == []


def test_a_late_answer_to_a_full_pair_is_kept_as_surplus(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=1)
    mine = lease(session, project, alice.id)
    expire(session, mine.id)
    theirs = lease(session, project, bob.id)
    assert not say(session, theirs).is_surplus
    assert say(session, mine).is_surplus
    session.commit()
    assert session.scalar(select(Pair.n_taken)) == 1
    assert broken_rules(session) == []


def test_a_skipped_assignment_takes_no_answer(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    mine = lease(session, project, alice.id)
    skip(session, mine.id, alice.id, "no")
    with pytest.raises(Conflict, match="You skipped this pair"):
        say(session, mine)


def test_someone_elses_assignment_takes_no_answer(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob")
    mine = lease(session, project, alice.id)
    theirs = {"rating": 3, "seconds": 1.0, "idempotency_key": "k", "annotator_id": bob.id}
    with pytest.raises(Forbidden, match="given to someone else"):
        record_comparison(session, assignment_id=mine.id, **theirs)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        record_comparison(session, assignment_id=uuid.uuid4(), **theirs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"rating": 0}, "from 1 to 8"),
        ({"rating": 9}, "from 1 to 8"),
        ({"comment": "a\x00b"}, "NUL"),
        ({"comment": "\ud800"}, "surrogate"),
        ({"comment": "x" * 10_001}, "at most 10,000"),
        ({"seconds": -1.0}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"idempotency_key": ""}, "idempotency key"),
    ],
)
def test_what_cannot_be_an_answer_is_refused_in_words_and_the_lease_stays(
    session: Session, wrong: dict[str, object], words: str
) -> None:
    project, (alice,) = make_world(session, "alice")
    mine = lease(session, project, alice.id)
    with pytest.raises(Invalid, match=words):
        say(session, mine, **wrong)  # type: ignore[arg-type]
    assert lease(session, project, alice.id).id == mine.id


def test_flags_are_kept_by_completion_and_unanswered_ones_are_no_rows(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=1)
    rude = make_flag(session, project, "Rude", kind=FlagKind.YES_NO_NA)
    make_flag(session, project, "Ignored")
    mine = lease(session, project, alice.id)
    given = [FlagIn(rude.id, "A", 0), FlagIn(rude.id, "B", None)]
    said = say(session, mine, flags=given)
    assert say(session, mine, flags=given).id == said.id
    pair = session.scalars(select(Pair)).one()
    rows = {row.completion_id: row.value for row in session.scalars(select(FlagAnswer))}
    assert rows == {pair.completion_a_id: 0, pair.completion_b_id: None}


def test_flags_that_cannot_be_so_are_refused_with_the_flags_name(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=1)
    closed = make_flag(session, project, "Closed", scope=FlagScope.PROMPT)
    invented = make_flag(session, project, "Invented", condition_flag_id=closed.id)
    clear = make_flag(session, project, "Clear", kind=FlagKind.RATING_7, is_required=True)
    mine = lease(session, project, alice.id)
    both = [FlagIn(clear.id, "A", 1), FlagIn(clear.id, "B", 7)]
    for flags, words in (
        ([], "Please answer “Clear” for both"),
        (both[:1], "Please answer “Clear” for both"),
        ([*both, FlagIn(clear.id, "A", 2)], "“Clear” was answered twice"),
        ([FlagIn(clear.id, "A", 8)], "“Clear” cannot be answered with 8"),
        ([FlagIn(clear.id, None, 3)], "“Clear” is asked about one of the two"),
        ([*both, FlagIn(closed.id, "A", 1)], "“Closed” is asked about the prompt"),
        ([*both, FlagIn(closed.id, None, None)], "“Closed” cannot be answered with None"),
        ([*both, FlagIn(invented.id, "A", 1)], "only where “Closed” is answered yes"),
        ([*both, FlagIn(uuid.uuid4(), "A", 1)], "no such flag"),
    ):
        with pytest.raises(Invalid, match=words):
            say(session, mine, flags=flags)
    said = [*both, FlagIn(closed.id, None, 1), FlagIn(invented.id, "B", 0)]
    assert say(session, mine, flags=said).id


def test_a_changed_answer_keeps_every_version(session: Session) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob")
    rude = make_flag(session, project, "Rude")
    first = say(session, lease(session, project, alice.id), 2, flags=[FlagIn(rude.id, "A", 1)])
    session.commit()
    change_comparison(session, first.id, alice.id, rating=2, flags=[FlagIn(rude.id, "A", 1)])
    assert first.revision == 1
    change_comparison(session, first.id, alice.id, rating=7, comment="I misread", after=1)
    assert (first.rating, first.revision, first.comment) == (7, 2, "I misread")
    kept = session.scalars(select(ComparisonRevision)).one()
    assert (kept.rating, kept.revision, kept.comment) == (2, 1, "")
    assert kept.flags == [{"flag_id": str(rude.id), "side": "A", "value": 1}]
    assert session.scalar(select(text("count(*)")).select_from(FlagAnswer)) == 0
    with pytest.raises(Conflict, match="another tab"):
        change_comparison(session, first.id, alice.id, rating=1, after=1)
    with pytest.raises(NotFound):
        change_comparison(session, first.id, bob.id, rating=1)
    with pytest.raises(DomainError, match="from 1 to 8"):
        change_comparison(session, first.id, alice.id, rating=0)


def test_a_changed_answer_keeps_what_it_says_about_archived_flags(session: Session) -> None:
    project, (alice,) = make_world(session, "alice")
    rude, clear = make_flag(session, project, "Rude"), make_flag(session, project, "Clear")
    waiting = make_flag(session, project, "How rude", condition_flag_id=rude.id)
    given = [FlagIn(rude.id, "A", 1), FlagIn(waiting.id, "A", 0), FlagIn(clear.id, "B", 1)]
    first = say(session, lease(session, project, alice.id), 2, flags=given)
    clear.is_archived = waiting.is_archived = True
    session.commit()
    change_comparison(session, first.id, alice.id, rating=7, flags=[FlagIn(rude.id, "A", 1)])
    assert read_flags(session, first.id, first.pair_id) == {
        (rude.id, "A"): 1,
        (waiting.id, "A"): 0,
        (clear.id, "B"): 1,
    }
    # What an archived flag waited for is no longer so, and neither is its answer.
    change_comparison(session, first.id, alice.id, rating=7, flags=[FlagIn(rude.id, "A", 0)])
    assert read_flags(session, first.id, first.pair_id) == {(rude.id, "A"): 0, (clear.id, "B"): 1}


def test_confidence_is_kept_with_every_version_and_nothing_said_is_not_the_lowest(
    session: Session,
) -> None:
    project, (alice,) = make_world(session, "alice", is_confidence_asked=True)
    mine = say(session, lease(session, project, alice.id))
    assert mine.confidence is None
    for confidence in (5, None):
        change_comparison(session, mine.id, alice.id, rating=3, confidence=confidence)
    kept = session.scalars(select(ComparisonRevision.confidence).order_by("revision")).all()
    assert (kept, mine.confidence) == ([None, 5], None)
    with pytest.raises(Invalid, match="from 1 to 5"):
        change_comparison(session, mine.id, alice.id, rating=3, confidence=6)
