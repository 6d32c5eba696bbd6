"""Parts of an answer, marked with a reason: characters of the raw text."""

import json

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.collect.kinds.order import pieces
from app.tables.accounts import Role
from app.tables.collect import Comparison, Completion, Pair
from app.tables.kinds import Span, SpanReason
from tests.collect.test_pages import URL, fields
from tests.collect.worlds import make_pairs, make_world
from tests.support import Browsing, join, make_person


def test_more_sentences_than_a_page_can_hold_are_marked_several_at_once() -> None:
    words = "So it is. " * 500
    found = pieces(words, most=200)
    assert len(found) == 167
    assert (found[0][0], found[-1][1]) == (0, len(words) - 1)


def test_marks_come_with_the_answer_in_the_frame_of_a_and_b(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=2, is_span_on=True)
    browsing.sign_in(alice)
    page = browsing.get(URL)
    assert 'name="span.left.0.' in page.text
    form = {**fields(page), "rating": "2", "span.left.0.8": "wrong", "span.left.9.14": "wrong"}
    form |= {"span.right.0.5": "good", "note.right.0.5": " Yes. ", "span.right.6.9": ""}
    for _ in range(2):
        assert browsing.post(f"{URL}/answers", form).status_code == 303
    said = session.scalars(select(Comparison)).one()
    pair = session.get_one(Pair, said.pair_id)
    ids = [pair.completion_a_id, pair.completion_b_id]
    left, right = ids[::-1] if said.is_flipped else ids
    found = {
        (s.completion_id, s.start, s.stop, s.reason, s.note) for s in session.scalars(select(Span))
    }
    assert found == {
        (left, 0, 14, SpanReason.WRONG, ""),
        (right, 0, 5, SpanReason.GOOD, "Yes."),
    }
    another = browsing.post(f"{URL}/answers", {**form, "span.left.0.8": "good"})
    assert another.status_code == 409
    carol = make_person(session, "carol")
    join(session, project, carol, Role.RESEARCHER)
    browsing.sign_in(carol)
    lines = browsing.get("/projects/garden/datasets/feedback/spans.jsonl").text.splitlines()
    marked = {json.loads(line)["marked"] for line in lines}
    text = session.get_one(Completion, left).text
    assert text[:14] in marked


@pytest.mark.parametrize(
    "bent",
    [
        {"span.left.0.9999": "wrong"},
        {"span.left.5.5": "wrong"},
        {"span.left.-1.5": "wrong"},
        {"span.left.0": "wrong"},
        {"span.left.0.5": "odd"},
        {"span.left.a.b": "wrong"},
        {"span.left.0.5": "wrong", "note.left.0.5": "a\x00"},
    ],
)
def test_marks_that_no_page_sends_are_refused_with_the_whole_answer(
    session: Session, browsing: Browsing, bent: dict[str, str]
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=0, is_span_on=True)
    make_pairs(session, project, 1)
    browsing.sign_in(alice)
    form = {**fields(browsing.get(URL)), "rating": "2", **bent}
    assert browsing.post(f"{URL}/answers", form).status_code == 422
    assert session.scalar(select(func.count()).select_from(Comparison)) == 0
