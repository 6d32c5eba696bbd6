"""A project with many pairs, written straight into the tables: importing is not under test."""

import secrets
import uuid
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.markdown import RENDERER
from app.tables.accounts import LoginSession, Membership, Person, Role, hash_token
from app.tables.base import utc_now
from app.tables.projects import (
    Flag,
    FlagKind,
    FlagScope,
    GuidelineVersion,
    Objective,
    Polarity,
    Project,
)
from benchmarks.crowd import Badge

OVERLAP = 3
GOLD = 20  # one pair in so many
A_PROMPT = 10  # pairs a prompt, all of five completions
WORDS = (
    "<p>Water boils at a lower temperature on a mountain, because there is less air above it to "
    "push back. So an egg needs <strong>longer</strong> there, not less time.</p>"
    "<ul><li>At sea level: 100 °C.</li><li>At 3,000 metres: about 90 °C.</li></ul>"
    "<p>Use a lid, and give it two minutes more for each thousand metres. <code>t = 8 + 2 h</code>"
    " is close enough for a kitchen.</p>"
)

_PROMPTS = """
insert into prompt (project_id, messages, html, renderer, content_hash)
select :project, jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'Question ' || n)),
    jsonb_build_array('<p>Question ' || n || '. ' || :words || '</p>'), :renderer, int4send(n)
from generate_series(1, :n_prompts) n
"""
_COMPLETIONS = """
insert into completion (project_id, prompt_id, text, html, renderer, content_hash)
select :project, p.id, 'Answer ' || n, '<p>Answer ' || n || '</p>' || repeat(:words, 1 + n % 3),
    :renderer, int4send(n)
from prompt p cross join generate_series(1, 5) n where p.project_id = :project
"""
_PAIRS = """
insert into pair (project_id, prompt_id, completion_a_id, completion_b_id, overlap, priority,
    is_gold)
select :project, a.prompt_id, a.id, b.id, :overlap, random(), random() < 1.0 / :gold
from completion a join completion b on b.prompt_id = a.prompt_id and a.content_hash < b.content_hash
where a.project_id = :project
"""
_ANSWERED = """
with took as (
    update pair set n_taken = 1 where id in (
        select id from pair where project_id = :project and n_taken = 0 and not is_gold limit :n
    ) returning id
),
given as (
    insert into assignment (project_id, pair_id, annotator_id, state, draw, draw_probability,
        is_flipped, lease_until, ended_at)
    select :project, id, :annotator, 'done', 'uniform', 1, false, now(), now() from took
    returning id, pair_id
)
insert into comparison (project_id, assignment_id, pair_id, annotator_id, rating, seconds,
    is_flipped, idempotency_key, comment)
select :project, id, pair_id, :annotator, 3, 9, false, 'bulk', '' from given
"""


def make_project(session: Session, n_pairs: int) -> Project:
    """A project with guidelines and three flags, and `n_pairs` pairs; commits."""
    project = Project(
        slug="bench",
        name="Bench",
        objective=Objective.HELPFULNESS,
        overlap=OVERLAP,
        question="Which answer helps more?",
        low_end="A is better",
        high_end="B is better",
        gold_share=1 / GOLD,
    )
    session.add(project)
    session.flush()
    session.add(GuidelineVersion(project_id=project.id, number=1, markdown="Be", html="<p>Be</p>"))
    for key, scope in (
        ("false", FlagScope.COMPLETION),
        ("harmful", FlagScope.COMPLETION),
        ("same", FlagScope.COMPARISON),
    ):
        session.add(
            Flag(
                project_id=project.id,
                key=key,
                label=key,
                scope=scope,
                kind=FlagKind.YES_NO,
                polarity=Polarity.BAD,
            )
        )
    session.flush()
    values = {
        "project": project.id,
        "words": WORDS,
        "renderer": RENDERER,
        "n_prompts": n_pairs // A_PROMPT,
    }
    for statement in (_PROMPTS, _COMPLETIONS, _PAIRS):
        session.execute(text(statement), {**values, "overlap": OVERLAP, "gold": GOLD})
    session.commit()
    settle(session)
    return project


def settle(session: Session) -> None:
    """What autovacuum would have done by the time that people come."""
    engine = session.get_bind().engine
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
        connection.execute(text("checkpoint"))


def add_annotators(session: Session, project: Project, n: int) -> list[Badge]:
    """`n` new people who are signed in; commits."""
    badges = []
    for _ in range(n):
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        person = Person(name=f"a{token[:6]}", email=f"{token[:12].lower()}@example.org")
        session.add(person)
        session.flush()
        session.add(Membership(project_id=project.id, person_id=person.id, role=Role.ANNOTATOR))
        until = utc_now() + timedelta(days=1)
        session.add(
            LoginSession(
                token_hash=hash_token(token),
                person_id=person.id,
                csrf_token=csrf,
                expires_at=until,
            )
        )
        badges.append(Badge(f"session={token}", csrf))
    session.commit()
    return badges


def answer_in_bulk(session: Session, project: Project, annotator: uuid.UUID, n: int) -> None:
    """The annotator has answered `n` pairs, each of which still wants others; commits.

    `settle` afterwards, unless the statistics shall be from before.
    """
    values = {"project": project.id, "annotator": annotator, "n": n}
    session.execute(text(_ANSWERED), values)
    session.commit()
