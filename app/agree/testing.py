"""Making qualification tests: their rules, their items, and the record of who took them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from app.accounts.audit import record_event
from app.agree.gold import named_gold, open_if_free
from app.errors import Conflict, Invalid, NotFound
from app.tables.accounts import Person
from app.tables.gold import GoldItem, QualificationTest, Round, TestAttempt, TestItem
from app.tables.projects import Project
from app.tables.qualifications import Qualification


@dataclass(frozen=True)
class Rules:
    """`most_tries` None is no limit; `pass_share` from 0 to 1."""

    pass_share: float
    most_tries: int | None
    wait_hours: int
    n_asked: int
    is_open: bool


def tests_of(session: Session, project: Project) -> Sequence[Row[Qualification, QualificationTest]]:
    """Every qualification of the project with its test, if it has one, by name."""
    return session.execute(
        select(Qualification, QualificationTest)
        .outerjoin(QualificationTest, QualificationTest.qualification_id == Qualification.id)
        .where(Qualification.project_id == project.id)
        .order_by(func.lower(Qualification.name))
    ).all()


def find_qualification(
    session: Session, project: Project, id_: uuid.UUID
) -> tuple[Qualification, QualificationTest | None]:
    """Raises NotFound."""
    qualification = session.get(Qualification, id_)
    if qualification is None or qualification.project_id != project.id:
        raise NotFound("This project has no such qualification.")
    test = session.scalar(
        select(QualificationTest).where(QualificationTest.qualification_id == id_)
    )
    return qualification, test


def set_rules(
    session: Session, project: Project, id_: uuid.UUID, rules: Rules, *, by: uuid.UUID
) -> QualificationTest:
    """Make the qualification's test or change its rules; tries that began keep their pass mark.

    Raises NotFound, Invalid, or Conflict where it is to open with too few items.
    """
    qualification, test = find_qualification(session, project, id_)
    _check(rules)
    if rules.is_open:
        n = n_items(session, test, Round.TEST) if test else 0
        if n < rules.n_asked:
            raise Conflict(
                f"The test has {n} items and asks {rules.n_asked}. Add items first, then open it."
            )
    if test is None:
        test = QualificationTest(qualification_id=qualification.id, created_by=by)
        session.add(test)
    for name, value in rules.__dict__.items():
        setattr(test, name, value)
    session.flush()
    if rules.most_tries is None:
        # The column has a default, which an insert takes for None.
        test.most_tries = None
        session.flush()
    _note(session, "test.rules", project, qualification, by, dict(rules.__dict__))
    return test


def _check(rules: Rules) -> None:
    if not 0 < rules.pass_share <= 1:
        raise Invalid("The pass mark is a share from 1 to 100.", field="pass_share")
    if rules.most_tries is not None and not 1 <= rules.most_tries <= 100:
        raise Invalid("Allow 1 to 100 tries, or leave it empty for any number.", field="most_tries")
    if not 0 <= rules.wait_hours <= 8760:
        raise Invalid("Wait 0 to 8,760 hours.", field="wait_hours")
    if not 1 <= rules.n_asked <= 1000:
        raise Invalid("Ask 1 to 1,000 items.", field="n_asked")


def n_items(session: Session, test: QualificationTest, round_: Round) -> int:
    """Items of a round that are not retired."""
    found = (
        select(func.count())
        .select_from(TestItem)
        .join(GoldItem, GoldItem.id == TestItem.gold_item_id)
        .where(TestItem.test_id == test.id, TestItem.round == round_, GoldItem.retired_at.is_(None))
    )
    return session.scalar(found) or 0


def place_item(
    session: Session,
    project: Project,
    id_: uuid.UUID,
    pair_id: uuid.UUID,
    *,
    round_: Round | None,
    by: uuid.UUID,
) -> None:
    """Put a gold item into a round of the test, or out of it; out, the queue may draw it.

    Raises NotFound, or Conflict where the item is in another test, or too few would be left.
    """
    qualification, test = find_qualification(session, project, id_)
    if test is None:
        raise Conflict("Save the rules of the test first.")
    item = named_gold(session, project, pair_id)
    placed = session.get(TestItem, item.id)
    if placed is not None and placed.test_id != test.id:
        raise Conflict("This item is in another test.")
    if placed is not None:
        session.delete(placed)
        session.flush()
    if round_ is not None:
        session.add(TestItem(gold_item_id=item.id, test_id=test.id, round=round_))
        session.flush()
    if test.is_open and n_items(session, test, Round.TEST) < test.n_asked:
        raise Conflict("The test is open and would have too few items. Close it first.")
    open_if_free(session, item)
    detail = {"pair": str(pair_id), "round": round_.value if round_ else "none"}
    _note(session, "test.item", project, qualification, by, detail)


def record_of(session: Session, test: QualificationTest) -> Sequence[Row[TestAttempt, str]]:
    """Every try with the person's name, the newest first."""
    return session.execute(
        select(TestAttempt, Person.name)
        .join(Person, Person.id == TestAttempt.person_id)
        .where(TestAttempt.test_id == test.id)
        .order_by(TestAttempt.created_at.desc())
        .limit(500)
    ).all()


def _note(  # noqa: PLR0917 (what an event is made of)
    session: Session,
    what: str,
    project: Project,
    qualification: Qualification,
    by: uuid.UUID,
    detail: dict[str, Any],
) -> None:
    record_event(
        session,
        what,
        actor_id=by,
        project_id=project.id,
        subject=qualification.name,
        detail=detail,
    )
