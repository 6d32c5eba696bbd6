"""Taking a qualification test: a training round that explains each miss, then the test itself.

An item is right where the rating is within the accepted range and every fixed flag is answered as
it was fixed. Whoever passes holds the qualification at once.
"""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts.audit import record_own
from app.agree.gold import fixed_flags
from app.collect.flagging import FlagIn, check_some_flags
from app.collect.leases import must_read
from app.collect.pairing import is_rating
from app.collect.standing import one_at_a_time
from app.collect.standing import standing as standing_in
from app.errors import Conflict, Invalid, NotFound
from app.projects.asking import asking_of
from app.tables.accounts import Person
from app.tables.base import utc_now
from app.tables.gold import (
    GoldItem,
    QualificationTest,
    Round,
    TestAnswer,
    TestAttempt,
    TestItem,
)
from app.tables.projects import Project
from app.tables.qualifications import Qualification, QualificationGrant


@dataclass(frozen=True)
class Standing:
    """How a person stands with a test. `opens_at` is when the next try may begin, if not now."""

    attempts: Sequence[TestAttempt]
    is_held: bool
    tries_left: int | None
    opens_at: datetime | None

    @property
    def under_way(self) -> TestAttempt | None:
        return next((one for one in self.attempts if one.ended_at is None), None)

    @property
    def may_start(self) -> bool:
        is_out = self.tries_left == 0 or self.opens_at is not None
        return not (self.is_held or is_out or self.under_way)


