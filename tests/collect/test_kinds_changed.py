"""Second thoughts about every kind of feedback: what is changed, and every version kept."""

import json
import re
import uuid
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.collect.kinds.additions import record_additions
from app.collect.kinds.amending import change_answer, fields_of
from app.collect.kinds.changing import Said, change, said_in, versions_of
from app.collect.kinds.drafts import prompt_draft_of, save_prompt_draft
from app.collect.kinds.leases import skip
from app.collect.kinds.service import record_demonstration, record_ranking, record_ratings
from app.collect.pairing import canonical
from app.collect.service import change_comparison
from app.datasets.service import export_lines, freeze
from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.tables.accounts import Person
from app.tables.collect import Comparison, ComparisonRevision, Completion, Pair
from app.tables.kinds import (
    Demonstration,
    PromptAssignment,
    PromptKind,
    Rewrite,
    Span,
)
from app.tables.projects import Project
from app.tables.work import PromptDraft
from tests.collect.test_kinds import SAID, URL, run_out, take, world
from tests.collect.worlds import answer, broken_rules, make_world
from tests.support import Browsing


def ranked(session: Session, *ranks: int, **settings: Any) -> tuple[Project, PromptAssignment]:
    project, (alice,) = world(session, "alice", n=1, **settings)
    assignment = take(session, project, alice, PromptKind.RANK)
    record_ranking(session, assignment, dict(zip(assignment.shown, ranks, strict=True)), SAID)
    session.commit()
    return project, assignment


def ranks_of(assignment: PromptAssignment, *ranks: int) -> Said:
    return Said(dict(zip(assignment.shown, ranks, strict=True)))


def test_a_changed_ranking_changes_its_pairs_and_keeps_every_version(session: Session) -> None:
    project, assignment = ranked(session, 1, 2, 3)
    first = assignment.shown[0]
    change(session, project, assignment, ranks_of(assignment, 3, 1, 1), after=1)
    session.commit()
    assert assignment.revision == 2
    assert said_in(session, assignment) == ranks_of(assignment, 2, 1, 1)
    ((was, said_then),) = versions_of(session, assignment)
    assert (was.revision, said_then) == (1, ranks_of(assignment, 1, 2, 3))
    rows = session.execute(select(Comparison, Pair).join(Pair, Pair.id == Comparison.pair_id)).all()
    assert len(rows) == 3
    for comparison, pair in rows:
        sides = (pair.completion_a_id, pair.completion_b_id)
        if first in sides:
            assert comparison.rating == (6 if sides[0] == first else 3)
        else:
            assert comparison.is_about_equal
        assert comparison.revision == 2
    before = session.scalars(select(ComparisonRevision.rating)).all()
    assert sorted(before) != sorted(one.rating for one, _ in rows)
    assert len(before) == 3
    # The same again is no change; only what differs gets a version.
    change(session, project, assignment, ranks_of(assignment, 2, 1, 1))
    assert assignment.revision == 2
    assert broken_rules(session) == []
    lines = [json.loads(line) for line in export_lines(session, freeze(session, project))]
    chosen = [line["chosen"][0]["content"] for line in lines if line["strength"] == 2]
    worst = session.get_one(Completion, first).text
    assert len(chosen) == 2
    assert worst not in chosen


def test_the_pairs_of_a_ranking_are_changed_through_the_ranking_alone(
    session: Session, browsing: Browsing
) -> None:
    _, assignment = ranked(session, 1, 2, 3)
    one = session.scalars(select(Comparison)).first()
    assert one is not None
    with pytest.raises(Forbidden, match="Change that one"):
        change_comparison(session, one.id, one.annotator_id, rating=9 - one.rating)
    browsing.sign_in(session.get_one(Person, assignment.annotator_id))
    place = f"{URL}/rank/answers/{assignment.id}"
    collect = "/projects/garden/collect"
    for path in (f"{collect}/answers/{one.id}", f"{collect}/last", f"{URL}/rank/last"):
        assert browsing.get(path, follow_redirects=True).url.path == place
    page = browsing.get(place)
    assert "Change your answer" in page.text
    assert page.text.count(" checked") == 3


