"""Prompts, completions and pairs coming in."""

import threading
from itertools import combinations

import pytest
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.collect.incoming import refusal
from app.collect.intake import CompletionIn, Message, PromptIn, add_prompts
from app.collect.pairing import comes_first, couples_of
from app.db import session_scope
from app.tables.collect import Completion, Pair, Prompt
from app.tables.projects import Project
from tests.support import make_project


def prompt(words: str, *completions: str, source: str = "", **values: object) -> PromptIn:
    return PromptIn(
        messages=[Message(role="user", content=words)],
        completions=[CompletionIn(text=one, source=source) for one in completions],
        **values,  # type: ignore[arg-type]
    )


@pytest.fixture
def project(session: Session) -> Project:
    project = make_project(session, overlap=3)
    session.commit()
    return project


def test_four_completions_all_meet_each_other(session: Session, project: Project) -> None:
    intake = add_prompts(session, project, [prompt("Why?", "one", "two", "three", "four")])

    assert (intake.n_prompts, intake.n_new_prompts) == (1, 1)
    assert (intake.n_completions, intake.n_pairs) == (4, 6)
    assert set(session.scalars(select(Pair.overlap))) == {3}


def test_many_completions_meet_in_a_connected_circle_and_about_three_others_each() -> None:
    for n in (5, 6, 9, 64):
        couples = couples_of(n, b"seed")
        degree = [sum(index in couple for couple in couples) for index in range(n)]
        assert set(degree) <= {2, 3}
        assert couples == couples_of(n, b"seed")
        reached = {0}
        for _ in range(n):
            reached |= {i for couple in couples if reached & set(couple) for i in couple}
        assert reached == set(range(n))


def test_markdown_is_rendered_once_and_stored_sanitised(session: Session, project: Project) -> None:
    add_prompts(session, project, [prompt("**Why?**", "<script>x</script>", "*so*")])

    assert session.scalar(select(Prompt.html)) == ['<p dir="auto"><strong>Why?</strong></p>\n']
    assert not [html for html in session.scalars(select(Completion.html)) if "<script" in html]


def test_the_same_lines_twice_change_nothing(session: Session, project: Project) -> None:
    lines = [prompt("Why?", "one", "two", "three"), prompt("How?", "one", "two")]
    add_prompts(session, project, lines)

    again = add_prompts(session, project, reversed(lines))

    assert (again.n_prompts, again.n_new_prompts, again.n_completions, again.n_pairs) == (
        2,
        0,
        0,
        0,
    )


def test_a_known_prompt_gets_the_new_completions(session: Session, project: Project) -> None:
    add_prompts(session, project, [prompt("Why?", "one", "two")])

    more = add_prompts(session, project, [prompt("Why?", "two", "three")])

    assert (more.n_new_prompts, more.n_completions, more.n_pairs) == (0, 1, 1)
    assert session.scalar(select(func.count()).select_from(Prompt)) == 1


def test_a_completion_that_comes_alone_meets_three_that_are_there(
    session: Session, project: Project
) -> None:
    add_prompts(session, project, [prompt("Why?", "one", "two", "three", "four", pairs=[])])

    more = add_prompts(session, project, [prompt("Why?", "five")])

    assert (more.n_completions, more.n_pairs) == (1, 3)


def test_one_text_of_two_sources_is_kept_twice_and_never_compared(
    session: Session, project: Project
) -> None:
    add_prompts(session, project, [prompt("Why?", "one", "two", source="model-x")])

    more = add_prompts(session, project, [prompt("Why?", "one", "three", source="model-y")])

    assert (more.n_completions, more.n_pairs) == (2, 1)
    lone = add_prompts(session, project, [prompt("Why?", "three", source="model-z")])
    texts = {row.id: row.text for row in session.execute(select(Completion.id, Completion.text))}
    assert lone.n_completions == 1
    for pair in session.scalars(select(Pair)):
        assert texts[pair.completion_a_id] != texts[pair.completion_b_id]