def find_test(
    session: Session, project: Project, test_id: uuid.UUID
) -> tuple[QualificationTest, Qualification]:
    """Raises NotFound."""
    found = session.execute(
        select(QualificationTest, Qualification)
        .join(Qualification, Qualification.id == QualificationTest.qualification_id)
        .where(QualificationTest.id == test_id, Qualification.project_id == project.id)
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such test in this project.")
    return found[0], found[1]


def standing_of(session: Session, test: QualificationTest, person: Person) -> Standing:
    attempts = session.scalars(
        select(TestAttempt)
        .where(TestAttempt.test_id == test.id, TestAttempt.person_id == person.id)
        .order_by(TestAttempt.number.desc())
    ).all()
    left = None if test.most_tries is None else max(0, test.most_tries - len(attempts))
    last = attempts[0].ended_at if attempts else None
    opens = last + timedelta(hours=test.wait_hours) if last else None
    return Standing(
        attempts,
        is_held(session, test.qualification_id, person),
        left,
        opens if opens and opens > utc_now() else None,
    )


def is_held(session: Session, qualification_id: uuid.UUID, person: Person) -> bool:
    found = select(QualificationGrant.id).where(
        QualificationGrant.qualification_id == qualification_id,
        QualificationGrant.person_id == person.id,
        QualificationGrant.revoked_at.is_(None),
    )
    return session.scalar(found) is not None


def start(session: Session, project: Project, test_id: uuid.UUID, person: Person) -> TestAttempt:
    """Begin a try, or go on with the one under way. Raises NotFound, Conflict with the reason."""
    one_at_a_time(session, person.id)
    test, _ = find_test(session, project, test_id)
    standing = standing_of(session, test, person)
    if standing.under_way is not None:
        return standing.under_way
    _check_steps_before(session, project, person)
    if standing.is_held:
        raise Conflict("You hold this qualification already.")
    if not test.is_open:
        raise Conflict("This test is closed for now. Ask an admin of the project.")
    if standing.tries_left == 0:
        raise Conflict("You have used all your tries. Ask an admin of the project.")
    if standing.opens_at is not None:
        raise Conflict(f"Your next try opens on {standing.opens_at:%-d %B %Y, %H:%M} UTC.")
    attempt = TestAttempt(
        test_id=test.id,
        person_id=person.id,
        number=len(standing.attempts) + 1,
        pass_share=test.pass_share,
    )
    session.add(attempt)
    session.flush()
    _draw(session, test, attempt)
    return attempt


def _check_steps_before(session: Session, project: Project, person: Person) -> None:
    """Raise Conflict where consent or the guidelines come first in this project."""
    mine = standing_in(session, project, person.id)
    if mine.hindrance is not None and mine.hindrance.is_consent:
        raise Conflict("Read what this project asks you to agree to first, then take the test.")
    if must_read(project, mine):
        raise Conflict("Read the guidelines and confirm it first: the test goes by them.")


def _draw(session: Session, test: QualificationTest, attempt: TestAttempt) -> None:
    """Training items not yet met, then test items, those that this person met least first."""
    met = (
        select(func.count())
        .select_from(TestAnswer)
        .join(TestAttempt, TestAttempt.id == TestAnswer.attempt_id)
        .where(
            TestAttempt.person_id == attempt.person_id,
            TestAnswer.gold_item_id == TestItem.gold_item_id,
            TestAnswer.rating.is_not(None),
        )
        .scalar_subquery()
    )
    rows = session.execute(
        select(TestItem.gold_item_id, TestItem.round, met.label("met"))
        .join(GoldItem, GoldItem.id == TestItem.gold_item_id)
        .where(TestItem.test_id == test.id, GoldItem.retired_at.is_(None))
        .order_by(met, func.random())
    ).all()
    training = [row.gold_item_id for row in rows if row.round is Round.TRAINING and not row.met]
    asked = [row.gold_item_id for row in rows if row.round is Round.TEST][: test.n_asked]
    if not asked:
        raise Conflict("This test has no items left. Ask an admin of the project.")
    attempt.n_asked = len(asked)
    chance = random.SystemRandom()
    pairs = [(one, Round.TRAINING) for one in training] + [(one, Round.TEST) for one in asked]
    session.add_all(
        TestAnswer(
            attempt_id=attempt.id,
            gold_item_id=item,
            round=round_,
            position=position,
            is_flipped=chance.random() < 0.5,
        )
        for position, (item, round_) in enumerate(pairs)
    )
    session.flush()


def answers_of(session: Session, attempt: TestAttempt) -> Sequence[TestAnswer]:
    return session.scalars(
        select(TestAnswer).where(TestAnswer.attempt_id == attempt.id).order_by(TestAnswer.position)
    ).all()


def next_item(session: Session, attempt: TestAttempt) -> TestAnswer | None:
    """What is asked next in this try; None when all is answered."""
    return next((one for one in answers_of(session, attempt) if one.rating is None), None)


def own_item(session: Session, person: Person, answer_id: uuid.UUID) -> TestAnswer:
    """An item of one's own try. Raises NotFound."""
    found = session.scalar(
        select(TestAnswer)
        .join(TestAttempt, TestAttempt.id == TestAnswer.attempt_id)
        .where(TestAnswer.id == answer_id, TestAttempt.person_id == person.id)
    )
    if found is None:
        raise NotFound("There is no such item in a test of yours.")
    return found


def answer_item(
    session: Session,
    project: Project,
    person: Person,
    answer_id: uuid.UUID,
    *,
    rating: int,
    flags: Sequence[FlagIn],
) -> TestAnswer:
    """Answer the item that is asked, canonically; the last one ends the try.

    Sent again, what was said first stands. Raises NotFound, Invalid.
    """
    one_at_a_time(session, person.id)
    asked = own_item(session, person, answer_id)
    if asked.rating is not None:
        return asked
    if not is_rating(rating):
        raise Invalid("Choose one of the eight cells: a rating from 1 to 8.", field="rating")
    given = check_some_flags(asking_of(session, project.id).every_flag, flags)
    item = session.get_one(GoldItem, asked.gold_item_id)
    fixed = fixed_flags(session, item)
    asked.n_flags = len(fixed)
    asked.n_flags_right = sum(key in given and given[key] == fixed[key] for key in fixed)
    asked.rating = rating
    asked.is_right = item.low <= rating <= item.high and asked.n_flags_right == asked.n_flags
    asked.answered_at = utc_now()
    session.flush()
    attempt = session.get_one(TestAttempt, asked.attempt_id)
    if next_item(session, attempt) is None:
        _end(session, project, attempt, person)
    return asked


def _end(session: Session, project: Project, attempt: TestAttempt, person: Person) -> None:
    tested = [one for one in answers_of(session, attempt) if one.round is Round.TEST]
    attempt.n_right = sum(bool(one.is_right) for one in tested)
    # Shares such as 0.8 are not exact, and nobody fails for it.
    attempt.is_passed = attempt.n_right >= attempt.pass_share * len(tested) - 1e-9
    attempt.ended_at = utc_now()
    session.flush()
    test = session.get_one(QualificationTest, attempt.test_id)
    qualification = session.get_one(Qualification, test.qualification_id)
    detail = {
        "qualification": qualification.name,
        "try": attempt.number,
        "right": f"{attempt.n_right} of {attempt.n_asked}",
    }
    what = "test.passed" if attempt.is_passed else "test.failed"
    record_own(session, what, project.id, person, **detail)
    if attempt.is_passed and not is_held(session, qualification.id, person):
        session.add(
            QualificationGrant(
                qualification_id=qualification.id, person_id=person.id, attempt_id=attempt.id
            )
        )
        session.flush()
        record_own(session, "qualification.granted", project.id, person, **detail)