def test_ratings_and_demonstrations_are_changed_on_their_page_within_the_window(
    session: Session, browsing: Browsing
) -> None:
    project, (alice, bob) = world(session, "alice", "bob", n=1, n_completions=2, undo_hours=2)
    rated = take(session, project, alice, PromptKind.RATE)
    record_ratings(session, rated, dict(zip(rated.shown, (7, 1), strict=True)), SAID)
    written = take(session, project, alice, PromptKind.DEMONSTRATE)
    record_demonstration(session, written, "First.", SAID)
    session.commit()
    browsing.sign_in(alice)
    form = {"revision": "1", "comment": "after all"}
    numbers = {f"choice.{one}": "4" for one in rated.shown}
    url = f"{URL}/rate/answers/{rated.id}"
    assert browsing.post(url, {**form, **numbers}).status_code == 303
    assert browsing.post(url, {**form, **numbers, "comment": "other tab"}).status_code == 409
    place = f"{URL}/demonstrate/answers/{written.id}"
    for words in ("Second.", "First."):
        number = re.search(r'name="revision" value="(\d)"', browsing.get(place).text)
        assert number is not None
        assert browsing.post(place, {"revision": number[1], "text": words}).status_code == 303
    page = browsing.get(place).text
    assert "2 earlier versions" in page
    assert "Second." in page
    session.expire_all()
    assert said_in(session, rated) == Said(dict.fromkeys(rated.shown, 4), comment="after all")
    (_, before), *_ = versions_of(session, rated)
    assert before == Said(dict(zip(rated.shown, (7, 1), strict=True)))
    texts = session.scalars(select(Completion.text).where(Completion.author_id == alice.id)).all()
    assert sorted(texts) == ["First.", "Second."]
    standing = session.get_one(Demonstration, written.id).completion_id
    assert session.get_one(Completion, standing).text == "First."
    session.execute(text("update prompt_assignment set ended_at = now() - interval '3 hours'"))
    session.commit()
    late = browsing.get(place).text
    assert "can be changed for 2 hours" in late
    assert "Save the change" not in late
    assert browsing.post(place, {"revision": "3", "text": "Third."}).status_code == 403
    assert browsing.sign_in(bob).get(place).status_code == 403


def test_what_is_not_answered_or_not_whole_is_not_changed(session: Session) -> None:
    project, (alice,) = world(session, "alice", n=1)
    assignment = take(session, project, alice, PromptKind.RANK)
    with pytest.raises(Conflict, match="not answered"):
        change(session, project, assignment, ranks_of(assignment, 1, 2, 3))
    record_ranking(session, assignment, dict(zip(assignment.shown, (1, 2, 3), strict=True)), SAID)
    with pytest.raises(Invalid, match="Give answer"):
        change(session, project, assignment, Said({assignment.shown[0]: 1}))
    with pytest.raises(Conflict, match="another tab"):
        change(session, project, assignment, ranks_of(assignment, 1, 1, 1), after=7)


def keep(session: Session, assignment: PromptAssignment, version: int, **fields: str) -> bool:
    standing = save_prompt_draft(
        session,
        assignment.id,
        assignment.annotator_id,
        kind=assignment.kind,
        version=version,
        content=json.dumps(fields),
        project_id=assignment.project_id,
    )
    session.commit()
    return standing.is_saved


def test_drafts_of_prompts_keep_the_newest_and_end_with_the_answer(session: Session) -> None:
    project, (alice, bob) = world(session, "alice", "bob", n=2)
    mine = take(session, project, alice, PromptKind.DEMONSTRATE)
    assert keep(session, mine, 2, text="two")
    assert not keep(session, mine, 1, text="one")
    assert prompt_draft_of(session, mine) == (2, {"text": "two"})
    run_out(session, mine)
    assert keep(session, mine, 3, text="late")
    values: dict[str, Any] = {"version": 9, "content": "{}", "project_id": project.id}
    with pytest.raises(Forbidden):
        save_prompt_draft(session, mine.id, bob.id, kind=mine.kind, **values)
    with pytest.raises(NotFound):
        save_prompt_draft(session, uuid.uuid4(), alice.id, kind=mine.kind, **values)
    record_demonstration(session, mine, "Done.", SAID)
    with pytest.raises(Conflict, match="answered or skipped"):
        keep(session, mine, 4, text="later still")
    session.rollback()
    record_demonstration(session, mine, "Done.", SAID)
    session.commit()
    following = take(session, project, alice, PromptKind.DEMONSTRATE)
    keep(session, following, 1, text="next")
    assert session.scalars(select(PromptDraft.assignment_id)).all() == [following.id]
    skip(session, following, "odd")
    with pytest.raises(Conflict):
        keep(session, following, 2, text="skipped")


