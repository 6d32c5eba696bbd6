"""Gold items: fixed on the annotators' own widget, unmarked at work, worn out, told afterwards."""

import re
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.agree.gold import GoldIn, fix_answer, retire_worn
from app.agree.gold_answers import Share, gold_by_person, gold_flags, told
from app.agree.person import portrait
from app.collect.flagging import FlagIn
from app.collect.leases import assign
from app.collect.service import record_comparison
from app.errors import Conflict, Forbidden, Invalid
from app.loop.service import advance
from app.tables.accounts import AuditEvent, Person, Role
from app.tables.base import utc_now
from app.tables.collect import Assignment, Comparison, Pair
from app.tables.gold import GoldItem
from app.tables.projects import Project
from tests.collect.worlds import broken_rules, make_flag, make_world
from tests.support import Browsing, join, make_person

URL = "/projects/garden/agree/gold"


def pairs_of(session: Session, project: Project) -> list[Pair]:
    return list(
        session.scalars(select(Pair).where(Pair.project_id == project.id).order_by(Pair.id))
    )


def fix(session: Session, project: Project, pair: Pair, *ratings: int, by: Person) -> GoldItem:
    given = GoldIn(ratings or (1, 2, 3), "Because the guidelines say so.")
    item = fix_answer(session, project, pair.id, given, by=by.id)
    session.commit()
    return item


def give(
    session: Session, pair: Pair, person: Person, rating: int, flags: tuple[FlagIn, ...] = ()
) -> Comparison:
    held = assign(session, pair.id, person.id)
    said = record_comparison(
        session,
        assignment_id=held.id,
        annotator_id=person.id,
        rating=rating,
        seconds=5.0,
        idempotency_key=str(held.id),
        flags=flags,
    )
    session.commit()
    return said


@pytest.fixture
def staff(session: Session) -> Person:
    return make_person(session, "rosa")


def test_an_answer_is_fixed_changed_retired_and_given_back_with_everything_on_the_trail(
    session: Session, browsing: Browsing, staff: Person
) -> None:
    project, (alice,) = make_world(session, "alice")
    join(session, project, staff, Role.RESEARCHER)
    flag = make_flag(session, project, "Rude")
    pair = pairs_of(session, project)[0]
    give(session, pair, alice, 7)
    browsing.sign_in(staff)
    assert str(pairs_of(session, project)[1].id) in browsing.get(f"{URL}/choose").text
    page = browsing.get(f"{URL}/{pair.id}").text
    assert "The pair has <b>1</b> answers: they leave agreement and training." in page
    answer = {"rating": ["2", "3"], "explanation": "See *rule 2*.", f"flag.{flag.id}.right": "1"}
    assert browsing.post(f"{URL}/{pair.id}", answer).status_code == 303
    session.expire_all()
    assert (pair.is_gold, pair.is_open) == (True, True)
    again = browsing.get(f"{URL}/{pair.id}").text
    assert re.findall(r'name="rating" value="(\d)" checked', again) == ["2", "3"]
    assert f'name="flag.{flag.id}.right" value="1" checked' in again
    browsing.post(f"{URL}/{pair.id}", {"rating": ["2"], "explanation": "See *rule 2*."})
    browsing.post(f"{URL}/{pair.id}/retire")
    session.expire_all()
    assert pair.is_open is False
    browsing.post(f"{URL}/{pair.id}/use-again")
    browsing.post(f"{URL}/{pair.id}/give-back")
    session.expire_all()
    assert (pair.is_gold, pair.is_open, pair.n_taken) == (False, True, 1)
    assert broken_rules(session) == []
    events = session.scalars(
        select(AuditEvent).where(AuditEvent.action.like("gold.%")).order_by(AuditEvent.at)
    ).all()
    assert [one.action.removeprefix("gold.") for one in events] == [
        "fixed", "changed", "retired", "used_again", "given_back",
    ]  # fmt: skip
    assert events[1].detail["before"]["accepted"] == "2 to 3"
    assert events[1].detail["accepted"] == "2 to 2"


