"""Ranking, rating and writing: leases, what is kept, and what follows for training."""

import json
import threading
import uuid
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app import db
from app.collect.intake import CompletionIn, Message, PromptIn, add_prompts
from app.collect.kinds import open_work
from app.collect.kinds.leases import Finished, next_prompt, own_prompt, skip
from app.collect.kinds.service import record_demonstration, record_ranking, record_ratings
from app.collect.leases import Nothing, Why
from app.collect.service import next_assignment
from app.datasets.service import export_lines, freeze
from app.errors import Conflict, Forbidden, Invalid
from app.projects.skipping import add_reason, reasons_of
from app.tables.accounts import Person, Role
from app.tables.collect import AssignmentState, Comparison, Completion, Pair
from app.tables.kinds import (
    CompletionRating,
    PromptAssignment,
    PromptKind,
    RankedCompletion,
    RankingComparison,
)
from app.tables.projects import Project
from tests.collect.worlds import broken_rules, make_annotators
from tests.support import Browsing, join, make_person, make_project

URL = "/projects/garden/collect/kinds"
SAID = Finished(seconds=60.0)
ALL_ON = {"is_ranking_on": True, "is_rating_on": True, "is_demonstration_on": True}


def make_prompts(session: Session, project: Project, n: int, n_completions: int = 3) -> None:
    add_prompts(
        session,
        project,
        [
            PromptIn(
                messages=[Message(role="user", content=f"Question {number}?")],
                completions=[
                    CompletionIn(text=f"Answer {k} to {number}.", source=f"secret-{k}")
                    for k in range(n_completions)
                ],
                pairs=[],
            )
            for number in range(n)
        ],
    )
    session.commit()


def world(
    session: Session, *names: str, n: int = 2, n_completions: int = 3, **settings: Any
) -> tuple[Project, list[Person]]:
    project = make_project(session, **{**ALL_ON, **settings})
    people = make_annotators(session, project, *names)
    make_prompts(session, project, n, n_completions)
    return project, people


def take(session: Session, project: Project, person: Person, kind: PromptKind) -> PromptAssignment:
    found = next_prompt(session, project, person.id, kind)
    assert not isinstance(found, Nothing), found
    session.commit()
    return found


def run_out(session: Session, assignment: PromptAssignment) -> None:
    session.execute(text("update prompt_assignment set lease_until = now() - interval '1 minute'"))
    session.commit()
    session.refresh(assignment)


def test_a_ranking_is_kept_and_becomes_pairs_that_remember_it(session: Session) -> None:
    project, (alice,) = world(session, "alice", n=1)
    assignment = take(session, project, alice, PromptKind.RANK)
    best, middle, tied = assignment.shown
    record_ranking(session, assignment, {best: 1, middle: 3, tied: 3}, SAID)
    session.commit()
    ranks = {r.completion_id: r.rank for r in session.scalars(select(RankedCompletion))}
    assert ranks == {best: 1, middle: 2, tied: 2}
    comparisons = session.scalars(select(Comparison)).all()
    assert len(comparisons) == 3
    for one in comparisons:
        pair = session.get_one(Pair, one.pair_id)
        assert pair.ranking_id == assignment.id
        sides = (pair.completion_a_id, pair.completion_b_id)
        if best in sides:
            assert (one.rating, one.is_about_equal) == (3 if sides[0] == best else 6, False)
        else:
            assert one.rating in (4, 5)
            assert one.is_about_equal
        assert session.get_one(RankingComparison, one.id).ranking_id == assignment.id
    assert sum(one.seconds for one in comparisons) == pytest.approx(60)
    assert broken_rules(session) == []


def test_pairs_of_rankings_are_trained_on_and_not_asked_again(session: Session) -> None:
    project, (alice, bob) = world(session, "alice", "bob", n=1, overlap=2)
    assignment = take(session, project, alice, PromptKind.RANK)
    record_ranking(session, assignment, dict(zip(assignment.shown, (1, 2, 3), strict=True)), SAID)
    assert next_assignment(session, project, bob.id) == Nothing(Why.DONE)
    lines = [json.loads(line) for line in export_lines(session, freeze(session, project))]
    assert len(lines) == 3
    assert {line["strength"] for line in lines} == {2}
    assert {line["ranking"] for line in lines} == {str(assignment.id)}


