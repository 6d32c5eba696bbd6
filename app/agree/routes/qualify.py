"""Tests for qualifications: made by staff, taken by annotators."""

import uuid
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.agree import qualifying, testing
from app.agree.forms import PlaceForm, TestAnswerForm, TestRulesForm
from app.agree.gold import fixed_flags
from app.agree.gold_answers import gold_items
from app.agree.routes.common import BASE, tools
from app.agree.routes.sheets import said_of, sheet_context
from app.collect.pairing import shown
from app.errors import Conflict, DomainError, Invalid, NotFound
from app.tables.gold import GoldItem, QualificationTest, Round, TestAnswer, TestAttempt
from app.web.access import Access, AnnotatorAccess, StaffAccess
from app.web.dependencies import SessionDep
from app.web.redirects import redirect
from app.web.templating import render

router = APIRouter()


@router.get(BASE + "/tests")
def show_tests(request: Request, access: StaffAccess, session: SessionDep) -> Response:
    rows = [
        (qualification, test, testing.n_items(session, test, Round.TEST) if test else 0)
        for qualification, test in testing.tests_of(session, access.project)
    ]
    return render(request, "agree/tests.html", {**tools(access, "gold"), "rows": rows})


@router.get(BASE + "/tests/{qualification_id}")
def show_test(
    qualification_id: uuid.UUID, request: Request, access: StaffAccess, session: SessionDep
) -> Response:
    return _test_page(request, session, access, qualification_id)


def _test_page(
    request: Request,
    session: Session,
    access: Access,
    qualification_id: uuid.UUID,
    *,
    form: TestRulesForm | None = None,
    refusal: DomainError | None = None,
) -> Response:
    qualification, test = testing.find_qualification(session, access.project, qualification_id)
    items = gold_items(session, access.project)
    context = {
        **tools(access, "gold"),
        "qualification": qualification,
        "test": test,
        "form": form or TestRulesForm.of(test),
        "items": [one for one in items if one.test_name in (None, qualification.name)],
        "record": testing.record_of(session, test) if test else [],
        "error": refusal.message if refusal else "",
    }
    return render(request, "agree/test.html", context, status=refusal.status if refusal else 200)


@router.post(BASE + "/tests/{qualification_id}")
def save_rules(
    qualification_id: uuid.UUID,
    request: Request,
    access: StaffAccess,
    session: SessionDep,
    form: Annotated[TestRulesForm, Form()],
) -> Response:
    try:
        testing.set_rules(
            session, access.project, qualification_id, form.read(), by=access.person.id
        )
    except (Invalid, Conflict) as refusal:
        return _test_page(request, session, access, qualification_id, form=form, refusal=refusal)
    url = f"/projects/{access.project.slug}/agree/tests/{qualification_id}"
    return redirect(url, "Saved. Tries that began keep the pass mark that they began with.")


@router.post(BASE + "/tests/{qualification_id}/items/{pair_id}")
def place(
    qualification_id: uuid.UUID,
    pair_id: uuid.UUID,
    access: StaffAccess,
    session: SessionDep,
    form: Annotated[PlaceForm, Form()],
) -> Response:
    testing.place_item(
        session,
        access.project,
        qualification_id,
        pair_id,
        round_=form.round,
        by=access.person.id,
    )
    return redirect(f"/projects/{access.project.slug}/agree/tests/{qualification_id}#items")


@router.get(BASE + "/qualify")
def show_qualify(request: Request, access: AnnotatorAccess, session: SessionDep) -> Response:
    """What the project asks for, and how to come by it."""
    rows = [
        (
            qualification,
            test,
            qualifying.standing_of(session, test, access.person) if test else None,
            qualifying.is_held(session, qualification.id, access.person),
        )
        for qualification, test in testing.tests_of(session, access.project)
        if qualification.is_required or test
    ]
    return render(request, "agree/qualify.html", {**tools(access, "qualify"), "rows": rows})


