"""The pair after the one on the page, leased ahead so that it shows at the press of a key.

A second, shorter lease that counts against the overlap like the first:
docs/decisions/0018-the-next-pair-is-leased-ahead.md.
"""

import random
import uuid
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.collect.eligibility import has_limit, takes_but_one
from app.collect.leases import CHANCE, end, hand_out, must_read, refusal
from app.collect.queries import Lease, take_back
from app.collect.slots import AHEAD, renew
from app.collect.standing import Standing, one_at_a_time, standing
from app.tables.collect import Assignment, AssignmentState
from app.tables.projects import Project


def lease_ahead(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    *,
    page: uuid.UUID,
    rng: random.Random | None = None,
) -> Lease | None:
    """The pair after `page`, an assignment: the one leased ahead already, renewed, or a new one.

    None where `page` is not on this annotator's page any more, or nothing more is for them now.
    """
    if takes_but_one(project):
        return None
    one_at_a_time(session, annotator_id)
    mine = standing(session, project, annotator_id, n_open=1)
    held = renew(session, project, annotator_id) if mine.has_live else None
    if held is None or held.id != page:
        return None
    return _ahead(session, project, annotator_id, mine, rng or CHANCE)


def lease_after(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    mine: Standing,
    *,
    rng: random.Random | None = None,
) -> Lease | None:
    """`lease_ahead` for who was just given the pair on the page, and stood like this before."""
    if takes_but_one(project):
        return None
    if has_limit(project):
        mine = standing(session, project, annotator_id, n_open=1)
    elif not mine.has_live:
        # What was ahead is the one on the page.
        mine = replace(mine, has_ahead=False)
    return _ahead(session, project, annotator_id, mine, rng or CHANCE)


def _ahead(
    session: Session,
    project: Project,
    annotator_id: uuid.UUID,
    mine: Standing,
    rng: random.Random,
) -> Lease | None:
    if refusal(project, mine) or mine.hindrance is not None or must_read(project, mine):
        return None
    if mine.has_ahead and (held := renew(session, project, annotator_id, AHEAD)):
        return held
    return hand_out(session, project, annotator_id, rng, has_expired=mine.has_expired, slot=AHEAD)


def put_down(session: Session, project_id: uuid.UUID, annotator_id: uuid.UUID) -> None:
    """Give back all that this annotator holds in the project: to others, or to them later."""
    one_at_a_time(session, annotator_id)
    held = select(Assignment).where(
        Assignment.project_id == project_id,
        Assignment.annotator_id == annotator_id,
        Assignment.state == AssignmentState.LEASED,
    )
    for assignment in session.scalars(held.order_by(Assignment.pair_id).with_for_update()):
        if not assignment.is_retest:
            take_back(session, assignment.pair_id)
        end(assignment, AssignmentState.EXPIRED)
    session.flush()