def test_two_rankings_of_one_prompt_answer_the_same_pairs(session: Session) -> None:
    project, people = world(session, "alice", "bob", n=1, overlap=2)
    for person in people:
        assignment = take(session, project, person, PromptKind.RANK)
        ranks = dict(zip(sorted(assignment.shown), (1, 2, 3), strict=True))
        record_ranking(session, assignment, ranks, SAID)
        session.commit()
    assert session.scalar(select(func.count()).select_from(Pair)) == 3
    ratings = Counter(session.execute(select(Comparison.pair_id, Comparison.rating)).all())
    assert set(ratings.values()) == {2}, "both said the same of each pair"
    assert broken_rules(session) == []


def test_the_same_ranking_sent_twice_is_one_and_another_is_refused(session: Session) -> None:
    project, (alice,) = world(session, "alice")
    assignment = take(session, project, alice, PromptKind.RANK)
    ranks = dict(zip(assignment.shown, (1, 2, 3), strict=True))
    for _ in range(2):
        record_ranking(session, assignment, ranks, SAID)
    assert session.scalar(select(func.count()).select_from(Comparison)) == 3
    with pytest.raises(Conflict, match="differently"):
        record_ranking(session, assignment, dict.fromkeys(assignment.shown, 1), SAID)


@pytest.mark.parametrize("ranks", [(), (1,), (1, 2), (1, 2, 0), (1, 2, 4)])
def test_an_incomplete_or_impossible_ranking_is_refused(
    session: Session, ranks: tuple[int, ...]
) -> None:
    project, (alice,) = world(session, "alice")
    assignment = take(session, project, alice, PromptKind.RANK)
    with pytest.raises(Invalid, match=r"Give answer .* a rank from 1 to 3"):
        record_ranking(session, assignment, dict(zip(assignment.shown, ranks, strict=False)), SAID)
    with pytest.raises(Invalid, match="not on your page"):
        record_ranking(session, assignment, {uuid.uuid4(): 1}, SAID)


def test_a_late_ranking_counts_while_there_is_room_and_else_is_surplus(session: Session) -> None:
    project, (alice, bob) = world(session, "alice", "bob", n=1)
    late = take(session, project, alice, PromptKind.RANK)
    run_out(session, late)
    other = take(session, project, bob, PromptKind.RANK)
    for assignment in (other, late):
        session.refresh(assignment)
        ranks = dict(zip(assignment.shown, (1, 2, 3), strict=True))
        record_ranking(session, assignment, ranks, SAID)
    session.commit()
    assert (other.is_surplus, late.is_surplus) == (False, True)
    surplus = Counter(session.scalars(select(Comparison.is_surplus)))
    assert surplus == {False: 3, True: 3}
    assert broken_rules(session) == []


def test_what_was_skipped_goes_to_others_and_can_not_be_answered(session: Session) -> None:
    project, (alice, bob) = world(session, "alice", "bob", n=1)
    assignment = take(session, project, alice, PromptKind.RATE)
    with pytest.raises(Invalid):
        skip(session, assignment, "  ")
    skip(session, assignment, "I do not know enough")
    session.commit()
    with pytest.raises(Conflict, match="skipped"):
        record_ratings(session, assignment, dict.fromkeys(assignment.shown, 4), SAID)
    assert next_prompt(session, project, alice.id, PromptKind.RATE) == Nothing(Why.DONE)
    assert take(session, project, bob, PromptKind.RATE).prompt_id == assignment.prompt_id
    with pytest.raises(Forbidden):
        own_prompt(session, assignment.id, bob.id, project.id, PromptKind.RATE)