def test_what_cannot_be_a_gold_item_is_refused_in_words(
    session: Session, browsing: Browsing, staff: Person
) -> None:
    project, _ = make_world(session)
    join(session, project, staff, Role.RESEARCHER)
    pair = pairs_of(session, project)[0]
    browsing.sign_in(staff)
    for answer, words in (
        ({"explanation": "x"}, "Choose which of the eight ratings you accept."),
        ({"rating": ["1", "3"], "explanation": "x"}, "stand next to each other"),
        ({"rating": [str(n) for n in range(1, 9)], "explanation": "x"}, "can tell nothing"),
        ({"rating": ["4"], "explanation": " "}, "Say why, by the guidelines"),
    ):
        refused = browsing.post(f"{URL}/{pair.id}", answer)
        assert refused.status_code == 422
        assert words in refused.text
    pair.is_audit = True
    session.commit()
    with pytest.raises(Conflict, match="audits a policy"):
        fix(session, project, pair, by=staff)
    pair.is_audit, pair.ranking_id = False, uuid.uuid4()
    session.commit()
    with pytest.raises(Conflict, match="belongs to a ranking"):
        fix(session, project, pair, by=staff)
    with pytest.raises(Invalid):
        fix_answer(session, project, pair.id, GoldIn((9,), "x"), by=staff.id)


def test_annotators_see_neither_the_list_nor_an_item(session: Session, browsing: Browsing) -> None:
    project, (alice,) = make_world(session, "alice")
    pair = pairs_of(session, project)[0]
    browsing.sign_in(alice)
    for path in (URL, f"{URL}/choose", f"{URL}/{pair.id}"):
        assert browsing.get(path).status_code == 403
    assert browsing.post(f"{URL}/{pair.id}", {"rating": "1"}).status_code == 403


IDS = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|name=\"idempotency_key\" value=\"[^\"]+"
    r"|nonce=\"[^\"]+|(of|ion) \d+[.?]|<b>\d+</b> in 24|<b>about \d+"
)


def test_a_gold_item_and_an_ordinary_pair_are_the_same_page_byte_for_byte(
    session: Session, browsing: Browsing, staff: Person
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=24, gold_share=0.5, uniform_share=0.5)
    for pair in pairs_of(session, project)[:12]:
        fix(session, project, pair, by=staff)
    browsing.sign_in(alice)
    seen: dict[bool, set[str]] = {True: set(), False: set()}
    page = browsing.get("/projects/garden/collect").text
    for _ in range(10):
        held = session.scalars(select(Assignment).where(Assignment.state == "leased")).one()
        is_gold = session.get_one(Pair, held.pair_id, populate_existing=True).is_gold
        sides = re.sub(r"(left|right) words", "side words", page)
        sides = re.sub(r"\s*<form class=\"skipped\".*?</form>", "", sides, flags=re.S)
        seen[is_gold].add(IDS.sub("…", sides))
        browsing.post(
            "/projects/garden/collect/answers",
            {"assignment_id": str(held.id), "idempotency_key": str(held.id), "rating": "3"},
        )
        page = browsing.get("/projects/garden/collect").text
        if seen[True] and seen[False]:
            break
    assert len(seen[True] | seen[False]) == 1
    assert seen[True]
    assert seen[False]
    history = browsing.get("/projects/garden/collect/history").text
    mine = browsing.get("/projects/garden/agree/mine").text
    assert "gold" not in (page + history + mine).lower()


def test_items_that_enough_people_saw_are_retired_by_the_loop_and_then_given_to_nobody(
    session: Session, staff: Person
) -> None:
    project, people = make_world(session, "alice", "bob", "carol", "dan", gold_seen_share=0.5)
    pair, other = pairs_of(session, project)[:2]
    fix(session, project, pair, by=staff)
    fix(session, project, other, by=staff)
    give(session, pair, people[0], 2)
    assert retire_worn(session, project) == 0
    give(session, pair, people[1], 6)
    said = " ".join(advance(session))
    assert "Gold items that enough people have seen: 1. They are retired." in said
    session.expire_all()
    assert (pair.is_open, other.is_open) == (False, True)
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "gold.retired")).one()
    assert (event.actor_id, event.detail) == (None, {"why": "seen by too many"})
    project.gold_seen_share = None
    give(session, other, people[0], 2)
    give(session, other, people[1], 2)
    assert retire_worn(session, project) == 0