def test_given_pairs_are_the_pairs(session: Session, project: Project) -> None:
    line = prompt("Why?", "one", "two", "three", pairs=[(0, 2)], id="pair-7")

    assert add_prompts(session, project, [line]).n_pairs == 1
    assert session.scalar(select(Pair.external_id)) == "pair-7"


def test_the_canonical_order_does_not_betray_who_came_first(
    session: Session, project: Project
) -> None:
    lines = (
        PromptIn(
            messages=[Message(role="user", content=f"Question {n}")],
            completions=[
                CompletionIn(text=f"x {n}", source="model-x"),
                CompletionIn(text=f"y {n}", source="model-y"),
            ],
        )
        for n in range(400)
    )
    add_prompts(session, project, lines)

    n_x_first = session.scalar(
        select(func.count())
        .select_from(Pair)
        .join(Completion, Completion.id == Pair.completion_a_id)
        .where(Completion.source == "model-x")
    )
    assert n_x_first is not None
    assert 150 < n_x_first < 250


def test_two_texts_fall_the_same_way_whoever_is_named_first() -> None:
    for one, other in combinations([bytes([n] * 32) for n in range(12)], 2):
        assert comes_first(b"p", one, other) is not comes_first(b"p", other, one)


def test_two_writers_with_the_same_prompts_in_another_order_do_each_other_no_harm(
    session: Session, project: Project
) -> None:
    lines = [prompt(f"Question {n}", "one", "two") for n in range(300)]
    failures: list[BaseException] = []

    def write(mine: list[PromptIn]) -> None:
        try:
            with session_scope() as own:
                add_prompts(own, own.get_one(Project, project.id), mine)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(one,)) for one in (lines, lines[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    counted = [session.scalar(select(func.count()).select_from(t)) for t in (Prompt, Completion)]
    assert counted == [300, 600]
    assert session.scalar(select(func.count()).select_from(Pair)) == 300


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"completions": [{"text": "  \n\t "}]}, "completions[0].text", "is empty"),
        ({"completions": [{"text": "\u200b"}]}, "completions[0].text", "is empty"),
        ({"completions": [{"text": "a\0b"}]}, "completions[0].text", "NUL character"),
        ({"completions": [{"text": "a\ud83d"}]}, "completions[0].text", "U+D83D"),
        ({"completions": [{"text": "x" * 100_001}]}, "completions[0].text", "100,001 characters"),
        ({"completions": [{"text": "x"}, {"text": "x"}]}, "completions", "same text twice"),
        ({"completions": [{"text": f"{n}"} for n in range(65)]}, "completions", "limit is 64"),
        ({"messages": []}, "prompt", "is empty"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "prompt[0].role", "“tool”"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "prompt", "end with a message"),
        ({"metadata": {"a": ["\0"]}}, "metadata", "NUL character"),
        ({"metadata": {"a": float("nan")}}, "metadata", "JSON"),
        ({"group": "g" * 201}, "group", "limit is 200"),
        ({"pairs": [[0, 0]], "completions": [{"text": "x"}]}, "pairs", "with itself"),
        ({"pairs": [[0, 1]], "completions": [{"text": "x"}]}, "pairs", "names completion 1"),
        ({"pairs": [[0, 1, 2]]}, "pairs[0]", "two completion numbers"),
    ],
)
def test_what_may_not_come_in_is_refused_with_the_field_and_a_reason(
    values: dict[str, object], field: str, words: str
) -> None:
    given = {"messages": [{"role": "user", "content": "Why?"}], **values}

    with pytest.raises(ValidationError) as caught:
        PromptIn.model_validate(given)

    refused = refusal(caught.value, line=7)
    assert (refused.field, refused.line) == (field, 7)
    assert words in refused.message
    assert refused.message.startswith(f"Line 7, “{field}”")
