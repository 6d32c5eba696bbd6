"""The pages of a conversation: a turn without a script, what they say and what they keep."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.talk.queries import desk_of
from app.tables.collect import Comparison, Completion
from app.tables.projects import Objective
from app.tables.runs import PolicyRun
from app.tables.talk import Turn
from tests.collect.talking import URL, answer, choose, say, world
from tests.collect.worlds import make_flag
from tests.support import Browsing


def test_the_start_page_says_what_a_conversation_waits_for(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = world(session, "alice")
    browsing.sign_in(alice)
    pages = ("/", "/projects/garden/collect/kinds")

    def says(*words: str) -> bool:
        return all(one in browsing.get(page).text for one, page in zip(words, pages, strict=True))

    assert says("a model to talk with", "as long as you like")
    turn = say(session, project, alice, "Hello?")
    assert says("the model is writing to you", "the model is writing to you")
    answer(session, turn)
    assert says("two answers wait for your choice", "two answers wait for your choice")
    choose(session, turn, alice)
    assert says("it is your turn", "it is your turn")
    assert "1 done by you" in browsing.get("/").text


def test_a_whole_turn_without_a_script(session: Session, browsing: Browsing) -> None:
    project, (alice,) = world(session, "alice")
    flag = make_flag(session, project, "Rude")
    browsing.sign_in(alice)
    page = browsing.get(URL)
    assert "Ask the model for help" in page.text
    sent = browsing.post(f"{URL}/messages", {"words": "My <b>basil</b>.", "position": "1"})
    assert (sent.status_code, sent.headers["location"]) == (303, URL)
    page = browsing.get(URL)
    assert 'http-equiv="refresh"' in page.text
    assert "No worker is running" in page.text
    turn = session.scalars(select(Turn)).one()
    answer(session, turn)
    page = browsing.get(URL)
    assert "<strong>less</strong>" in page.text
    assert "<b>basil</b>" not in page.text
    session.refresh(turn)
    chosen = browsing.post(
        f"{URL}/choices",
        {
            "turn_id": str(turn.id), "rating": "2", "seconds": "3", "times": "",
            f"flag.{flag.id}.left": "1", "is_about_equal": "true",
        },
    )  # fmt: skip
    assert chosen.status_code == 303
    comparison = session.scalars(select(Comparison)).one()
    assert comparison.is_about_equal
    assert comparison.seconds <= 3
    assert (comparison.rating <= 4) != turn.is_flipped
    assert 'name="words"' in browsing.get(URL).text
    browsing.post(f"{URL}/endings", {"conversation_id": str(turn.conversation_id)})
    assert "You ended a conversation" in browsing.get(URL).text


def test_the_page_never_says_which_policy_wrote(session: Session, browsing: Browsing) -> None:
    project, (alice,) = world(session, "alice")
    turn = answer(session, say(session, project, alice, "Hello."))
    run = session.scalars(select(PolicyRun)).one()
    page = browsing.sign_in(alice).get(URL).text
    secrets = [
        str(run.id),
        "temperature",
        *(str(id_) for id_ in session.scalars(select(Completion.id))),
    ]
    assert [one for one in secrets if one in page] == []
    choose(session, turn, alice)


def test_a_page_that_waits_gets_what_is_new_and_nothing_else(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = world(session, "alice")
    turn = say(session, project, alice, "Hello.")
    mark = desk_of(session, project.id, alice.id).mark
    browsing.sign_in(alice)
    polled = {"headers": {"HX-Request": "true"}, "params": {"mark": mark}}
    assert browsing.get(URL, **polled).status_code == 204
    answer(session, turn)
    assert "Go on with it" in browsing.get(URL, **polled).text


def test_a_safety_project_asks_to_be_attacked(session: Session, browsing: Browsing) -> None:
    _, (alice,) = world(session, "alice", objective=Objective.SAFETY)
    page = browsing.sign_in(alice).get(URL).text
    assert "harmful answer" in page
    assert "<em>safer</em>" in page


def test_a_project_without_conversations_or_a_policy_says_so(
    session: Session, browsing: Browsing
) -> None:
    project, (alice,) = world(session, "alice")
    session.execute(PolicyRun.__table__.delete())
    session.commit()
    browsing.sign_in(alice)
    assert "No model to talk with yet" in browsing.get(URL).text
    assert "no model yet" in browsing.get("/projects/garden/collect/kinds").text
    project.is_talk_on = False
    session.commit()
    assert browsing.get(URL).status_code == 404
