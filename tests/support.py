"""People, projects and signed-in clients for tests, made through the tables themselves."""

import secrets
from datetime import timedelta
from typing import Any

import httpx
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.projects.skipping import add_default_reasons
from app.tables.accounts import LoginSession, Membership, Person, Role, hash_token
from app.tables.base import utc_now
from app.tables.projects import Objective, Project
from app.web.login import cookie_name


def make_person(session: Session, name: str = "alice", *, is_owner: bool = False) -> Person:
    person = Person(name=name, email=f"{name}@example.org", is_owner=is_owner)
    session.add(person)
    session.flush()
    return person


def make_project(session: Session, slug: str = "garden", **values: Any) -> Project:
    project = Project(
        **{
            "slug": slug,
            "name": slug.capitalize(),
            "objective": Objective.HELPFULNESS,
            "question": "Which answer helps more?",
            "low_end": "A is better",
            "high_end": "B is better",
            **values,
        }
    )
    session.add(project)
    session.flush()
    add_default_reasons(session, project.id)
    return project


def join(session: Session, project: Project, person: Person, *roles: Role) -> None:
    for role in roles:
        session.add(Membership(project_id=project.id, person_id=person.id, role=role))
    session.flush()


def log_in(session: Session, person: Person) -> tuple[str, str]:
    """A login session made directly. Returns the cookie's token and the CSRF token; commits."""
    token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
    session.add(
        LoginSession(
            token_hash=hash_token(token),
            person_id=person.id,
            csrf_token=csrf,
            expires_at=utc_now() + timedelta(hours=1),
        )
    )
    session.commit()
    return token, csrf


class Browsing:
    """One signed-in browser: keeps the CSRF token and sends it with every form."""

    def __init__(self, client: TestClient, session: Session) -> None:
        self.client = client
        self.session = session
        self.csrf_token = ""

    def sign_in(self, person: Person) -> "Browsing":
        token, self.csrf_token = log_in(self.session, person)
        self.client.cookies.clear()
        self.client.cookies.set(cookie_name(), token)
        return self

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self.client.get(url, **options)

    def post(self, url: str, data: dict[str, Any] | None = None, **options: Any) -> httpx.Response:
        return self.client.post(
            url, data={"csrf_token": self.csrf_token, **(data or {})}, **options
        )
