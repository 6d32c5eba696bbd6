"""Write to one or many; answer who wrote."""

import uuid
from collections.abc import Collection

from sqlalchemy.orm import Session

from app.collect.leases import check_text
from app.collect.messages.queries import has_written, reachable
from app.errors import Forbidden, Invalid, NotFound
from app.markdown import render_markdown
from app.tables.accounts import Person
from app.tables.collect import Comparison
from app.tables.home import Message
from app.tables.projects import Project

LONGEST = 10_000
MOST_RECIPIENTS = 2_000


def send(
    session: Session,
    project: Project,
    *,
    sender: Person,
    is_staff: bool,
    to: Collection[uuid.UUID],
    body: str,
    comparison_id: uuid.UUID | None = None,
) -> list[Message]:
    """One message a recipient, in Markdown, about one answer or none; flushes.

    Staff write to any member; others to who wrote to them in this project. Raises Invalid,
    NotFound for a recipient who is not there, and Forbidden.
    """
    body = body.replace("\r\n", "\n").strip()
    if not body:
        raise Invalid("Write the message first.", field="body")
    check_text(body, LONGEST, "body")
    people = _recipients(session, project, sender, to)
    if not is_staff:
        for person in people:
            if not has_written(session, project.id, person.id, sender.id):
                raise Forbidden(f"You can answer {person.name} once they have written to you here.")
    if comparison_id is not None:
        _check_about(session, project, comparison_id, {sender.id, *(one.id for one in people)})
        if len(people) > 1:
            raise Invalid("A message about one answer goes to one person.", field="to")
    html = render_markdown(body)
    messages = [
        Message(
            project_id=project.id,
            sender_id=sender.id,
            recipient_id=person.id,
            comparison_id=comparison_id,
            body=body,
            html=html,
        )
        for person in people
    ]
    session.add_all(messages)
    session.flush()
    return messages


def _recipients(
    session: Session, project: Project, sender: Person, to: Collection[uuid.UUID]
) -> list[Person]:
    wanted = set(to) - {sender.id}
    if not wanted:
        raise Invalid("Choose who gets the message.", field="to")
    if len(wanted) > MOST_RECIPIENTS:
        raise Invalid(f"Choose at most {MOST_RECIPIENTS:,} people.", field="to")
    people = list(reachable(session, project.id, wanted))
    if len(people) < len(wanted):
        raise NotFound("Someone of these is not in the project any more, or cannot read messages.")
    return people


def _check_about(
    session: Session, project: Project, comparison_id: uuid.UUID, people: set[uuid.UUID]
) -> None:
    """An answer is spoken of with its author alone: nobody else learns whose it is."""
    found = session.get(Comparison, comparison_id)
    if found is None or found.project_id != project.id or found.annotator_id not in people:
        raise NotFound("This person has given no such answer. Write without it, or choose another.")