def test_ratings_stand_for_each_answer_by_itself(session: Session) -> None:
    project, (alice,) = world(session, "alice", n=1, n_completions=2)
    assignment = take(session, project, alice, PromptKind.RATE)
    with pytest.raises(Invalid, match="rating from 1 to 7"):
        record_ratings(session, assignment, dict.fromkeys(assignment.shown, 8), SAID)
    ratings = dict(zip(assignment.shown, (7, 1), strict=True))
    record_ratings(session, assignment, ratings, SAID)
    found = {r.completion_id: r.rating for r in session.scalars(select(CompletionRating))}
    assert found == ratings
    assert session.scalar(select(func.count()).select_from(Comparison)) == 0


def test_a_demonstration_is_a_completion_of_its_author(session: Session) -> None:
    project, (alice,) = world(session, "alice", n=1, n_completions=0)
    assignment = take(session, project, alice, PromptKind.DEMONSTRATE)
    with pytest.raises(Invalid, match="empty"):
        record_demonstration(session, assignment, "  \n ", SAID)
    for _ in range(2):
        record_demonstration(session, assignment, "Like\r\nthis.\n", SAID)
    completion = session.scalars(select(Completion)).one()
    assert (completion.text, completion.author_id) == ("Like\nthis.", alice.id)
    with pytest.raises(Conflict):
        record_demonstration(session, assignment, "Or like that.", SAID)


def test_what_is_left_is_counted_for_each_kind_that_is_on(session: Session) -> None:
    project, (alice,) = world(session, "alice", n=3, n_completions=2, is_rating_on=False)
    make_prompts(session, project, 0)
    assert open_work(session, project.id, alice.id) == {
        PromptKind.RANK: 0,
        PromptKind.DEMONSTRATE: 3,
    }
    assignment = take(session, project, alice, PromptKind.DEMONSTRATE)
    assert open_work(session, project.id, alice.id)[PromptKind.DEMONSTRATE] == 3
    record_demonstration(session, assignment, "Done.", SAID)
    assert open_work(session, project.id, alice.id)[PromptKind.DEMONSTRATE] == 2