def rewritten(session: Session, words: str = "Better still.") -> tuple[Project, Comparison]:
    project, (alice,) = make_world(session, "alice", n_pairs=1, is_rewrite_on=True, is_span_on=True)
    comparison = answer(session, project, alice, rating=2)
    record_additions(session, project, comparison, {"rewrite": words, "span.left.0.3": "wrong"})
    session.commit()
    return project, comparison


def amend(
    session: Session, project: Project, comparison: Comparison, rating: int, **extra: str
) -> None:
    fields = {name.replace("_", "."): value for name, value in extra.items()}
    change_answer(session, project, comparison, fields, rating=rating)
    session.commit()


def derived(session: Session) -> list[tuple[str, bool]]:
    """What follows from edits, as (text of the edit, whether it counts)."""
    rows = session.execute(
        select(Completion.text, Comparison.is_surplus)
        .join(Pair, Completion.id.in_([Pair.completion_a_id, Pair.completion_b_id]))
        .join(Comparison, Comparison.pair_id == Pair.id)
        .where(Completion.source == "edited")
        .order_by(Comparison.created_at)
    )
    return [(words, not is_surplus) for words, is_surplus in rows]


def test_a_rewrite_and_marks_are_changed_with_the_answer_in_one_version(session: Session) -> None:
    project, comparison = rewritten(session)
    assert fields_of(session, comparison)["rewrite"] == "Better still."
    amend(session, project, comparison, 2, rewrite="Best of all.", span_left_0_4="good")
    assert comparison.revision == 2
    version = session.scalars(select(ComparisonRevision)).one()
    assert version.edited_id is not None
    assert session.get_one(Completion, version.edited_id).text == "Better still."
    assert [(one["stop"], one["reason"]) for one in version.spans] == [(3, "wrong")]
    assert derived(session) == [("Better still.", False), ("Best of all.", True)]
    assert session.scalars(select(Span.stop)).all() == [4]
    # The same again is no version; taken back, the first edit counts again.
    amend(session, project, comparison, 2, rewrite="Best of all.", span_left_0_4="good")
    assert comparison.revision == 2
    amend(session, project, comparison, 2, rewrite="Better still.", span_left_0_4="good")
    assert derived(session) == [("Better still.", True), ("Best of all.", False)]
    amend(session, project, comparison, 2)
    assert session.scalars(select(Rewrite)).all() == []
    assert session.scalars(select(Span)).all() == []
    assert not any(counts for _, counts in derived(session))
    assert comparison.revision == 4
    assert broken_rules(session) == []


def test_a_rewrite_follows_the_better_side_when_the_rating_turns(session: Session) -> None:
    project, comparison = rewritten(session)
    pair = session.get_one(Pair, comparison.pair_id)
    amend(session, project, comparison, 7, rewrite="Better still.", span_left_0_3="wrong")
    rewrite = session.scalars(select(Rewrite)).one()
    assert (rewrite.chosen_id, rewrite.rejected_id) == (pair.completion_b_id, pair.completion_a_id)
    assert session.get_one(Completion, rewrite.edited_id).text == "Better still."
    assert derived(session) == [("Better still.", False), ("Better still.", True)]
    follower = session.get_one(Comparison, rewrite.derived_comparison_id)
    with pytest.raises(Forbidden, match="follows from another answer"):
        change_comparison(session, follower.id, follower.annotator_id, rating=1)
    assert broken_rules(session) == []


def test_what_came_along_is_changed_on_the_page_of_the_answer(
    session: Session, browsing: Browsing
) -> None:
    _, comparison = rewritten(session)
    browsing.sign_in(session.get_one(Person, comparison.annotator_id))
    url = f"/projects/garden/collect/answers/{comparison.id}"
    page = browsing.get(url).text
    assert "Better still." in page
    form = {"revision": "1", "rating": str(canonical(2, comparison.is_flipped)), "rewrite": "New."}
    assert browsing.post(url, form).status_code == 303
    assert "New." in browsing.get(url).text
    assert browsing.post(url, {**form, "rewrite": "From an old tab."}).status_code == 409
