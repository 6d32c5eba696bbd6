"""Freezing what was answered, and exporting what was frozen."""

import json
from itertools import chain
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.collect.intake import add_prompts
from app.datasets.queries import count_unfrozen
from app.datasets.service import export_file, export_lines, freeze, hash_lines
from app.datasets.split import position_of, split_groups
from app.errors import Conflict, NotFound
from app.tables.accounts import AuditEvent, Person
from app.tables.collect import AnswerRole, Completion, Pair
from app.tables.datasets import PreferenceRow, Split
from app.tables.projects import FlagScope, Project
from tests.datasets.support import add_pairs, answer, answer_flag, make_flag, prompt_in
from tests.support import make_person, make_project


@pytest.fixture
def project(session: Session) -> Project:
    project = make_project(session)
    session.commit()
    return project


@pytest.fixture
def alice(session: Session) -> Person:
    return make_person(session, "alice")


def test_a_project_without_answers_has_nothing_to_freeze(
    session: Session, project: Project
) -> None:
    with pytest.raises(Conflict, match="nothing to freeze"):
        freeze(session, project)


def test_a_second_freeze_without_a_new_answer_is_refused_in_words(
    session: Session, project: Project, alice: Person
) -> None:
    pairs = add_pairs(session, project, 5)
    first = answer(session, pairs[0], alice)
    freeze(session, project)
    assert count_unfrozen(session, project.id) == 0

    with pytest.raises(Conflict, match="since preference set 1"):
        freeze(session, project)

    first.rating = 7
    session.flush()
    assert freeze(session, project).number == 2
    answer(session, pairs[1], alice)
    assert count_unfrozen(session, project.id) == 1
    assert freeze(session, project).number == 3


def test_a_line_holds_the_conversation_the_rating_and_where_it_came_from(
    session: Session, project: Project, alice: Person
) -> None:
    (pair,) = add_pairs(session, project, 1, group="gardens")
    accurate, topic = (
        make_flag(session, project),
        make_flag(session, project, "on_topic", scope=FlagScope.COMPARISON),
    )
    comparison = answer(session, pair, alice, rating=7, is_about_equal=True, confidence=2)
    answer_flag(session, comparison, accurate, 1, pair.completion_b_id)
    answer_flag(session, comparison, accurate, None, pair.completion_a_id)
    answer_flag(session, comparison, topic, 0)

    frozen = freeze(session, project)
    (words,) = export_lines(session, frozen)

    row = json.loads(words)
    text_a = session.get_one(Completion, pair.completion_a_id).text
    text_b = session.get_one(Completion, pair.completion_b_id).text
    assert row["prompt"] == [{"role": "user", "content": "Question 0?"}]
    assert row["chosen"] == [{"role": "assistant", "content": text_b}]
    assert row["rejected"] == [{"role": "assistant", "content": text_a}]
    assert (row["rating"], row["strength"], row["chosen_side"]) == (7, 3, "B")
    assert (row["is_about_equal"], row["is_both_bad"], row["weight"]) == (True, False, 1.0)
    assert row["confidence"] == 2
    assert (row["pair"], row["draw"], row["draw_probability"]) == (str(pair.id), "uniform", 0.25)
    assert (row["split"], row["group"]) == ("train", "gardens")
    assert row["role"] == "annotator"
    assert row["flags"] == [
        {"key": "accurate", "scope": "completion", "side": "A", "value": None},
        {"key": "accurate", "scope": "completion", "side": "B", "value": 1},
        {"key": "on_topic", "scope": "comparison", "side": "", "value": 0},
    ]
    assert str(alice.id) not in words
    assert "alice" not in words


@pytest.mark.parametrize(("rating", "strength"), [(1, 4), (4, 1), (5, 1), (8, 4)])
def test_strength_is_the_distance_from_the_middle(
    session: Session, project: Project, alice: Person, rating: int, strength: int
) -> None:
    answer(session, add_pairs(session, project, 1)[0], alice, rating)
    (words,) = export_lines(session, freeze(session, project))
    assert json.loads(words)["strength"] == strength


def test_surplus_answers_and_gold_items_are_left_out(
    session: Session, project: Project, alice: Person
) -> None:
    pairs = add_pairs(session, project, 3)
    answer(session, pairs[0], alice, is_surplus=True)
    pairs[1].is_gold = True
    answer(session, pairs[1], alice)
    counted = answer(session, pairs[2], alice)

    frozen = freeze(session, project)

    assert frozen.n_comparisons == 1
    (words,) = export_lines(session, frozen)
    assert json.loads(words)["pair"] == str(counted.pair_id)


