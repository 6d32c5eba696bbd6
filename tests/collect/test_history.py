"""One's own answers: every filter, pages by key, a search that ends in time, and whose they are."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.collect.history.forms import HistoryForm
from app.collect.history.queries import Place, Wanted, _next_length, answers_of
from app.collect.kinds.additions import record_rewrite
from app.collect.kinds.leases import Finished
from app.collect.kinds.service import record_demonstration, record_ranking, record_ratings
from app.collect.service import FlagIn
from app.tables.accounts import Person, Role
from app.tables.base import utc_now
from app.tables.collect import Comparison
from app.tables.kinds import PromptKind
from app.tables.projects import FlagScope, Project
from tests.collect.test_kinds import SAID, make_prompts, take
from tests.collect.worlds import answer, make_flag, make_pairs, make_world
from tests.support import Browsing, join, make_person, make_project

URL = "/projects/garden/collect/history"


def ids(rows: object) -> list[object]:
    return [row.id for row in rows]  # type: ignore[attr-defined]


def listed(page: str) -> list[str]:
    return re.findall(r"/answers/([0-9a-f-]{36})\?back", page)


def test_every_word_must_be_in_the_conversation_an_answer_or_the_comment(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=3)
    said = [answer(session, project, alice, comment=f"100% of case {n}") for n in range(3)]
    who = (session, alice.id, [project.id])

    def found(*words: str) -> list[object]:
        return ids(answers_of(*who, Wanted(words=words)).rows)

    newest_first = [one.id for one in reversed(said)]
    assert found("QUESTION", "left", "of case") == newest_first
    assert found("case 1") == [said[1].id]
    assert found("case 1", "case 2") == []
    assert found("100%") == newest_first
    assert found("10%") == []
    assert found("content") == found("role") == []


def test_a_search_is_read_from_what_was_typed() -> None:
    form = HistoryForm(q='boiled "soft egg" x\x00y ', rating="A", since="2026-02-30", flag="none")
    assert form.words == ["boiled", "soft egg", "xy"]
    assert form.wanted() == Wanted(words=("boiled", "soft egg", "xy"), rating=(1, 4))
    assert HistoryForm(before="2026-01-01_no", after="x").place() is None
    assert HistoryForm(until="9999-12-31").wanted().until is None
    assert HistoryForm().is_empty
    assert form.url(q="") == "?rating=A&flag=none&since=2026-02-30"


def test_ratings_are_found_as_they_were_shown(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=6)
    said = [answer(session, project, alice, rating=2) for _ in range(6)]
    who = (session, alice.id, [project.id])
    on_the_left = ids(answers_of(*who, Wanted(rating=(1, 4))).rows)
    assert set(on_the_left) == {one.id for one in said if not one.is_flipped}
    flipped = ids(answers_of(*who, Wanted(rating=(7, 7))).rows)
    assert set(flipped) == {one.id for one in said if one.is_flipped}


def test_flags_remarks_and_days_narrow_the_search(session: Session) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=4)
    rude = make_flag(session, project, "Rude", scope=FlagScope.COMPARISON)
    yes = answer(session, project, alice, flags=[FlagIn(rude.id, None, 1)])
    no = answer(session, project, alice, flags=[FlagIn(rude.id, None, 0)], comment="why")
    even = answer(session, project, alice, is_about_equal=True)
    old = answer(session, project, alice)
    old.created_at = utc_now() - timedelta(days=3)
    session.commit()
    who = (session, alice.id, [project.id])
    assert ids(answers_of(*who, Wanted(flag_id=rude.id)).rows) == [yes.id]
    assert ids(answers_of(*who, Wanted(said="comment")).rows) == [no.id]
    assert ids(answers_of(*who, Wanted(said="equal")).rows) == [even.id]
    day = utc_now() - timedelta(days=1)
    assert ids(answers_of(*who, Wanted(until=day)).rows) == [old.id]
    assert len(answers_of(*who, Wanted(since=day)).rows) == 3


def test_pages_follow_each_other_both_ways_whatever_is_answered_meanwhile(
    session: Session,
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=8)
    said = [answer(session, project, alice).id for _ in range(7)]
    # Three at one instant: the id decides between them.
    session.execute(
        text("update comparison set created_at = now() - interval '1 hour' where id = any(:ids)"),
        {"ids": said[2:5]},
    )
    session.commit()
    session.expire_all()
    who = (session, alice.id, [project.id])
    first = answers_of(*who, Wanted(), size=3)
    answer(session, project, alice)
    second = answers_of(*who, Wanted(), place=first.next, size=3)
    third = answers_of(*who, Wanted(), place=second.next, size=3)
    assert sorted(map(str, ids(first.rows) + ids(second.rows) + ids(third.rows))) == sorted(
        map(str, said)
    )
    assert third.next is None
    top = second.rows[0]
    back = answers_of(*who, Wanted(), place=Place(top.at, top.id, is_back=True), size=3)
    assert ids(back.rows) == ids(first.rows)
    assert back.next is not None


def test_a_search_that_finds_nothing_ends_in_time_and_goes_on_from_there(
    session: Session,
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=900)
    who = (session, alice.id, [project.id])
    answer_all(session, project, alice.id)
    wanted = Wanted(words=("Question 0?",))
    pages, place = 0, None
    while True:
        page = answers_of(*who, wanted, place=place, seconds=0)
        pages += 1
        if page.next is None:
            break
        assert page.is_cut
        place = page.next
    # 200 answers a page: the time was up after the first span each time.
    assert pages == 5
    found = answers_of(*who, wanted)
    assert len(found.rows) == 1
    assert found.next is None


def test_a_span_grows_while_it_is_quick_and_shrinks_for_long_texts() -> None:
    assert _next_length(200, taken=0.01) == 400
    assert _next_length(2_000, taken=0.01) == 2_000
    assert _next_length(200, taken=0.3) == 100
    assert _next_length(200, taken=60) == 20


def answer_all(session: Session, project: Project, person_id: object) -> None:
    session.execute(
        text(
            """
            with given as (
                insert into assignment (project_id, pair_id, annotator_id, state, draw,
                    draw_probability, is_flipped, lease_until)
                select project_id, id, :person, 'done', 'uniform', 1, false, now() from pair
                where project_id = :project returning id, pair_id
            )
            insert into comparison (project_id, assignment_id, pair_id, annotator_id, rating,
                seconds, is_flipped, idempotency_key)
            select :project, id, pair_id, :person, 3, 5, false, 'bulk' from given
            """
        ),
        {"project": project.id, "person": person_id},
    )
    session.commit()


@pytest.fixture
def two(session: Session) -> tuple[Project, Project]:
    garden, (alice,) = make_world(session, "alice")
    harbour = make_project(session, "harbour")
    join(session, harbour, alice, Role.ANNOTATOR)
    make_pairs(session, harbour, 2)
    for project in (garden, harbour, garden):
        answer(session, project, alice)
    return garden, harbour


def test_one_page_holds_the_answers_of_all_ones_projects_and_of_nobody_else(
    session: Session, browsing: Browsing, two: tuple[Project, Project]
) -> None:
    garden, _ = two
    alice = session.get_one(Person, session.scalars(select(Comparison.annotator_id)).first())
    browsing.sign_in(alice)
    assert len(listed(browsing.get("/history").text)) == 3
    assert len(listed(browsing.get("/history?project=harbour").text)) == 1
    assert len(listed(browsing.get(URL).text)) == 2
    bob = make_person(session, "bob")
    join(session, garden, bob, Role.ANNOTATOR)
    session.commit()
    page = browsing.sign_in(bob).get("/history").text
    assert listed(page) == []
    assert "not answered anything yet" in page
    session.execute(text("delete from membership where person_id = :id"), {"id": alice.id})
    session.commit()
    assert listed(browsing.sign_in(alice).get("/history").text) == []


def test_pages_by_address_lead_on_and_back(session: Session, browsing: Browsing) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=120)
    answer_all(session, project, alice.id)
    browsing.sign_in(alice)

    def go(page: str, name: str) -> str:
        (query,) = re.findall(rf'href="{URL}([^"]*)">{name}<', page)
        return browsing.get(URL + query.replace("&amp;", "&")).text

    first = browsing.get(f"{URL}?q=question").text
    second = go(first, "Older")
    third = go(second, "Older")
    assert [len(listed(page)) for page in (first, second, third)] == [50, 50, 20]
    assert "Older<" not in third
    assert listed(go(third, "Newer")) == listed(second)
    assert listed(go(go(third, "Newer"), "Newer")) == listed(first)
    assert listed(go(third, "Newest")) == listed(first)
    for bent in (
        "before=x",
        "after=2026-01-01T00:00:00_1",
        "since=x&until=9",
        "q=%00",
        "rating=99",
    ):
        assert browsing.get(f"{URL}?{bent}").status_code == 200


def test_every_kind_of_feedback_is_listed_once_and_found(
    session: Session, browsing: Browsing
) -> None:
    settings = {"is_ranking_on": True, "is_rating_on": True, "is_demonstration_on": True}
    project, (alice,) = make_world(session, "alice", n_pairs=2, is_rewrite_on=True, **settings)
    make_prompts(session, project, 1)
    said = [answer(session, project, alice) for _ in range(2)]
    record_rewrite(session, project, said[0], "Rewritten by hand.")
    draw = "update assignment set draw = 'conversation' where id = :id"
    session.execute(text(draw), {"id": said[1].assignment_id})
    ranked = take(session, project, alice, PromptKind.RANK)
    ranks = dict(zip(ranked.shown, (2, 1, 3, 4, 5), strict=True))
    record_ranking(session, ranked, ranks, SAID)
    rated = take(session, project, alice, PromptKind.RATE)
    ratings = dict.fromkeys(rated.shown, 4)
    record_ratings(session, rated, ratings, Finished(5.0, "so-so"))
    written = take(session, project, alice, PromptKind.DEMONSTRATE)
    record_demonstration(session, written, "Like this, say.", SAID)
    session.commit()
    who = (session, alice.id, [project.id])
    newest_first = [written.id, rated.id, ranked.id, said[1].id, said[0].id]
    every = answers_of(*who, Wanted())
    assert ids(every.rows) == newest_first
    assert every.rows[2].choices == (2, 1, 3, 4, 5)

    def found(**wanted: Any) -> list[object]:
        return ids(answers_of(*who, Wanted(**wanted)).rows)

    kinds = ("demonstrate", "rate", "rank", "conversation", "rewrite")
    assert [found(kind=kind) for kind in kinds] == [[one] for one in newest_first]
    assert found(kind="comparison") == [said[0].id]
    assert found(words=("like this",)) == [written.id]
    assert found(words=("by hand",)) == [said[0].id]
    assert found(words=("so-so",)) == found(said="comment") == [rated.id]
    assert ranked.id in found(words=("Answer 1",))
    assert found(rating=(1, 8)) == [said[1].id, said[0].id]
    first = answers_of(*who, Wanted(), size=2)
    second = answers_of(*who, Wanted(), place=first.next, size=2)
    assert ids(first.rows) + ids(second.rows) == newest_first[:4]
    back = Place(second.rows[0].at, second.rows[0].id, is_back=True)
    assert ids(answers_of(*who, Wanted(), place=back, size=2).rows) == newest_first[:2]
    page = browsing.sign_in(alice).get(URL).text
    for one, kind in ((ranked, "rank"), (rated, "rate"), (written, "demonstrate")):
        place = f"/projects/garden/collect/kinds/{kind}/answers/{one.id}?back=history"
        assert place in page
        assert "Change your answer" in browsing.get(place).text