def test_hits_and_misses_stand_apart_with_wilsons_interval_and_flag_only_the_clear(
    session: Session, browsing: Browsing, staff: Person
) -> None:
    project, (alice, bob) = make_world(session, "alice", "bob", n_pairs=14)
    join(session, project, staff, Role.RESEARCHER, Role.ANNOTATOR)
    flag = make_flag(session, project, "Rude")
    pairs = pairs_of(session, project)
    for pair in pairs[:10]:
        given = GoldIn((6, 7, 8), "Rule 1.", [FlagIn(flag.id, "B", 0)])
        fix_answer(session, project, pair.id, given, by=staff.id)
        give(session, pair, alice, 7, (FlagIn(flag.id, "B", 0),))
        give(session, pair, bob, 2, (FlagIn(flag.id, "B", 1),))
        give(session, pair, staff, 1)
    give(session, pairs[10], alice, 4)
    give(session, pairs[11], bob, 4)
    found = gold_by_person(session, project)
    assert found == {alice.id: Share(10, 10), bob.id: Share(0, 10)}
    assert (gold_flags(session, project, alice).value, gold_flags(session, project, bob).value) == (
        1.0,
        0.0,
    )
    evidence = portrait(session, project, bob).evidence["gold"]
    assert evidence.is_flagged
    assert not portrait(session, project, alice).evidence["gold"].is_flagged
    browsing.sign_in(staff)
    workforce = browsing.get("/projects/garden/agree/workforce").text
    assert "0 to 28%, n 10" in workforce
    assert "72 to 100%, n 10" in workforce
    page = browsing.get(f"/projects/garden/agree/workforce/{bob.id}").text
    assert "Answered 0 of 10 gold items within the accepted range." in page
    assert "Fixed flags answered so" in page
    browsing.sign_in(bob)
    assert "gold" not in browsing.get("/projects/garden/agree/mine").text.lower()


def test_people_are_told_when_the_project_says_so_and_a_day_has_passed_or_the_item_is_retired(
    session: Session, browsing: Browsing, staff: Person
) -> None:
    project, (alice,) = make_world(session, "alice", gold_seen_share=None)
    old, fresh, retired = pairs_of(session, project)
    answers = {}
    for pair in (old, fresh, retired):
        fix(session, project, pair, 1, 2, by=staff)
        answers[pair] = give(session, pair, alice, 5)
    session.execute(
        update(Comparison)
        .where(Comparison.id == answers[old].id)
        .values(created_at=utc_now() - timedelta(days=2))
    )
    session.get_one(GoldItem, session.scalar(
        select(GoldItem.id).where(GoldItem.pair_id == retired.id)
    )).retired_at = utc_now()  # fmt: skip
    session.commit()
    assert told(session, project, alice) == []
    browsing.sign_in(alice)
    change = f"/projects/garden/collect/answers/{answers[old].id}"
    values = {"rating": "1", "revision": "1"}
    assert browsing.post(change, values).status_code == 303
    project.is_gold_told = True
    session.commit()
    found = told(session, project, alice)
    assert {one.comparison_id for one in found} == {answers[old].id, answers[retired].id}
    missed = next(one for one in found if one.comparison_id == answers[retired].id)
    is_flipped = answers[retired].is_flipped
    assert (missed.low, missed.high) == ((7, 8) if is_flipped else (1, 2))
    assert not missed.is_right
    mine = browsing.get("/projects/garden/agree/mine").text
    assert "Because the guidelines say so." in mine
    refused = browsing.post(change, {"rating": "8", "revision": "2"})
    assert refused.status_code == Forbidden.status
    assert "You have been told" in refused.text
    untold = f"/projects/garden/collect/answers/{answers[fresh].id}"
    assert browsing.post(untold, values).status_code == 303


def test_rules_are_saved_from_the_page_and_a_share_that_is_none_is_refused(
    session: Session, browsing: Browsing, staff: Person
) -> None:
    project, _ = make_world(session)
    join(session, project, staff, Role.ADMIN)
    session.commit()
    browsing.sign_in(staff)
    assert "No answer is fixed yet" in browsing.get(URL).text
    assert browsing.post(URL, {"gold_seen_share": "120"}).status_code == 422
    assert browsing.post(URL, {"gold_seen_share": "25", "is_gold_told": "true"}).status_code == 303
    session.refresh(project)
    assert (project.gold_seen_share, project.is_gold_told) == (0.25, True)
    browsing.post(URL, {"gold_seen_share": ""})
    session.refresh(project)
    assert (project.gold_seen_share, project.is_gold_told) == (None, False)