def test_the_lines_hash_to_the_sets_hash_also_after_later_edits(
    session: Session, project: Project, alice: Person
) -> None:
    given = [answer(session, pair, alice) for pair in add_pairs(session, project, 20)]
    frozen = freeze(session, project)
    before = list(export_lines(session, frozen))
    session.commit()

    for comparison in given:
        comparison.rating = 8
    session.get_one(Pair, given[0].pair_id).is_gold = True
    session.commit()

    assert list(export_lines(session, frozen)) == before
    assert hash_lines(iter(before)) == frozen.content_hash
    assert len(frozen.content_hash) == 64
    by_split = [list(export_lines(session, frozen, side)) for side in Split]
    assert [len(lines) for lines in by_split] == [frozen.n_train, frozen.n_eval]
    assert sorted(chain.from_iterable(by_split)) == sorted(before)


def test_an_annotator_keeps_one_pseudonym_and_nobody_elses(
    session: Session, project: Project, alice: Person
) -> None:
    bob = make_person(session, "bob")
    pairs = add_pairs(session, project, 4)
    answer(session, pairs[0], alice)
    first = freeze(session, project)
    answer(session, pairs[1], alice)
    answer(session, pairs[2], bob)
    second = freeze(session, project)

    names = [
        [json.loads(words)["annotator"] for words in export_lines(session, one)]
        for one in (first, second)
    ]

    assert set(names[0]) < set(names[1])
    assert len(set(names[1])) == second.n_annotators == 2


def test_about_one_group_in_seven_is_held_out_and_none_ever_changes_sides() -> None:
    groups = [f"group {n}" for n in range(2000)]
    sides = split_groups(groups[:50], {})
    later = split_groups(groups, sides)
    assert 240 < sum(side is Split.EVAL for side in later.values()) < 360
    assert all(later[name] is side for name, side in sides.items())


def test_two_groups_are_enough_to_hold_one_out_and_one_is_for_training() -> None:
    low, high = sorted((f"group {n}" for n in range(50)), key=position_of)[-2:]
    assert split_groups([low], {}) == {low: Split.TRAIN}
    assert split_groups([low, high], {}) == {low: Split.EVAL, high: Split.TRAIN}
    first, second = sorted((f"group {n}" for n in range(50)), key=position_of)[:2]
    assert split_groups([first, second], {}) == {first: Split.EVAL, second: Split.TRAIN}
    assert split_groups([low, high], {low: Split.TRAIN}) == {low: Split.TRAIN, high: Split.EVAL}


def test_prompts_of_one_group_stay_on_one_side(
    session: Session, project: Project, alice: Person
) -> None:
    for topic in range(12):
        add_prompts(
            session,
            project,
            [prompt_in(f"{topic} {n}?", "x", "y", group=f"topic {topic}") for n in range(3)],
        )
    for pair in session.scalars(select(Pair)):
        answer(session, pair, alice)
    frozen = freeze(session, project)

    sides: dict[str, set[str]] = {}
    for words in export_lines(session, frozen):
        row = json.loads(words)
        sides.setdefault(row["group"], set()).add(row["split"])

    assert len(sides) == 12
    assert all(len(side) == 1 for side in sides.values())
    assert frozen.n_eval > 0


def test_a_file_is_written_whole_by_number_and_split(
    session: Session, project: Project, alice: Person, tmp_path: Path
) -> None:
    for pair in add_pairs(session, project, 10):
        answer(session, pair, alice)
    frozen = freeze(session, project)
    session.commit()
    out = tmp_path / "out.jsonl"

    assert export_file("garden", None, out) == 10
    assert hash_lines(iter(out.read_text(encoding="utf-8").splitlines(True))) == frozen.content_hash
    assert export_file("garden", 1, out, "eval") == frozen.n_eval
    assert list(tmp_path.iterdir()) == [out]
    with pytest.raises(NotFound, match="no preference set 9"):
        export_file("garden", 9, out)


def test_whoever_freezes_and_exports_without_a_browser_is_noted_too(
    session: Session, project: Project, alice: Person, tmp_path: Path
) -> None:
    answer(session, add_pairs(session, project, 1)[0], alice)
    frozen = freeze(session, project)
    session.commit()
    export_file("garden", None, tmp_path / "out.jsonl", "eval")
    frozen_by, taken_by = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert frozen_by.action == "preference_set.frozen"
    assert frozen_by.subject == taken_by.subject == str(frozen.id)
    assert taken_by.action == "preference_set.exported"
    assert taken_by.detail == {"number": 1, "split": "eval"}
    assert taken_by.address == "command line"


def test_a_line_says_in_which_role_it_was_answered_and_older_sets_keep_their_bytes(
    session: Session, project: Project, alice: Person
) -> None:
    for pair, role in zip(add_pairs(session, project, 3), AnswerRole, strict=True):
        answer(session, pair, alice, role=role)
    frozen = freeze(session, project)
    lines = [json.loads(line) for line in export_lines(session, frozen)]
    assert [line["role"] for line in lines] == ["annotator", "adjudicator", "researcher"]
    # As a set that was frozen before the role was kept.
    session.execute(update(PreferenceRow).values(role=None))
    assert not any("role" in json.loads(line) for line in export_lines(session, frozen))