def _taking(
    session: Session, access: Access, test_id: uuid.UUID
) -> tuple[QualificationTest, TestAttempt | None]:
    test, _ = qualifying.find_test(session, access.project, test_id)
    return test, qualifying.standing_of(session, test, access.person).under_way


@router.post(BASE + "/qualify/{test_id}")
def start(test_id: uuid.UUID, access: AnnotatorAccess, session: SessionDep) -> Response:
    qualifying.start(session, access.project, test_id, access.person)
    return redirect(_url(access, test_id))


def _url(access: Access, test_id: uuid.UUID | None = None) -> str:
    url = f"/projects/{access.project.slug}/agree/qualify"
    return f"{url}/{test_id}" if test_id else url


@router.get(BASE + "/qualify/{test_id}")
def show_item(
    test_id: uuid.UUID, request: Request, access: AnnotatorAccess, session: SessionDep
) -> Response:
    """The item that is asked now; without a try under way, back to the list."""
    _, attempt = _taking(session, access, test_id)
    asked = qualifying.next_item(session, attempt) if attempt else None
    if asked is None:
        return redirect(_url(access))
    return _item_page(request, session, access, test_id, asked)


def _item_page(
    request: Request,
    session: Session,
    access: Access,
    test_id: uuid.UUID,
    asked: TestAnswer,
    *,
    form: TestAnswerForm | None = None,
    refusal: DomainError | None = None,
) -> Response:
    attempt = session.get_one(TestAttempt, asked.attempt_id)
    same = [one for one in qualifying.answers_of(session, attempt) if one.round is asked.round]
    item = session.get_one(GoldItem, asked.gold_item_id)
    said = form.said() if form else {}
    context = {
        **tools(access, "qualify"),
        **sheet_context(session, access, item.pair_id, said, is_flipped=asked.is_flipped),
        "test_id": test_id,
        "asked_item": asked,
        "place": same.index(asked) + 1,
        "n": len(same),
        "error": refusal.message if refusal else "",
    }
    status = refusal.status if refusal else 200
    return render(request, "agree/test_item.html", context, status=status)


@router.post(BASE + "/qualify/{test_id}/answers")
def answer(
    test_id: uuid.UUID,
    request: Request,
    access: AnnotatorAccess,
    session: SessionDep,
    form: Annotated[TestAnswerForm, Form()],
) -> Response:
    asked = qualifying.own_item(session, access.person, form.answer_id)
    if form.is_read:
        return redirect(_url(access, test_id))
    try:
        said = qualifying.answer_item(
            session,
            access.project,
            access.person,
            asked.id,
            rating=form.canonical_rating(asked.is_flipped),
            flags=form.flags(asked.is_flipped),
        )
    except Invalid as refusal:
        return _item_page(request, session, access, test_id, asked, form=form, refusal=refusal)
    if said.round is Round.TRAINING:
        return redirect(f"{_url(access, test_id)}/answers/{said.id}")
    return redirect(_url(access, test_id))


@router.get(BASE + "/qualify/{test_id}/answers/{answer_id}")
def explain(
    test_id: uuid.UUID,
    answer_id: uuid.UUID,
    request: Request,
    access: AnnotatorAccess,
    session: SessionDep,
) -> Response:
    """What the researchers answer to an item of one's training, and why."""
    said = qualifying.own_item(session, access.person, answer_id)
    if said.round is not Round.TRAINING or said.rating is None:
        raise NotFound("Only what you answered in training is explained.")
    item = session.get_one(GoldItem, said.gold_item_id)
    flags = said_of(fixed_flags(session, item), is_flipped=said.is_flipped)
    low, high = sorted(shown(one, said.is_flipped) for one in (item.low, item.high))
    rating = shown(said.rating, said.is_flipped)
    fixed = {**flags, "rating": str(rating)}
    context = {
        **tools(access, "qualify"),
        **sheet_context(session, access, item.pair_id, fixed, is_flipped=said.is_flipped),
        "test_id": test_id,
        "answer": said,
        "rating": rating,
        "low": low,
        "high": high,
        "item": item,
    }
    return render(request, "agree/explained.html", context)
