"""The better answer, made better still: edited above chosen above rejected."""

import json

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.collect.kinds.additions import record_rewrite
from app.collect.service import record_comparison
from app.datasets.service import export_lines, freeze
from app.errors import Conflict, Invalid
from app.tables.collect import Comparison, Completion, Draw, Pair
from app.tables.kinds import Rewrite
from app.tables.projects import Project
from tests.collect.test_pages import URL, fields
from tests.collect.worlds import broken_rules, lease, make_world
from tests.support import Browsing


def compare(session: Session, project: Project, annotator_id: object, rating: int) -> Comparison:
    assignment = lease(session, project, annotator_id)  # type: ignore[arg-type]
    return record_comparison(
        session,
        assignment_id=assignment.id,
        annotator_id=assignment.annotator_id,
        rating=rating,
        seconds=9.0,
        idempotency_key="k",
    )


def test_a_rewrite_stands_above_what_it_was_made_from(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=1, is_rewrite_on=True)
    comparison = compare(session, project, alice.id, 7)
    rewrite = record_rewrite(session, project, comparison, "Better\r\nstill. ")
    session.commit()
    assert rewrite is not None
    pair = session.get_one(Pair, comparison.pair_id)
    assert (rewrite.chosen_id, rewrite.rejected_id) == (pair.completion_b_id, pair.completion_a_id)
    edited = session.get_one(Completion, rewrite.edited_id)
    assert (edited.text, edited.source, edited.author_id) == ("Better\nstill.", "edited", alice.id)
    derived = session.get_one(Comparison, rewrite.derived_comparison_id)
    below = session.get_one(Pair, derived.pair_id)
    is_a = below.completion_a_id == edited.id
    assert {below.completion_a_id, below.completion_b_id} == {edited.id, rewrite.chosen_id}
    assert derived.rating == (3 if is_a else 6)
    assert derived.seconds == 0
    assert broken_rules(session) == []
    lines = [json.loads(line) for line in export_lines(session, freeze(session, project))]
    chosen = session.get_one(Completion, rewrite.chosen_id).text
    rejected = session.get_one(Completion, rewrite.rejected_id).text
    found = {(one["chosen"][0]["content"], one["rejected"][0]["content"]) for one in lines}
    assert found == {("Better\nstill.", chosen), (chosen, rejected)}
    draws = {one["chosen"][0]["content"]: one["draw"] for one in lines}
    assert draws["Better\nstill."] == Draw.PRIORITY, "no part of the uniform sample"


def test_nothing_changed_is_no_rewrite_and_the_other_answer_is_refused(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=1, is_rewrite_on=True)
    comparison = compare(session, project, alice.id, 2)
    pair = session.get_one(Pair, comparison.pair_id)
    a = session.get_one(Completion, pair.completion_a_id).text
    b = session.get_one(Completion, pair.completion_b_id).text
    assert record_rewrite(session, project, comparison, a + "\n") is None
    with pytest.raises(Invalid, match="the other answer"):
        record_rewrite(session, project, comparison, b)
    assert session.scalar(select(func.count()).select_from(Rewrite)) == 0


def test_a_rewrite_sent_twice_is_one_and_another_is_refused(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=1, is_rewrite_on=True)
    comparison = compare(session, project, alice.id, 2)
    for _ in range(2):
        record_rewrite(session, project, comparison, "Mine.")
    with pytest.raises(Conflict):
        record_rewrite(session, project, comparison, "Mine, again.")
    assert session.scalar(select(func.count()).select_from(Comparison)) == 2


def test_a_rewrite_comes_with_the_answer_where_the_project_asks(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=2)
    browsing.sign_in(alice)
    page = browsing.get(URL)
    assert 'name="rewrite"' not in page.text
    answer = {**fields(page), "rating": "2", "rewrite": "Unasked."}
    assert browsing.post(f"{URL}/answers", answer).status_code == 303
    project.is_rewrite_on = True
    session.commit()
    page = browsing.get(URL)
    assert 'name="rewrite"' in page.text
    refused = browsing.post(f"{URL}/answers", {**fields(page), "rating": "2", "rewrite": "a\x00b"})
    assert refused.status_code == 422
    assert session.scalar(select(func.count()).select_from(Comparison)) == 1, "both or none"
    for _ in range(2):
        answer = {**fields(page), "rating": "2", "rewrite": "Better <b>by far</b>."}
        assert browsing.post(f"{URL}/answers", answer).status_code == 303
    (rewrite,) = session.scalars(select(Rewrite))
    edited = session.get_one(Completion, rewrite.edited_id)
    assert edited.text == "Better <b>by far</b>."
    assert "<b>" not in edited.html
