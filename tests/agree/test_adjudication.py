"""Disputed pairs: ranked, read without names, decided by one more answer, sent back, blamed."""

import json
import re

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.agree.adjudication import decide, queue, rank
from app.agree.experts import ExpertIn
from app.agree.opinions import Verdict
from app.agree.patterns import Filter
from app.agree.researchers import Source, clustered, with_researchers
from app.agree.service import overview
from app.collect.pairing import shown
from app.datasets.service import export_lines, freeze
from app.errors import Conflict
from app.projects.service import add_guideline_version
from app.tables.accounts import Person, Role
from app.tables.collect import AnswerRole, Comparison, Pair
from app.tables.home import Message
from app.tables.projects import Project
from tests.agree.test_gold import fix, give, pairs_of
from tests.collect.worlds import broken_rules, make_annotators, make_world
from tests.support import Browsing, join, make_person

URL = "/projects/garden/agree"
NAMES = ("alice", "bob", "carol", "dan")


@pytest.fixture
def rosa(session: Session) -> Person:
    return make_person(session, "rosa")


@pytest.fixture
def disputed(session: Session, rosa: Person) -> tuple[Project, list[Person], list[Pair]]:
    """Four people on four pairs: split firmly on the first two, together on the others."""
    project, people = make_world(session, *NAMES, n_pairs=6, overlap=4, undo_hours=1)
    join(session, project, rosa, Role.RESEARCHER)
    pairs = pairs_of(session, project)
    for k, pair in enumerate(pairs[:4]):
        for j, person in enumerate(people):
            give(session, pair, person, (1 if j % 2 else 8) if k < 2 else 2)
    return project, people, pairs


def verdict(pair: Pair, variance: float) -> Verdict:
    return Verdict(pair.id, [], 4.5, variance, 4, True, False)


def test_worth_is_disagreement_times_how_close_the_reward_model_sees_the_two(
    session: Session,
) -> None:
    project, _ = make_world(session)
    a, b, c = pairs_of(session, project)
    alone = rank([(verdict(a, 3.0), None, None), (verdict(b, 9.0), None, None)])
    assert [one.worth for one in alone] == [9.0, 3.0]
    found = rank(
        [(verdict(a, 3.0), 0.5, None), (verdict(b, 9.0), 0.01, None), (verdict(c, 4.0), None, None)]
    )
    assert [one.verdict.pair_id for one in found] == [a.id, c.id, b.id]
    assert found[0].closeness == 1.0
    assert found[1].worth == pytest.approx(4.0 * (1.0 + 4 * 0.01 * 0.99) / 2)


def test_a_pair_that_the_model_surely_sees_as_even_is_worth_less_than_one_it_does_not_know(
    session: Session,
) -> None:
    project, _ = make_world(session)
    a, b, c = pairs_of(session, project)
    found = rank(
        [(verdict(a, 4.0), 0.5, 0.1), (verdict(b, 4.0), 0.4, 0.9), (verdict(c, 4.0), 0.5, None)]
    )
    assert [one.verdict.pair_id for one in found] == [b.id, c.id, a.id]
    assert found[0].worth == pytest.approx(4.0 * 4 * 0.4 * 0.6 * 0.81)
    assert found[1].worth == pytest.approx(4.0 * (0.81 + 0.01) / 2)