def test_many_at_once_never_get_more_than_the_overlap(session: Session) -> None:
    names = [f"person{k}" for k in range(6)]
    project, people = world(session, *names, n=4, overlap=2)
    ids, project_id = [person.id for person in people], project.id

    def work(annotator_id: uuid.UUID) -> None:
        while True:
            with db.session_scope() as own:
                mine = own.get_one(Project, project_id)
                found = next_prompt(own, mine, annotator_id, PromptKind.RATE)
                if isinstance(found, Nothing):
                    return
                given = own_prompt(own, found.id, annotator_id, project_id, PromptKind.RATE)
                record_ratings(own, given, dict.fromkeys(given.shown, 4), SAID)

    threads = [threading.Thread(target=work, args=(one,)) for one in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = Counter(
        session.scalars(
            select(PromptAssignment.prompt_id).where(
                PromptAssignment.state == AssignmentState.DONE, ~PromptAssignment.is_surplus
            )
        )
    )
    assert sorted(taken.values()) == [2, 2, 2, 2]


def test_a_kind_that_is_off_is_not_there(session: Session, browsing: Browsing) -> None:
    _, (alice,) = world(session, "alice", is_ranking_on=False)
    browsing.sign_in(alice)
    assert browsing.get(f"{URL}/rank").status_code == 404
    listed = browsing.get(URL).text
    assert f"{URL}/rank" not in listed
    assert f"{URL}/rate" in listed


def test_who_may_not_answer_here_is_told_why(session: Session, browsing: Browsing) -> None:
    project, (alice,) = world(session, "alice", languages=["de"])
    found = next_prompt(session, project, alice.id, PromptKind.RANK)
    assert isinstance(found, Nothing)
    assert found.why is Why.NOT_ELIGIBLE
    assert found.hindrance is not None
    browsing.sign_in(alice)
    assert found.hindrance.sentence in browsing.get(f"{URL}/rank").text


@pytest.mark.parametrize("kind", ["rank", "rate", "demonstrate"])
def test_each_page_works_without_a_script_and_names_no_author(
    session: Session, browsing: Browsing, kind: str
) -> None:
    _, (alice,) = world(session, "alice", n=2)
    browsing.sign_in(alice)
    page = browsing.get(f"{URL}/{kind}")
    assert page.status_code == 200
    assert "secret-" not in page.text
    assignment = session.scalars(select(PromptAssignment)).one()
    form = {"assignment_id": str(assignment.id), "seconds": "", "text": "Written."}
    form |= {f"choice.{one}": "1" for one in assignment.shown}
    for _ in range(2):
        answered = browsing.post(f"{URL}/{kind}/answers", form)
        assert (answered.status_code, answered.headers["location"]) == (303, f"{URL}/{kind}")
    session.refresh(assignment)
    assert assignment.state is AssignmentState.DONE
    assert str(assignment.id) not in browsing.get(f"{URL}/{kind}").text
    waiting = session.scalars(
        select(PromptAssignment).where(PromptAssignment.state == AssignmentState.LEASED)
    ).one()
    lease = {"assignment_id": str(waiting.id)}
    assert browsing.post(f"{URL}/{kind}/renewals", lease).status_code == 204
    assert browsing.post(f"{URL}/{kind}/releases", lease).status_code == 303
    assert browsing.get(f"{URL}/{kind}").status_code == 200
    skipped = browsing.post(f"{URL}/{kind}/skips", {**lease, "other": "Odd"})
    assert skipped.status_code == 303
    assert "You have done everything here" in browsing.get(f"{URL}/{kind}").text


def test_a_prompt_is_skipped_for_a_reason_of_the_projects_own_list(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = world(session, "alice", n=1)
    add_reason(session, project, "No recipe", is_words_needed=True, by=alice.id)
    session.commit()
    url = f"{URL}/demonstrate"
    page = browsing.sign_in(alice).get(url).text
    assert "No recipe" in page
    reason = next(one for one in reasons_of(session, project.id) if one.label == "No recipe")
    held = session.scalars(select(PromptAssignment)).one()
    form = {"assignment_id": str(held.id), "reason": str(reason.id)}
    assert browsing.post(f"{url}/skips", form).status_code == 422
    assert browsing.post(f"{url}/skips", {**form, "other": "It is a poem"}).status_code == 303
    session.refresh(held)
    assert (held.state, held.skip_reason) == (AssignmentState.SKIPPED, "No recipe: It is a poem")


def test_the_files_load_as_json_lines_for_staff_alone(session: Session, browsing: Browsing) -> None:
    project, (alice,) = world(session, "alice", n=1)
    ranked = take(session, project, alice, PromptKind.RANK)
    record_ranking(session, ranked, dict(zip(ranked.shown, (2, 1, 1), strict=True)), SAID)
    rated = take(session, project, alice, PromptKind.RATE)
    record_ratings(session, rated, dict.fromkeys(rated.shown, 5), SAID)
    written = take(session, project, alice, PromptKind.DEMONSTRATE)
    record_demonstration(session, written, "So.", SAID)
    carol = make_person(session, "carol")
    join(session, project, carol, Role.RESEARCHER)
    session.commit()
    files = "/projects/garden/datasets/feedback"
    browsing.sign_in(alice)
    assert browsing.get(f"{files}/rankings.jsonl").status_code == 403
    browsing.sign_in(carol)
    (ranking,) = read(browsing, f"{files}/rankings.jsonl")
    assert ranking["ranks"] == [1, 1, 2]
    assert len(ranking["completions"]) == 3
    assert [one["rating"] for one in read(browsing, f"{files}/ratings.jsonl")] == [5, 5, 5]
    (shown,) = read(browsing, f"{files}/demonstrations.jsonl")
    assert shown["completion"] == [{"role": "assistant", "content": "So."}]
    assert shown["prompt"] == [{"role": "user", "content": "Question 0?"}]


def read(browsing: Browsing, url: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in browsing.get(url).text.splitlines()]
