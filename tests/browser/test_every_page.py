"""Every page there is, empty and full: a clean console, nothing for axe-core, nothing sideways."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi.routing import APIRoute
from playwright.sync_api import Browser
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.routing import BaseRoute

from app.accounts.consent import add_text, give_consent, say
from app.accounts.consent import set_rules as set_consent_rules
from app.accounts.groups import add_group, set_groups
from app.accounts.links import make_invitation
from app.accounts.qualifications import add_qualification, set_required
from app.agree.gold import GoldIn, fix_answer
from app.agree.qualifying import answer_item, next_item, start
from app.agree.testing import Rules, place_item, set_rules
from app.agree.withdrawal import Withdrawal, withdraw
from app.collect.intake import CompletionIn, Message, PromptIn, add_prompts
from app.collect.kinds.changing import Said, change
from app.collect.kinds.leases import Finished, next_prompt
from app.collect.kinds.service import record_ranking
from app.collect.messages.service import send
from app.collect.service import Nothing, next_assignment, record_comparison
from app.datasets.service import freeze, run_import
from app.main import create_app
from app.projects.flags import FlagValues, add_flag
from app.projects.service import add_guideline_version
from app.tables.accounts import Person, Role
from app.tables.collect import Comparison, Pair, Prompt
from app.tables.consent import Question
from app.tables.gold import Round
from app.tables.kinds import PromptKind
from app.tables.projects import FlagScope, Project
from tests.browser.conftest import Live
from tests.browser.walk import Walk, walking
from tests.loop.worlds import add_metrics, add_policy, add_reward, sample_lines, write_artefact
from tests.reward.test_studies import add_studies
from tests.support import join, log_in, make_person, make_project

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EMPTY = (
    *("/", "/history", "/messages", "/account", "/consents", "/people", "/audit", "/projects/new"),
    *(
        "people",
        "people/consent",
        "people/groups",
        "people/onboarding",
        "begin",
        "collect/leave",
        "agree/groups",
        "audit",
        "settings",
        "guidelines",
        "guidelines/since",
        "guidelines/edit",
        "flags",
        "flags/new",
    ),
    *("skip-reasons", "skipped", "guidelines/since", "messages/new"),
    *("collect/kinds", "collect/kinds/rank", "collect/kinds/rate", "collect/kinds/demonstrate"),
    "collect/talk",
    *(
        "queue",
        "agree",
        "agree/flags",
        "agree/two",
        "agree/workforce",
        "agree/mine",
        "agree/verdicts",
        "agree/gold",
        "agree/gold/choose",
        "agree/adjudicate",
        "agree/tests",
        "agree/qualify",
        "agree/sample",
        "agree/cost",
    ),
    *(
        "collect",
        "collect/history",
        "loop",
        "reward",
        "reward/ask",
        "policy",
        "studies",
        "datasets",
        "datasets/prompts",
    ),
)
KINDS = {
    "is_ranking_on": True,
    "is_rating_on": True,
    "is_demonstration_on": True,
    "is_rewrite_on": True,
    "is_talk_on": True,
}
# Answers that are no pages: a redirect, a file, a word.
NOT_PAGES = {
    "/healthz",
    "/pace.csv",
    "/projects/{slug}",
    "/projects/{slug}/collect/last",
    "/projects/{slug}/collect/pairs/{assignment_id}",
    "/projects/{slug}/collect/kinds/{kind}/last",
    "/projects/{slug}/collect/kinds/{kind}/pairs/{assignment_id}",
    "/projects/{slug}/reward/{run_id}/files/{name}",
    "/projects/{slug}/studies/{study_id}/numbers.csv",
    "/projects/{slug}/policy/{run_id}/files/{name}",
    "/projects/{slug}/datasets/sets/{set_id}/export.jsonl",
    "/projects/{slug}/people/consent/people.csv",
    "/projects/{slug}/people/onboarding.csv",
    "/projects/{slug}/datasets/sets/{set_id}/annotators.csv",
    "/projects/{slug}/datasets/feedback/{what}.jsonl",
}
HOSTILE = (
    "# Title\n\n<script>alert(1)</script> **bold** `code`\n\n"
    "```python\ndef f(x):\n    return x\n```\n\n"
    "| a | b |\n| - | -: |\n| 1 | 2 |\n\nשלום עולם \u202eoot\u202c "
) + "averylongword" * 40


@pytest.fixture
def owner(session: Session) -> Person:
    return make_person(session, "olive", is_owner=True)


@pytest.fixture
def walk(chromium: Browser, live: Live, session: Session, owner: Person) -> Iterator[Walk]:
    token, _ = log_in(session, owner)
    with walking(chromium, live.url, token) as walk:
        yield walk


def at(path: str) -> str:
    return path if path.startswith("/") else f"/projects/garden/{path}"


def look(walk: Walk, path: str) -> None:
    """Visit a page and judge it in both colour schemes."""
    response = walk.page.goto(walk.address + at(path))
    assert response is not None
    assert response.status == 200, path
    for scheme in ("light", "dark"):
        walk.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = [
            problem
            for problem in walk.problems()
            # A model's Markdown may begin at any level of heading, and is shown as it was written.
            if not (problem.startswith("heading-order") and "dir=" in problem)
        ]
        assert found == [], f"{path} ({scheme})"


def test_every_page_is_sound_while_there_is_nothing(walk: Walk, session: Session) -> None:
    look(walk, "/")
    make_project(session, **KINDS)
    session.commit()
    for path in EMPTY:
        look(walk, path)


def test_every_page_is_sound_when_it_is_full(
    walk: Walk, session: Session, owner: Person, live: Live, chromium: Browser
) -> None:
    project = make_project(session, is_loop_automatic=False, **KINDS)
    paths = fill(session, project, owner)
    for path in [*EMPTY, *paths]:
        look(walk, path)
    with walking(chromium, live.url) as stranger:
        guest = make_person(session, "gus")
        link = make_invitation(session, guest, by=owner.id)
        session.commit()
        for path in ("/sign-in", link):
            look(stranger, path)
    seen = {*map(at, [*EMPTY, *paths]), "/sign-in", link}
    missing = [path for path in pages() if not any(matches(path, one) for one in seen)]
    assert missing == [], "a page that no browser has looked at"


def fill(session: Session, project: Project, owner: Person) -> list[str]:
    """Work by people, a frozen set and two runs. Returns the pages that come into being."""
    join(session, project, owner, *Role)
    for number in (1, 2):
        add_guideline_version(
            session, project, markdown=f"{HOSTILE}\n\nVersion {number}.", created_by=owner.id
        )
    flag = add_flag(session, project, FlagValues("Rude", FlagScope.COMPLETION), by=owner.id)
    session.commit()
    lines = "".join(line(k) + "\n" for k in range(8)).encode()
    done = run_import(project.id, io.BytesIO(lines), "eight.jsonl", len(lines), owner.id)
    bad = run_import(project.id, io.BytesIO(b"oops\n"), "bad.jsonl", 5, owner.id)
    comparison_id = answer(session, project, owner)
    frozen = freeze(session, project, owner.id)
    reward = add_reward(session, project, 2)
    first = add_policy(session, project, 1, reward=None)
    policy = add_policy(session, project, 2, reward=reward, parent_id=first.id)
    policy.alarms = ["The policy is 21.3 nats from the reference."]
    for run in (reward, policy):
        add_metrics(session, run)
    studied = add_studies(session, reward)
    write_artefact(policy, {"evaluation_samples.jsonl": sample_lines({0: HOSTILE, 40: "b " * 90})})
    prompt_id = session.scalars(select(Prompt.id)).first()
    amy = make_person(session, "amy")
    join(session, project, amy, Role.ANNOTATOR)
    send(session, project, sender=owner, is_staff=True, to=[amy.id], body=HOSTILE)
    pair_id = session.scalars(select(Comparison.pair_id)).first()
    experts = add_group(session, project, "Experts", by=owner.id)
    set_groups(session, project, owner, [experts.id], by=owner.id)
    session.commit()
    return [
        *("guidelines/1", "guidelines/2/changes", f"flags/{flag.id}"),
        *(f"messages/{amy.id}", f"messages/new?to={amy.id}"),
        *(f"people?group={experts.id}", f"agree?group={experts.id}"),
        *(f"agree/workforce/{owner.id}", f"agree/verdicts/{pair_id}", f"agree/gold/{pair_id}"),
        f"agree/adjudicate/{pair_id}",
        *begin_test(session, project, owner),
        *ask_for_consent(session, project, owner, amy),
        *rank(session, project, owner),
        *(f"collect/answers/{comparison_id}", f"datasets/imports/{done.id}"),
        *(f"datasets/imports/{bad.id}", f"datasets/sets/{frozen.id}"),
        *(f"datasets/prompts/{prompt_id}", f"reward/{reward.id}", f"policy/{policy.id}"),
        *(f"studies/{one.id}" for one in studied),
    ]


def ask_for_consent(session: Session, project: Project, owner: Person, amy: Person) -> list[str]:
    """A text that the owner agreed to and said something after, and Amy withdrew; its pages."""
    add_text(session, project, HOSTILE, is_asked_again=False, by=owner.id)
    set_consent_rules(
        session,
        project,
        is_required=False,
        is_leaving_out_allowed=True,
        questions=list(Question),
        by=owner.id,
    )
    give_consent(session, project, owner, 1)
    say(session, project, owner, {Question.LANGUAGES: ["de"]})
    withdraw(session, project, amy, Withdrawal.ANSWERS)
    session.commit()
    return ["/consents/garden", "/consents/garden/withdraw"]


def begin_test(session: Session, project: Project, owner: Person) -> list[str]:
    """A test that the owner has begun; its pages."""
    qualification = add_qualification(session, project, "Reading", by=owner.id)
    set_required(session, project, qualification.id, is_required=False, by=owner.id)
    rules = Rules(0.8, 3, 24, 1, is_open=False)
    test = set_rules(session, project, qualification.id, rules, by=owner.id)
    free = select(Pair.id).where(Pair.project_id == project.id, Pair.n_taken == 0).limit(2)
    for pair_id, round_ in zip(session.scalars(free).all(), Round, strict=True):
        fix_answer(session, project, pair_id, GoldIn((1, 2), "By **rule 2**."), by=owner.id)
        place_item(session, project, qualification.id, pair_id, round_=round_, by=owner.id)
    set_rules(session, project, qualification.id, replace(rules, is_open=True), by=owner.id)
    asked = next_item(session, start(session, project, test.id, owner))
    assert asked is not None
    answer_item(session, project, owner, asked.id, rating=8, flags=())
    session.commit()
    own = f"agree/qualify/{test.id}"
    return [f"agree/tests/{qualification.id}", own, f"{own}/answers/{asked.id}"]


def rank(session: Session, project: Project, owner: Person) -> list[str]:
    """A ranking that was changed; the page of the answer."""
    texts = [HOSTILE, "Second.", "Third."]
    message = Message(role="user", content="Which is best?")
    answers = [CompletionIn(text=one) for one in texts]
    add_prompts(session, project, [PromptIn(messages=[message], completions=answers, pairs=[])])
    found = next_prompt(session, project, owner.id, PromptKind.RANK)
    assert not isinstance(found, Nothing)
    record_ranking(session, found, dict.fromkeys(found.shown, 1), Finished(5.0))
    ranks = {one: place for place, one in enumerate(found.shown, 1)}
    change(session, project, found, Said(ranks, comment="No tie."))
    session.commit()
    return [f"collect/kinds/rank/answers/{found.id}"]


def line(k: int) -> str:
    return json.dumps({"prompt": f"Question {k}?", "completions": [HOSTILE, f"Answer {k}."]})


def answer(session: Session, project: Project, owner: Person) -> str:
    """Three answers of one person; the last one's id."""
    for number in range(3):
        assignment = next_assignment(session, project, owner.id)
        assert not isinstance(assignment, Nothing)
        comparison = record_comparison(
            session,
            assignment_id=assignment.id,
            annotator_id=owner.id,
            rating=2 + number,
            seconds=4.0,
            idempotency_key=f"key {number}",
            comment="Clearer, and <b>right</b>.",
        )
        session.commit()
    return str(comparison.id)


def pages() -> set[str]:
    """The path of every page that the application serves."""
    found: set[str] = set()
    waiting: list[BaseRoute] = list(create_app().routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute) and "GET" in route.methods:
            found.add(route.path)
        router = getattr(route, "original_router", route)
        waiting += [one for one in getattr(router, "routes", None) or () if one is not route]
    return {one for one in found if not one.startswith("/api/")} - NOT_PAGES


def matches(pattern: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", pattern), path.partition("?")[0]) is not None