def test_the_queue_holds_split_pairs_until_they_are_decided_and_again_after_a_new_answer(
    session: Session,
    browsing: Browsing,
    disputed: tuple[Project, list[Person], list[Pair]],
    rosa: Person,
) -> None:
    project, people, pairs = disputed
    pairs[0].reward_chance, pairs[1].reward_chance = 0.99, 0.5
    session.commit()
    waiting = [one.verdict.pair_id for one in queue(session, project).cases]
    assert waiting == [pairs[1].id, pairs[0].id]
    before = overview(session, project, Filter()).whole.reading
    session.commit()
    browsing.sign_in(rosa)
    page = browsing.get(f"{URL}/adjudicate/{pairs[1].id}").text
    assert page.count("<article") >= 4
    assert not any(name in page for name in NAMES)
    assert browsing.post(f"{URL}/adjudicate/{pairs[1].id}", {"rating": "3"}).status_code == 303
    session.expire_all()
    assert [one.verdict.pair_id for one in queue(session, project).cases] == [pairs[0].id]
    answers = session.scalars(select(Comparison).where(Comparison.pair_id == pairs[1].id)).all()
    assert sorted(one.rating for one in answers) == [1, 1, 3, 8, 8]
    (mine,) = (one for one in answers if one.role is AnswerRole.ADJUDICATOR)
    assert (mine.annotator_id, mine.rating) == (rosa.id, 3)
    assert broken_rules(session) == []
    after = overview(session, project, Filter()).whole.reading
    assert (after.alpha, after.n_ratings) == (before.alpha, before.n_ratings)
    assert browsing.post(f"{URL}/adjudicate/{pairs[1].id}", {"rating": "6"}).status_code == 303
    session.expire_all()
    assert (mine.rating, mine.revision) == (6, 2)
    assert [one.verdict.pair_id for one in queue(session, project).cases] == [pairs[0].id]
    assert "takes the place of yours" in browsing.get(f"{URL}/adjudicate/{pairs[1].id}").text
    with pytest.raises(Conflict, match="You have had this pair yourself"):
        decide(
            session,
            project,
            pairs[1],
            by=people[0],
            said=ExpertIn(3, 1.0),
            is_guideline_at_fault=False,
            note="",
        )
    session.rollback()
    changed = next(one for one in answers if one.annotator_id == people[0].id)
    browsing.sign_in(people[0])
    browsing.post(
        f"/projects/garden/collect/answers/{changed.id}",
        {"rating": str(shown(7, changed.is_flipped)), "revision": "1"},
    )
    session.expire_all()
    assert pairs[1].id in [one.verdict.pair_id for one in queue(session, project).cases]


def test_the_adjudicators_answer_trains_like_any_other(
    session: Session, disputed: tuple[Project, list[Person], list[Pair]], rosa: Person,
    browsing: Browsing,
) -> None:  # fmt: skip
    project, _, pairs = disputed
    session.commit()
    n = freeze(session, project, rosa.id).n_comparisons
    session.commit()
    browsing.sign_in(rosa)
    browsing.post(f"{URL}/adjudicate/{pairs[0].id}", {"rating": "7"})
    session.expire_all()
    frozen = freeze(session, project, rosa.id)
    assert frozen.n_comparisons == n + 1
    roles = [json.loads(line)["role"] for line in export_lines(session, frozen)]
    assert (roles.count("annotator"), roles.count("adjudicator")) == (n, 1)


def test_without_an_answer_a_decision_needs_a_word_why(
    session: Session,
    browsing: Browsing,
    disputed: tuple[Project, list[Person], list[Pair]],
    rosa: Person,
) -> None:
    project, _, pairs = disputed
    session.commit()
    browsing.sign_in(rosa)
    url = f"{URL}/adjudicate/{pairs[0].id}"
    refused = browsing.post(url, {"action": "none"})
    assert refused.status_code == 422
    assert "Say why" in refused.text
    assert browsing.post(url, {"action": "none", "note": "A matter of taste."}).status_code == 303
    session.expire_all()
    assert [one.verdict.pair_id for one in queue(session, project).cases] == [pairs[1].id]
    assert "A matter of taste." in browsing.get(url).text


def test_an_answer_sent_back_reaches_its_author_who_may_change_it_after_the_hours(
    session: Session,
    browsing: Browsing,
    disputed: tuple[Project, list[Person], list[Pair]],
    rosa: Person,
) -> None:
    project, people, pairs = disputed
    theirs = session.scalars(
        select(Comparison).where(
            Comparison.pair_id == pairs[0].id, Comparison.annotator_id == people[0].id
        )
    ).one()
    project.undo_hours = 0
    session.commit()
    change = f"/projects/garden/collect/answers/{theirs.id}"
    browsing.sign_in(people[0])
    assert browsing.post(change, {"rating": "2", "revision": "1"}).status_code == 403
    browsing.sign_in(rosa)
    back = f"{URL}/adjudicate/{pairs[0].id}/send-back/{theirs.id}"
    assert browsing.post(back, {"words": " "}).status_code == 422
    assert browsing.post(back, {"words": "Did you see the *second* line?"}).status_code == 303
    message = session.scalars(select(Message)).one()
    assert (message.recipient_id, message.comparison_id) == (people[0].id, theirs.id)
    session.expire_all()
    assert pairs[0].id not in [one.verdict.pair_id for one in queue(session, project).cases]
    assert "0 decided, 1 answer sent back" in browsing.get(f"{URL}/adjudicate").text
    other = f"{URL}/adjudicate/{pairs[1].id}/send-back/{theirs.id}"
    assert browsing.post(other, {"words": "Not of this pair."}).status_code == 404
    browsing.sign_in(people[0])
    assert browsing.post(change, {"rating": "2", "revision": "1"}).status_code == 303
    assert browsing.post(change, {"rating": "3", "revision": "2"}).status_code == 403


