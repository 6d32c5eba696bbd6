"""Staff see what an answer said before it was changed, by pair and by person; others do not."""

from sqlalchemy.orm import Session

from app.agree.versions import changed_by, versions
from app.agree.workforce import load_work
from app.collect.kinds.changing import Said, change
from app.collect.kinds.service import record_ranking
from app.collect.service import FlagIn, change_comparison
from app.tables.accounts import Role
from app.tables.kinds import PromptKind
from tests.collect.test_kinds import SAID, take, world
from tests.collect.worlds import answer, make_flag, make_world
from tests.support import Browsing, join, make_person


def test_every_version_of_an_answer_stands_beside_its_pair_and_its_person(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = make_world(session, "alice", n_pairs=1)
    rude = make_flag(session, project, "Rude")
    said = answer(session, project, alice, rating=2, comment="First <b>thought</b>")
    for rating, value in ((7, 1), (8, 0)):
        change_comparison(
            session, said.id, alice.id, rating=rating, flags=[FlagIn(rude.id, "A", value)]
        )
    session.commit()
    first, second, third = versions(session, said)
    assert first.says == ("Rating 2, A is better", "“First <b>thought</b>”")
    assert second.says == ("Rating 7, B is better", "Rude A: yes")
    assert third.says == ("Rating 8, B is better", "Rude A: no")
    assert (first.is_new, third.is_new) == ((False, False), (True, True))
    assert first.at <= second.at <= third.at
    carol = make_person(session, "carol")
    join(session, project, carol, Role.ADMIN)
    session.commit()
    agree = "/projects/garden/agree"
    browsing.sign_in(carol)
    pair = browsing.get(f"{agree}/verdicts/{said.pair_id}").text
    person = browsing.get(f"{agree}/workforce/{alice.id}").text
    for page in (pair, person):
        assert "First &lt;b&gt;thought&lt;/b&gt;" in page
        assert "Rude A: yes" in page
    assert "Changed 2 times" in pair
    assert "alice" not in pair
    assert "Answers that were changed" not in browsing.sign_in(alice).get(f"{agree}/mine").text


def test_a_changed_ranking_is_one_change_and_not_one_for_each_of_its_pairs(
    session: Session,
) -> None:
    project, (alice,) = world(session, "alice", n=1)
    ranked = take(session, project, alice, PromptKind.RANK)
    a, b, c = ranked.shown
    record_ranking(session, ranked, {a: 1, b: 2, c: 3}, SAID)
    change(session, project, ranked, Said({a: 3, b: 2, c: 1}, comment="the other way"))
    session.commit()
    (changed,) = changed_by(session, project.id, alice.id)
    assert (changed.what, changed.prompt) == ("Ranking", "Question 0?")
    assert [one.says for one in changed.versions] == [
        ("A: 1", "B: 2", "C: 3"),
        ("A: 3", "B: 2", "C: 1", "“the other way”"),
    ]


def test_what_follows_from_a_ranking_is_judged_neither_for_pace_nor_for_sides(
    session: Session,
) -> None:
    project, (alice,) = world(session, "alice", n=1)
    ranked = take(session, project, alice, PromptKind.RANK)
    record_ranking(session, ranked, dict(zip(ranked.shown, (1, 2, 3), strict=True)), SAID)
    session.commit()
    assert load_work(session, project.id) is None