def test_where_the_guidelines_were_at_fault_their_next_version_opens_with_the_case_in_it(
    session: Session,
    browsing: Browsing,
    disputed: tuple[Project, list[Person], list[Pair]],
    rosa: Person,
) -> None:
    project, _, pairs = disputed
    add_guideline_version(session, project, markdown="# Rules", created_by=rosa.id)
    session.commit()
    browsing.sign_in(rosa)
    answer = {"rating": "3", "is_guideline_at_fault": "true", "note": "Lists are not covered."}
    where = browsing.post(f"{URL}/adjudicate/{pairs[0].id}", answer).headers["location"]
    page = browsing.get(where).text
    text = re.search(r"<textarea id=\"markdown\".*?>(.*?)</textarea>", page, re.S)
    assert text is not None
    assert text[1].startswith("# Rules\n\n## Example: Question ")
    assert "&gt; Question " in text[1]
    assert "Lists are not covered." in text[1]
    assert "After a decision: Lists are not covered." in page
    (other,) = make_annotators(session, project, "olga")
    browsing.sign_in(other)
    assert browsing.get(f"{URL}/adjudicate").status_code == 403
    assert browsing.get(where).status_code == 403


def test_researchers_answer_blind_and_their_agreement_with_annotators_has_sources_and_weeks(
    session: Session,
    browsing: Browsing,
    disputed: tuple[Project, list[Person], list[Pair]],
    rosa: Person,
) -> None:
    project, people, pairs = disputed
    fix(session, project, pairs[4], 1, 2, by=rosa)
    give(session, pairs[4], people[0], 2)
    browsing.sign_in(rosa)
    n = 0
    while "Nothing for you to answer here" not in (page := browsing.get(f"{URL}/sample").text):
        assert not any(name in page for name in NAMES)
        found = re.search(r'name="pair_id" value="([^"]+)"', page)
        assert found is not None
        browsing.post(f"{URL}/sample", {"pair_id": found[1], "rating": "1"})
        n += 1
    assert n == 4
    session.expire_all()
    own = session.scalars(select(Comparison).where(Comparison.role == AnswerRole.RESEARCHER)).all()
    on_a = sum(one.rating <= 4 for one in own if one.pair_id in {p.id for p in pairs[2:4]})
    found_ = with_researchers(session, project)
    whole = found_.whole[Source.OWN]
    assert (whole.n, whole.n_pairs) == (16, 4)
    assert whole.share == pytest.approx((4 + 4 * on_a) / 16)
    assert found_.whole[Source.GOLD].share == 1.0
    assert found_.whole[Source.GOLD].low is None
    assert found_.whole[Source.DECIDED].n == 0
    assert sum(one.match.n for one in found_.weeks[Source.OWN]) == 16
    overview_page = browsing.get(URL).text
    assert "Researchers and annotators on the same side, by week" in overview_page
    assert "n 16 on 4 pairs" in overview_page
    rows = browsing.get("/api/v1/projects/garden/agreement/researchers.csv").text.splitlines()
    assert rows[0] == "source,week,same_side,low,high,n,n_pairs"
    assert rows[1].startswith("own,")


def test_the_interval_covers_the_truth_where_answers_to_one_pair_go_together() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        n = np.full(60, 3.0)
        truth = rng.beta(7 * 0.5, 3 * 0.5, 60)
        low, high = clustered(n, rng.binomial(3, truth).astype(np.float64))
        assert low is not None
        assert high is not None
        covered += low <= 0.7 <= high
    assert covered / 400 >= 0.92
    assert clustered(np.array([3.0]), np.array([2.0])) == (None, None)
    everyone = clustered(np.full(20, 2.0), np.full(20, 2.0))
    assert everyone[1] == 1.0
    assert 0.8 < (everyone[0] or 0) < 0.9
